//! One chart as a picture: a PNG that reads well on a phone, drawn in process and the same for the same input.

mod canvas;
mod figure;
mod layout;
mod lines;
mod plot;
mod theme;
mod time;
mod values;

#[cfg(test)]
mod chart_tests;
#[cfg(test)]
mod gallery_tests;

use jiff::tz::TimeZone;

use crate::domain::Chart;

pub use theme::Theme;

/// How a picture looks. Letters grow with its width, so that it reads alike at any size: shown as wide as a phone
/// (360 points), the smallest ones are 11.5 points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Dark or light.
    pub theme: Theme,
    /// In pixels, 120 to 4096.
    pub width: u32,
    /// In pixels, a third to three times the width, 4096 at most.
    pub height: u32,
}

impl Style {
    /// For a chat on a phone, sharp on its screen: 1080 × 810 pixels.
    pub const fn phone(theme: Theme) -> Self {
        Self { theme, width: 1080, height: 810 }
    }

    fn fits(self) -> bool {
        let lengths = 120..=4096;
        let shape = self.width.div_ceil(3)..=self.width.saturating_mul(3);
        lengths.contains(&self.width) && self.height <= 4096 && shape.contains(&self.height)
    }
}

/// Why there is no picture; the words are for the operator, a channel shows the figures as text instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    /// The style names a size that is not drawn.
    #[error(
        "a chart of {width} × {height} px is not drawn; give a width of 120 to 4096 px and a height between a \
         third and three times of it"
    )]
    Size {
        /// The width that was asked for, in pixels.
        width: u32,
        /// The height that was asked for, in pixels.
        height: u32,
    },
    /// The built-in font cannot be read.
    #[error("the chart's built-in font cannot be read; this build is broken, install it again")]
    Font,
    /// The picture could not be written as PNG.
    #[error("the chart could not be written as PNG; show its figures as text")]
    Encode,
}

/// The chart as a PNG. Points may come in any order and with holes: values that are not numbers are skipped, a pause
/// of more than three usual steps is a gap. Times are written in `zone`, the zone is named.
///
/// Takes about 12 MB of memory while it draws a phone's size, and is CPU-bound: give a large chart to a blocking
/// thread.
///
/// # Errors
/// If the style's size is out of bounds or the picture cannot be made.
pub fn png(chart: &Chart, style: Style, zone: &TimeZone) -> Result<Vec<u8>, ChartError> {
    let Style { theme, width, height } = style;
    let size = ChartError::Size { width, height };
    if !style.fits() {
        return Err(size);
    }
    let colors = theme.colors();
    let mut canvas = canvas::Canvas::new(width, height, colors.background).ok_or(size)?;
    let font = canvas::Font::built_in().ok_or(ChartError::Font)?;
    let picked = lines::pick(&chart.series);
    let layout = layout::Layout::new(chart, &picked, &font, zone, canvas.height());
    plot::Plot { chart: &layout, font: &font, colors: &colors }.draw(&mut canvas);
    canvas.png().map_err(|_| ChartError::Encode)
}

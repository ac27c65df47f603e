//! A surface that is 360 points wide whatever its pixels, and the letters on it.

use ab_glyph::{Font as _, FontRef, OutlineCurve, Point};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use crate::domain::Untrusted;

/// The surface's width in points, a phone's.
pub(super) const WIDTH: f32 = 360.0;
/// More characters than any label has room for; the rest of a name is not even measured.
const LONGEST: usize = 256;

pub(super) struct Canvas {
    pixels: Pixmap,
    /// Pixels a point.
    scale: f32,
}

/// Which end of a text is given.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct Ink {
    pub(super) size: f32,
    pub(super) color: Color,
    /// Thickens the light letters, as a part of their size.
    pub(super) weight: f32,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32, background: Color) -> Option<Self> {
        let mut pixels = Pixmap::new(width, height)?;
        pixels.fill(background);
        Some(Self { pixels, scale: width as f32 / WIDTH })
    }

    /// In points.
    pub(super) fn height(&self) -> f32 {
        self.pixels.height() as f32 / self.scale
    }

    /// Whole pixels, so that a rule is sharp: at least one wide and high.
    pub(super) fn rule(&mut self, x: f32, y: f32, (width, height): (f32, f32), color: Color) {
        let pixels = |length: f32| (length * self.scale).round();
        let rect = Rect::from_xywh(pixels(x), pixels(y), pixels(width).max(1.0), pixels(height).max(1.0));
        if let Some(rect) = rect {
            self.pixels.fill_rect(rect, &paint(color, false), Transform::identity(), None);
        }
    }

    pub(super) fn fill(&mut self, path: &Path, color: Color) {
        let to_pixels = Transform::from_scale(self.scale, self.scale);
        self.pixels.fill_path(path, &paint(color, true), FillRule::Winding, to_pixels, None);
    }

    pub(super) fn stroke(&mut self, path: &Path, width: f32, color: Color, dash: Option<[f32; 2]>) {
        let stroke = Stroke {
            width,
            line_cap: if dash.is_some() { LineCap::Butt } else { LineCap::Round },
            line_join: LineJoin::Round,
            dash: dash.and_then(|lengths| StrokeDash::new(lengths.to_vec(), 0.0)),
            ..Stroke::default()
        };
        let to_pixels = Transform::from_scale(self.scale, self.scale);
        self.pixels.stroke_path(path, &paint(color, true), &stroke, to_pixels, None);
    }

    pub(super) fn dot(&mut self, (x, y): (f32, f32), radius: f32, color: Color) {
        if let Some(circle) = PathBuilder::from_circle(x, y, radius) {
            self.fill(&circle, color);
        }
    }

    /// Writes one line of text with its baseline at `y`.
    pub(super) fn text(&mut self, font: &Font, text: &str, (x, y): (f32, f32), anchor: Anchor, ink: Ink) {
        let width = font.width(text, ink.size);
        let left = match anchor {
            Anchor::Left => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::Right => x - width,
        };
        if let Some(letters) = font.path(text, (left, y), ink.size) {
            self.fill(&letters, ink.color);
            if ink.weight > 0.0 {
                self.stroke(&letters, ink.size * ink.weight, ink.color, None);
            }
        }
    }

    /// Without transparency and with fewer shades along edges, which nobody sees: a quarter of the size.
    pub(super) fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let shades: [u8; 256] = std::array::from_fn(|channel| shade(channel as u8));
        let mut bytes = Vec::with_capacity(self.pixels.pixels().len() * 3);
        for pixel in self.pixels.pixels() {
            let rgb = [pixel.red(), pixel.green(), pixel.blue()];
            bytes.extend_from_slice(&rgb.map(|channel| shades[usize::from(channel)]));
        }
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.pixels.width(), self.pixels.height());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Default);
        encoder.set_filter(png::FilterType::NoFilter);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&bytes)?;
        writer.finish()?;
        Ok(out)
    }
}

/// The nearest of 32 shades of a colour's channel, black and white among them.
pub(super) fn shade(channel: u8) -> u8 {
    let five = (u16::from(channel) * 31 + 127) / 255;
    ((five * 255 + 15) / 31) as u8
}

fn paint(color: Color, anti_alias: bool) -> Paint<'static> {
    let mut paint = Paint { anti_alias, ..Paint::default() };
    paint.set_color(color);
    paint
}

/// The one font of all pictures.
pub(super) struct Font(FontRef<'static>);

impl Font {
    pub(super) fn built_in() -> Option<Self> {
        FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).ok().map(Self)
    }

    /// Foreign text as one line that this font can write: what it lacks becomes `?`.
    pub(super) fn line(&self, raw: &str) -> String {
        let start: String = raw.chars().take(LONGEST).collect();
        let safe = Untrusted::new(&start);
        let known = |c: char| match c {
            c if c.is_whitespace() => ' ',
            c if self.0.glyph_id(c).0 == 0 => '?',
            c => c,
        };
        safe.as_str().trim().chars().map(known).collect()
    }

    /// In points.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        text.chars().map(|c| self.0.h_advance_unscaled(self.0.glyph_id(c))).sum::<f32>() * self.scale(size)
    }

    /// `text`, at most `width` points wide; a cut is marked with `…`.
    pub(super) fn cut(&self, text: &str, width: f32, size: f32) -> String {
        if self.width(text, size) <= width {
            return text.to_owned();
        }
        let room = width - self.width("…", size);
        let mut used = 0.0;
        let fits = |c: &char| {
            used += self.0.h_advance_unscaled(self.0.glyph_id(*c)) * self.scale(size);
            used <= room
        };
        let start: String = text.chars().take_while(fits).collect();
        format!("{}…", start.trim_end())
    }

    fn scale(&self, size: f32) -> f32 {
        size / self.0.units_per_em().unwrap_or(1000.0)
    }

    fn path(&self, text: &str, (left, baseline): (f32, f32), size: f32) -> Option<Path> {
        let scale = self.scale(size);
        let mut path = PathBuilder::new();
        let mut x = left;
        for id in text.chars().map(|c| self.0.glyph_id(c)) {
            let at = |p: Point| (x + p.x * scale, baseline - p.y * scale);
            let mut end = None;
            for curve in self.0.outline(id).map(|o| o.curves).unwrap_or_default() {
                let (OutlineCurve::Line(from, to)
                | OutlineCurve::Quad(from, _, to)
                | OutlineCurve::Cubic(from, _, _, to)) = curve;
                if end != Some(from) {
                    path.close();
                    let (x, y) = at(from);
                    path.move_to(x, y);
                }
                let (tx, ty) = at(to);
                match curve {
                    OutlineCurve::Line(..) => path.line_to(tx, ty),
                    OutlineCurve::Quad(_, c, _) => path.quad_to(at(c).0, at(c).1, tx, ty),
                    OutlineCurve::Cubic(_, c, d, _) => {
                        path.cubic_to(at(c).0, at(c).1, at(d).0, at(d).1, tx, ty)
                    }
                }
                end = Some(to);
            }
            path.close();
            x += self.0.h_advance_unscaled(id) * scale;
        }
        path.finish()
    }
}

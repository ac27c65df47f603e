//! What of a chart goes where: found before anything is drawn.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    canvas::{Font, WIDTH},
    figure::{figure, ticks},
    lines::{Line, Picked},
    time::Times,
    values::Values,
};
use crate::domain::Chart;

/// From the picture's edge.
pub(super) const MARGIN: f32 = 10.0;
/// Letters of the title, of the axes and of the legend.
pub(super) const TITLE: f32 = 15.0;
pub(super) const LABEL: f32 = 11.5;
pub(super) const LEGEND: f32 = 12.0;
/// One row of the legend.
pub(super) const ROW: f32 = 16.5;
const HEAD: f32 = 34.0;
const FOOT: f32 = 22.0;
/// Lines get less than this only when the picture is too low for anything else.
const LOWEST_PLOT: f32 = 72.0;
/// Up to so many lines have a row each, with their bounds; more share rows.
const OWN_ROW: usize = 3;

/// The chart with everything in its place; lengths in points.
pub(super) struct Layout<'a> {
    pub(super) title: String,
    pub(super) unit: String,
    pub(super) lines: &'a [Line<'a>],
    pub(super) area: Area,
    /// None without a single number.
    pub(super) axes: Option<Axes>,
    pub(super) legend: Legend,
}

/// Where the lines are drawn.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) right: f32,
    pub(super) bottom: f32,
}

pub(super) struct Axes {
    pub(super) values: Values,
    pub(super) value_ticks: Vec<(f64, String)>,
    pub(super) times: Times,
    pub(super) time_ticks: Vec<(i64, String)>,
    /// The zone's name at the chart's end.
    pub(super) zone: String,
}

/// What each line is called, and its figures.
pub(super) struct Legend {
    pub(super) top: f32,
    pub(super) columns: usize,
    /// A name and its figures (least, most, last), or the last one only.
    pub(super) rows: Vec<(String, Vec<String>)>,
    /// What is not shown.
    pub(super) more: Option<String>,
}

impl Area {
    pub(super) fn x(&self, part: f32) -> f32 {
        self.left + part * (self.right - self.left)
    }

    pub(super) fn y(&self, part: f32) -> f32 {
        self.bottom - part * (self.bottom - self.top)
    }
}

impl<'a> Layout<'a> {
    pub(super) fn new(
        chart: &Chart,
        picked: &'a Picked<'a>,
        font: &Font,
        zone: &TimeZone,
        height: f32,
    ) -> Self {
        let unit = font.line(&chart.unit);
        let unit = font.cut(&unit, 60.0, LABEL);
        let legend = Legend::new(picked, &unit, font, height);
        let bottom = legend.top - FOOT;
        let mut area = Area { left: MARGIN, top: HEAD, right: WIDTH - MARGIN, bottom };
        let axes = Axes::new(chart, picked, (&unit, font, zone), &mut area);
        let title = font.cut(&font.line(&chart.title), WIDTH - 2.0 * MARGIN, TITLE);
        Self { title, unit, lines: &picked.lines, area, axes, legend }
    }
}

impl Axes {
    /// Makes room in `area` for the labels on its left.
    fn new(
        chart: &Chart,
        picked: &Picked<'_>,
        (unit, font, zone): (&str, &Font, &TimeZone),
        area: &mut Area,
    ) -> Option<Self> {
        let figures = || picked.lines.iter().filter_map(|line| line.figures);
        let least = figures().map(|[least, ..]| least).min_by(f64::total_cmp)?;
        let most = figures().map(|[_, most, _]| most).max_by(f64::total_cmp)?;
        let values = Values::new(least, most, chart.threshold, unit);
        let rows = ((area.bottom - area.top) / 22.0).clamp(2.0, 6.0) as usize;
        let value_ticks = ticks((values.low, values.high), unit, rows);

        let times = Times::new(picked.times?);
        let end = Timestamp::from_millisecond(times.last).unwrap_or_default();
        let zone_name = font.line(zone.to_offset_info(end).abbreviation());
        let zone_name = font.cut(&zone_name, 44.0, LABEL);

        let labels = value_ticks.iter().map(|(_, label)| label).chain([&zone_name]);
        let widest = labels.map(|label| font.width(label, LABEL)).fold(0.0, f32::max);
        area.left = MARGIN + widest.min(WIDTH / 3.0) + 6.0;
        let width = area.right - area.left;
        let room = |label: &str| f64::from(width / (font.width(label, LABEL) + 8.0));
        let time_ticks = times.ticks(zone, room);
        Some(Self { values, value_ticks, times, time_ticks, zone: zone_name })
    }
}

impl Legend {
    fn new(picked: &Picked<'_>, unit: &str, font: &Font, height: f32) -> Self {
        let columns = if picked.lines.len() <= OWN_ROW { 1 } else { 2 };
        let words = |line: &Line<'_>| {
            let figures = match line.figures {
                None => vec!["no data".to_owned()],
                Some([least, most, last]) if columns == 1 => vec![
                    format!("min {}", figure(least, unit)),
                    format!("max {}", figure(most, unit)),
                    format!("last {}", figure(last, unit)),
                ],
                Some([.., last]) => vec![figure(last, unit)],
            };
            (font.line(line.name), figures)
        };
        let mut rows: Vec<_> = picked.lines.iter().map(words).collect();
        let mut more = picked.more;
        let room = height - HEAD - FOOT - MARGIN - LOWEST_PLOT;
        let most = (room / ROW).max(0.0) as usize;
        let high = |lines: usize, more: usize| lines.div_ceil(columns) + usize::from(more > 0);
        while !rows.is_empty() && high(rows.len(), more) > most {
            rows.pop();
            more += 1;
        }
        let shown = high(rows.len(), more).min(most);
        let more = (more > 0 && shown > 0).then(|| format!("+{more} more"));
        let top = height - MARGIN - shown as f32 * ROW;
        Self { top, columns, rows, more }
    }
}

//! What stands below a chart's picture, or in its place: the course of each line in figures.

use super::{
    post::Rich,
    rich::Pen,
    text::{cut, figure, is_blank, moment, one_line},
};
use crate::domain::{Chart, outbound::Series};
use jiff::Timestamp;

/// The most lines of a chart that are put in words.
const SERIES: usize = 8;

/// Title, figures of each line, threshold, and the time it spans. Below a picture, which has a legend, the last value
/// of each line is enough; else its least and most stand with it.
pub(super) fn caption(chart: &Chart, drawn: bool, now: Timestamp) -> Rich {
    let unit = cut(&one_line(&chart.unit), 12);
    let title = cut(&one_line(&chart.title), 120);
    let mut pen = Pen::default();
    pen.text("📈 ").bold(if is_blank(&title) { "Chart" } else { &title });
    for (n, series) in chart.series.iter().take(SERIES).enumerate() {
        let (gap, of) = if drawn { (" · ", " ") } else { ("\n", ": ") };
        pen.text(if n == 0 { "\n" } else { gap }).guarded(&cut(&one_line(&series.name), 40)).text(of);
        pen.text(&figures(series, drawn, &unit).unwrap_or_else(|| "no data".into()));
    }
    if chart.series.len() > SERIES {
        pen.text(&format!("\n… {} more", chart.series.len() - SERIES));
    }
    if let Some(limit) = chart.threshold {
        let crossed = chart.series.iter().flat_map(|s| &s.points).any(|(_, v)| *v > limit);
        let word = if crossed { "crossed" } else { "not reached" };
        pen.text(&format!("\nThreshold {}: {word}", figure(limit, &unit)));
    }
    let times = || chart.series.iter().flat_map(|s| s.points.iter().map(|(at, _)| *at));
    if let (Some(first), Some(last)) = (times().min(), times().max()) {
        pen.text(&format!("\n{} to {}", moment(first, now), moment(last, now)));
    }
    pen.finish()
}

fn figures(series: &Series, only_last: bool, unit: &str) -> Option<String> {
    let good = || series.points.iter().map(|(_, v)| *v).filter(|v| v.is_finite());
    let last = good().next_back()?;
    let (least, most) = good().fold((last, last), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let [lo, hi, now] = [least, most, last].map(|v| cut(&figure(v, unit), 40));
    Some(if only_last { now } else { format!("last {now} · min {lo} · max {hi}") })
}

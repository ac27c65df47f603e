//! Charts as spark lines: one line a series, with least, most and last value.

use jiff::Timestamp;

use super::{
    style::{Ink, Style},
    text::{cut, one_line, pad, width, wrap},
};
use crate::domain::{Chart, outbound::Series};

/// The most columns that a spark line takes.
const WIDEST: usize = 60;
/// The fewest columns that still show a course.
const NARROWEST: usize = 8;
const RICH: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const PLAIN: [char; 8] = ['_', '.', ',', '-', '=', '+', '*', '#'];

/// The chart's lines, title first.
pub(super) fn chart(style: &Style, chart: &Chart) -> Vec<String> {
    let mut out = vec![style.paint(Ink::Bold, &one_line(&chart.title))];
    let unit = one_line(&chart.unit);
    let names: Vec<String> =
        chart.series.iter().map(|s| cut(&one_line(&s.name), 24, style.either("…", "~"))).collect();
    let label = names.iter().map(|n| width(n)).max().unwrap_or(0);
    let figures: Vec<_> = chart.series.iter().map(|s| figures(style, s, &unit)).collect();
    let longest = figures.iter().flatten().map(|(text, _)| width(text)).max().unwrap_or(0);
    // On a narrow screen the figures get a line of their own.
    let below = label + NARROWEST + longest + 4 > style.width;
    let beside = if below { label + 2 } else { label + longest + 4 };
    let most_points = chart.series.iter().map(|s| s.points.len()).max().unwrap_or(0);
    let columns = style.width.saturating_sub(beside).clamp(NARROWEST, WIDEST).min(most_points);
    for ((series, name), figures) in chart.series.iter().zip(&names).zip(figures) {
        let Some((figures, bounds)) = figures else {
            out.push(format!("{}  (no data)", pad(name, label)));
            continue;
        };
        let marks = if style.unicode { &RICH } else { &PLAIN };
        let line = style.paint(Ink::Cyan, &spark(&series.points, columns, stretch(chart), bounds, marks));
        if below {
            out.push(format!("{}  {line}", pad(name, label)));
            out.extend(wrap(&format!("  {figures}"), style.width));
        } else {
            out.push(format!("{}  {line}  {figures}", pad(name, label)));
        }
    }
    out.extend(footer(style, chart, &unit));
    out
}

/// Least, most and last value in words, and the two bounds; none without a value.
fn figures(style: &Style, series: &Series, unit: &str) -> Option<(String, (f64, f64))> {
    let good = || series.points.iter().map(|(_, v)| *v).filter(|v| v.is_finite());
    let last = good().next_back()?;
    let (least, most) = good().fold((last, last), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let dot = style.either("·", "-");
    let [lo, hi, now] = [least, most, last].map(|v| figure(v, unit));
    Some((format!("min {lo} {dot} max {hi} {dot} last {now}"), (least, most)))
}

/// The first and the last time of all lines.
fn stretch(chart: &Chart) -> Option<(Timestamp, Timestamp)> {
    let times = || chart.series.iter().flat_map(|s| s.points.iter().map(|(at, _)| *at));
    Some((times().min()?, times().max()?))
}

fn footer(style: &Style, chart: &Chart, unit: &str) -> Option<String> {
    let (first, last) = stretch(chart)?;
    let mut text = format!("{} to {}", style.moment(first), style.clock(last));
    if let Some(limit) = chart.threshold {
        let over = chart.series.iter().flat_map(|s| &s.points).any(|(_, v)| *v > limit);
        let word = if over { "crossed" } else { "not reached" };
        text.push_str(&format!("; threshold {} ({word})", figure(limit, unit)));
    }
    Some(style.paint(Ink::Dim, &cut(&text, style.width, "")))
}

/// `columns` marks over the whole time of the chart, so that all its lines stand below each other; each mark is the
/// greatest value of its part, so that no peak is lost.
fn spark(
    points: &[(Timestamp, f64)],
    columns: usize,
    time: Option<(Timestamp, Timestamp)>,
    (least, most): (f64, f64),
    marks: &[char; 8],
) -> String {
    let mut peaks: Vec<Option<f64>> = vec![None; columns.max(1)];
    let (from, to) = time.map_or((0, 0), |(a, b)| (a.as_millisecond(), b.as_millisecond()));
    for (at, value) in points.iter().filter(|(_, v)| v.is_finite()) {
        let part = (at.as_millisecond() - from) as f64 / (to - from).max(1) as f64;
        let column = (part * (peaks.len() - 1) as f64).round().max(0.0) as usize;
        if let Some(peak) = peaks.get_mut(column) {
            *peak = Some(peak.map_or(*value, |p| p.max(*value)));
        }
    }
    let span = most - least;
    let mark = |peak: &Option<f64>| {
        let part = peak.map(|p| if span > 0.0 { (p - least) / span } else { 0.0 });
        let level = part.map(|p| (p * 7.0).round().clamp(0.0, 7.0) as usize);
        level.and_then(|l| marks.get(l).copied()).unwrap_or(' ')
    };
    peaks.iter().map(mark).collect()
}

/// A value with its unit, as a person reads it.
pub(super) fn figure(value: f64, unit: &str) -> String {
    match unit {
        "B" | "B/s" => {
            let mut size = value;
            let mut step = 0;
            let steps = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];
            while size.abs() >= 1024.0 && step + 1 < steps.len() {
                size /= 1024.0;
                step += 1;
            }
            format!("{} {}{unit}", short(size), steps.get(step).unwrap_or(&""))
        }
        "" => short(value),
        _ => format!("{} {unit}", short(value)),
    }
}

fn short(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v.fract() == 0.0 => 0,
        v if v >= 1.0 => 1,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::domain::outbound::Series;

    fn sample(values: &[f64]) -> Chart {
        let at = |n: usize| Timestamp::from_second(1_795_269_600 + 60 * n as i64).unwrap();
        let points = values.iter().enumerate().map(|(n, v)| (at(n), *v)).collect();
        Chart {
            title: "CPU".into(),
            unit: "%".into(),
            series: vec![Series { name: "web".into(), points }],
            threshold: Some(80.0),
        }
    }

    #[test]
    fn a_spark_line_shows_course_and_figures() {
        let style = Style::plain(TimeZone::UTC);
        let got = chart(&style, &sample(&[0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]));
        assert_eq!(got[1], "web  ▁▂▃▄▅▆▇█  min 0 % · max 70 % · last 70 %");
        assert_eq!(got[2], "2026-11-21 14:00:00 UTC to 14:07:00 UTC; threshold 80 % (not reached)");
        let ascii = Style { unicode: false, ..style };
        let got = chart(&ascii, &sample(&[5.0, 93.15, f64::NAN, 93.15]));
        assert_eq!(got[1], "web  _# #  min 5 % - max 93.2 % - last 93.2 %");
        assert!(got[2].ends_with("threshold 80 % (crossed)"), "{}", got[2]);
    }

    #[test]
    fn lines_of_one_chart_share_its_time() {
        let mut both = sample(&[10.0, 20.0, 30.0, 40.0]);
        let late = both.series[0].points[2..].to_vec();
        both.series.push(Series { name: "db".into(), points: late });
        let got = chart(&Style { width: 60, ..Style::plain(TimeZone::UTC) }, &both);
        assert_eq!(got[1], "web  ▁▃▆█  min 10 % · max 40 % · last 40 %");
        assert_eq!(got[2], "db     ▁█  min 30 % · max 40 % · last 40 %");
    }

    #[test]
    fn flat_empty_and_long_courses_are_drawn_and_no_peak_is_lost() {
        let style = Style { width: 70, ..Style::plain(TimeZone::UTC) };
        assert!(chart(&style, &sample(&[7.0, 7.0]))[1].contains("▁▁"));
        assert!(chart(&style, &sample(&[]))[1].ends_with("(no data)"));
        assert!(chart(&style, &sample(&[f64::NAN]))[1].ends_with("(no data)"));
        let mut long = vec![1.0; 5000];
        long[2500] = 100.0;
        for width in [24, 40, 70, 300] {
            let got = chart(&Style { width, ..style.clone() }, &sample(&long));
            assert!(got[1].contains('█') && got.iter().all(|l| super::width(l) <= width), "{got:#?}");
        }
    }

    #[test]
    fn figures_read_as_people_write_them() {
        let table = [
            (1536.0, "B", "1.5 KiB"),
            (734_003_200.0, "B", "700 MiB"),
            (2.0 * 1024.0 * 1024.0, "B/s", "2 MiB/s"),
            (12.34, "%", "12.3 %"),
            (0.0421, "s", "0.042 s"),
            (1234.0, "", "1234"),
        ];
        for (value, unit, want) in table {
            assert_eq!(figure(value, unit), want);
        }
    }
}

//! Charts as spark lines: one line a series, with least, most and last value.

use super::{
    style::{Ink, Style},
    text::{cut, one_line, pad, width, wrap},
};
use crate::domain::Chart;

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
    for (series, name) in chart.series.iter().zip(&names) {
        let values: Vec<f64> = series.points.iter().map(|(_, v)| *v).collect();
        let good = || values.iter().copied().filter(|v| v.is_finite());
        let Some(last) = good().next_back() else {
            out.push(format!("{}  (no data)", pad(name, label)));
            continue;
        };
        let (least, most) = good().fold((last, last), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let dot = style.either("·", "-");
        let figures = format!(
            "min {} {dot} max {} {dot} last {}",
            figure(least, &unit),
            figure(most, &unit),
            figure(last, &unit)
        );
        let space = style.width.saturating_sub(label + width(&figures) + 4).clamp(NARROWEST, WIDEST);
        let line = spark(&values, space, (least, most), if style.unicode { &RICH } else { &PLAIN });
        let line = style.paint(Ink::Cyan, &line);
        // On a narrow screen the figures get a line of their own.
        if label + NARROWEST + width(&figures) + 4 > style.width {
            out.push(format!("{}  {line}", pad(name, label)));
            out.extend(wrap(&format!("  {figures}"), style.width));
        } else {
            out.push(format!("{}  {line}  {figures}", pad(name, label)));
        }
    }
    out.extend(footer(style, chart, &unit));
    out
}

fn footer(style: &Style, chart: &Chart, unit: &str) -> Option<String> {
    let times = || chart.series.iter().flat_map(|s| s.points.iter().map(|(at, _)| *at));
    let (first, last) = (times().min()?, times().max()?);
    let mut text = format!("{} to {}", style.moment(first), style.clock(last));
    if let Some(limit) = chart.threshold {
        let over = chart.series.iter().flat_map(|s| &s.points).any(|(_, v)| *v > limit);
        let word = if over { "crossed" } else { "not reached" };
        text.push_str(&format!("; threshold {} ({word})", figure(limit, unit)));
    }
    Some(style.paint(Ink::Dim, &cut(&text, style.width, "")))
}

/// At most `columns` marks; each stands for the greatest value of its stretch, so that no peak is lost.
fn spark(values: &[f64], columns: usize, (least, most): (f64, f64), marks: &[char; 8]) -> String {
    let columns = columns.min(values.len()).max(1);
    let mark = |column: usize| {
        let from = column * values.len() / columns;
        let to = ((column + 1) * values.len() / columns).max(from + 1);
        let stretch = values.get(from..to.min(values.len())).unwrap_or_default();
        let Some(peak) = stretch.iter().copied().filter(|v| v.is_finite()).reduce(f64::max) else {
            return ' ';
        };
        let span = most - least;
        let part = if span > 0.0 { (peak - least) / span } else { 0.0 };
        let level = (part * 7.0).round().clamp(0.0, 7.0) as usize;
        marks.get(level).copied().unwrap_or(' ')
    };
    (0..columns).map(mark).collect()
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
    use jiff::{Timestamp, tz::TimeZone};

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
        assert_eq!(got[2], "2026-11-21 14:00:00 to 14:07:00 UTC; threshold 80 % (not reached)");
        let ascii = Style { unicode: false, ..style };
        let got = chart(&ascii, &sample(&[5.0, 93.15, f64::NAN, 93.15]));
        assert_eq!(got[1], "web  _# #  min 5 % - max 93.2 % - last 93.2 %");
        assert!(got[2].ends_with("threshold 80 % (crossed)"), "{}", got[2]);
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

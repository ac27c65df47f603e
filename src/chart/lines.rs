//! Which lines are drawn, and what is left of a line where there are more points than pixels.

use super::{theme::MOST_LINES, values::drawable};
use crate::domain::outbound::Series;

/// A point: when, in milliseconds since 1970, and what.
pub(super) type Dot = (i64, f64);

/// One line to draw.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    /// Oldest first, numbers only.
    pub(super) points: Vec<Dot>,
}

/// The lines to draw, and how many more there are.
pub(super) struct Picked<'a> {
    pub(super) lines: Vec<Line<'a>>,
    pub(super) more: usize,
}

/// All lines, or of too many those that end highest.
pub(super) fn pick(series: &[Series]) -> Picked<'_> {
    let mut chosen: Vec<&Series> = series.iter().collect();
    if series.len() > MOST_LINES {
        let height = |s: &Series| last(s).unwrap_or(f64::NEG_INFINITY);
        chosen.sort_by_cached_key(|s| std::cmp::Reverse(Height(height(s))));
        chosen.truncate(MOST_LINES);
    }
    let line = |s: &'_ Series| {
        let good = |(at, v): &(jiff::Timestamp, f64)| Some((at.as_millisecond(), drawable(*v)?));
        let mut points: Vec<Dot> = s.points.iter().filter_map(good).collect();
        points.sort_by_key(|(at, _)| *at);
        points
    };
    let lines = chosen.into_iter().map(|s| Line { name: &s.name, points: line(s) }).collect();
    Picked { lines, more: series.len().saturating_sub(MOST_LINES) }
}

/// A value in the order of size.
struct Height(f64);

impl Ord for Height {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Height {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Height {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Height {}

fn last(series: &Series) -> Option<f64> {
    let good = series.points.iter().filter(|(_, v)| v.is_finite());
    good.max_by_key(|(at, _)| *at).map(|(_, v)| *v)
}

impl Line<'_> {
    /// Least, most and last value.
    pub(super) fn figures(&self) -> Option<[f64; 3]> {
        let last = self.points.last()?.1;
        let bounds = |(lo, hi): (f64, f64), (_, v): &Dot| (lo.min(*v), hi.max(*v));
        let (least, most) = self.points.iter().fold((last, last), bounds);
        Some([least, most, last])
    }

    /// The stretches without a gap: a gap is a pause of more than three usual steps.
    pub(super) fn stretches(&self) -> impl Iterator<Item = &[Dot]> {
        let longest = self.usual_step().map_or(i64::MAX, |step| step.saturating_mul(3));
        self.points.chunk_by(move |a, b| b.0 - a.0 <= longest)
    }

    /// The median; points of one time count once.
    fn usual_step(&self) -> Option<i64> {
        let steps = self.points.windows(2).filter_map(|pair| match pair {
            [a, b] if b.0 > a.0 => Some(b.0 - a.0),
            _ => None,
        });
        let mut steps: Vec<i64> = steps.collect();
        let middle = steps.len().checked_sub(1)? / 2;
        Some(*steps.select_nth_unstable(middle).1)
    }
}

/// The points that make the picture of a stretch: of each column its first, least, most and last one, so that no peak
/// is lost. `column` never falls with time.
pub(super) fn thin(stretch: &[Dot], column: impl Fn(i64) -> i32) -> Vec<Dot> {
    let mut out = Vec::new();
    for part in stretch.chunk_by(|a, b| column(a.0) == column(b.0)) {
        if part.len() <= 4 {
            out.extend_from_slice(part);
            continue;
        }
        let (mut least, mut most) = (0, 0);
        let value = |n: usize| part.get(n).map_or(0.0, |(_, v)| *v);
        for (n, (_, v)) in part.iter().enumerate() {
            if *v < value(least) {
                least = n;
            }
            if *v > value(most) {
                most = n;
            }
        }
        let mut keep = vec![0, least.min(most), least.max(most), part.len() - 1];
        keep.dedup();
        out.extend(keep.into_iter().filter_map(|n| part.get(n)));
    }
    out
}

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
    /// Least, most and last value.
    pub(super) figures: Option<[f64; 3]>,
}

/// The lines to draw.
pub(super) struct Picked<'a> {
    pub(super) lines: Vec<Line<'a>>,
    /// How many more there are.
    pub(super) more: usize,
    /// The first and the last time. One without a number counts too: what is missing there is to be seen.
    pub(super) times: Option<(i64, i64)>,
}

/// All lines, or of too many those that end highest.
pub(super) fn pick(series: &[Series]) -> Picked<'_> {
    let mut chosen: Vec<&Series> = series.iter().collect();
    if series.len() > MOST_LINES {
        let height = |s: &Series| last(s).unwrap_or(f64::NEG_INFINITY);
        chosen.sort_by_cached_key(|s| std::cmp::Reverse(Height(height(s))));
        chosen.truncate(MOST_LINES);
    }
    let mut times: Option<(i64, i64)> = None;
    let lines = chosen.into_iter().map(|s| Line::new(s, &mut times)).collect();
    Picked { lines, more: series.len().saturating_sub(MOST_LINES), times }
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

impl<'a> Line<'a> {
    /// Stretches `times` to those of `series`.
    fn new(series: &'a Series, times: &mut Option<(i64, i64)>) -> Self {
        let mut points: Vec<Dot> = Vec::with_capacity(series.points.len());
        let mut bounds: Option<(f64, f64)> = None;
        for (at, value) in &series.points {
            let at = at.as_millisecond();
            *times = Some(times.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            if let Some(value) = drawable(*value) {
                bounds = Some(bounds.map_or((value, value), |(lo, hi)| (lo.min(value), hi.max(value))));
                points.push((at, value));
            }
        }
        points.sort_by_key(|(at, _)| *at);
        let last = points.last().map(|(_, value)| *value);
        let figures = bounds.zip(last).map(|((least, most), last)| [least, most, last]);
        Self { name: &series.name, points, figures }
    }

    /// The stretches without a gap: a gap is a pause of more than three usual steps, and long enough to be seen.
    pub(super) fn stretches(&self, seen: i64) -> impl Iterator<Item = &[Dot]> {
        let longest = self.usual_step().map_or(i64::MAX, |step| step.saturating_mul(3)).max(seen);
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
pub(super) fn thin(stretch: &[Dot], column: impl Fn(i64) -> i64) -> Vec<Dot> {
    let mut out = Vec::new();
    let mut rest = stretch;
    while let Some((first, _)) = rest.split_first() {
        let here = column(first.0);
        let (part, after) = rest.split_at(rest.partition_point(|dot| column(dot.0) <= here).max(1));
        rest = after;
        if part.len() <= 4 {
            out.extend_from_slice(part);
            continue;
        }
        let (mut least, mut most, mut last) = ((0, first.1), (0, first.1), (0, *first));
        for (n, dot) in part.iter().enumerate() {
            if dot.1 < least.1 {
                least = (n, dot.1);
            }
            if dot.1 > most.1 {
                most = (n, dot.1);
            }
            last = (n, *dot);
        }
        let mut keep = vec![0, least.0.min(most.0), least.0.max(most.0), last.0];
        keep.dedup();
        out.extend(keep.into_iter().filter_map(|n| part.get(n)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn series(points: &[(i64, f64)]) -> Series {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        Series { name: "web".into(), points: points.iter().map(|(s, v)| (at(*s), *v)).collect() }
    }

    #[test]
    fn too_many_lines_are_those_that_end_highest() {
        let mut all: Vec<Series> = (0..11).map(|n| series(&[(0, 50.0), (60, f64::from(n))])).collect();
        // Its last number counts by time, not by place, and not what is none.
        all[1] = series(&[(60, 99.0), (0, 1.0), (120, f64::NAN)]);
        all[10] = series(&[]);
        for (n, s) in all.iter_mut().enumerate() {
            s.name = n.to_string();
        }
        let got = pick(&all);
        let names: Vec<_> = got.lines.iter().map(|line| line.name).collect();
        assert_eq!((names, got.more), (vec!["1", "9", "8", "7", "6", "5", "4", "3"], 3));
        assert_eq!(got.times, Some((0, 120_000)));
        let few = pick(&all[..8]);
        assert_eq!((few.lines[0].name, few.lines.len(), few.more), ("0", 8, 0));
    }

    #[test]
    fn figures_come_from_numbers_in_the_order_of_time() {
        let all = [series(&[(120, 3.0), (0, 9.0), (60, f64::INFINITY), (60, 1.0)])];
        let line = &pick(&all).lines[0];
        assert_eq!(line.figures, Some([1.0, 9.0, 3.0]));
        assert_eq!(line.points, [(0, 9.0), (60_000, 1.0), (120_000, 3.0)]);
        assert_eq!(pick(&[series(&[(0, f64::NAN)])]).lines[0].figures, None);
    }

    #[test]
    fn a_gap_is_a_pause_of_more_than_three_usual_steps() {
        let table: [(&[i64], &[usize]); 8] = [
            (&[], &[]),
            (&[5], &[1]),
            (&[0, 9_000], &[2]),
            (&[0, 10, 20, 50, 60], &[5]),
            (&[0, 10, 20, 51, 61], &[3, 2]),
            (&[0, 10, 100], &[2, 1]),
            (&[0, 0, 0, 0, 10, 20, 90], &[6, 1]),
            (&[7, 7, 7], &[3]),
        ];
        for (times, want) in table {
            let points: Vec<_> = times.iter().map(|t| (*t, 1.0)).collect();
            let all = [series(&points)];
            let got: Vec<_> = pick(&all).lines[0].stretches(0).map(<[_]>::len).collect();
            assert_eq!(got, want, "{times:?}");
        }
        // Bursts of three: a hundred thousand gaps, if each of them could be seen.
        let bursts: Vec<_> = (0..300_000).map(|n| (n / 3 * 60 + n % 3, 1.0)).collect();
        let all = [series(&bursts)];
        let line = &pick(&all).lines[0];
        assert_eq!(line.stretches(0).count(), 100_000);
        assert_eq!(line.stretches(60_000).count(), 1);
    }

    #[test]
    fn thinning_keeps_every_columns_ends_and_peaks() {
        let mut dots: Vec<Dot> = (0..1000).map(|n| (n, (n % 7) as f64)).collect();
        dots[555].1 = 1e6;
        dots[550].1 = -1e6;
        let thinned = thin(&dots, |at| at / 100);
        assert!(thinned.len() <= 40 && thinned.is_sorted_by_key(|(at, _)| *at));
        for want in [(0, 0.0), (99, 1.0), (550, -1e6), (555, 1e6), (999, 5.0)] {
            assert!(thinned.contains(&want), "{want:?} in {thinned:?}");
        }
        assert_eq!(thin(&dots[..3], |_| 0), &dots[..3]);
        assert_eq!(thin(&dots, |at| at), dots);
        assert_eq!(thin(&[], |at| at), []);
    }
}

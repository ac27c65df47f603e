//! The stretch of values that a chart shows, and where its threshold is then.

/// Below this part of the height the data would be squashed only to show the threshold.
const SQUASHED: f64 = 0.2;
/// Air above and below the data, as a part of the height.
const AIR: f64 = 0.08;
/// Air beside a threshold's name at the edge, so that it hides no line.
const AIR_FOR_NAME: f64 = 0.2;
/// Data that stays within this part of its largest value is looked at closely.
const CLOSE: f64 = 0.75;
/// Changes smaller than this part of the value are none.
const FLAT: f64 = 1e-6;
/// Values are held within this, so that no sum of two overflows.
const LARGEST: f64 = 1e300;
/// Values nearer to zero are drawn as zero.
const SMALLEST: f64 = 1e-12;

/// Where the threshold is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Threshold {
    /// A line across at this value.
    At(f64),
    /// Far above: named at the upper edge.
    Above(f64),
    /// Far below: named at the lower edge.
    Below(f64),
}

/// The values at the lower and the upper edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) threshold: Option<Threshold>,
}

/// A value that can be drawn; none if it is not a number.
pub(super) fn drawable(value: f64) -> Option<f64> {
    value.is_finite().then(|| if value.abs() < SMALLEST { 0.0 } else { value.clamp(-LARGEST, LARGEST) })
}

impl Values {
    /// For data between `least` and `most`. Starts at zero unless that would hide how the data moves.
    pub(super) fn new(least: f64, most: f64, threshold: Option<f64>, unit: &str) -> Self {
        let flat = most - least <= FLAT * least.abs().max(most.abs());
        let zero = (least.min(0.0), most.max(0.0));
        let near = if flat || least <= most * CLOSE && most >= least * CLOSE { zero } else { (least, most) };
        let limit = threshold.and_then(drawable);
        let with = |(low, high): (f64, f64), limit: f64| {
            let all = (low.min(limit), high.max(limit));
            (high - low >= SQUASHED * (all.1 - all.0)).then_some(all)
        };
        let (range, threshold) = match limit {
            None => (near, None),
            Some(limit) => match with(near, limit).or_else(|| with(zero, limit)) {
                Some(all) => (all, Some(Threshold::At(limit))),
                None if limit > near.1 => (near, Some(Threshold::Above(limit))),
                None => (near, Some(Threshold::Below(limit))),
            },
        };
        let (low, high) = airy(range, threshold, unit);
        Self { low, high, threshold }
    }

    /// How far up a value is: 0 at the lower edge, 1 at the upper one.
    pub(super) fn part(&self, value: f64) -> f32 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0) as f32
    }
}

fn airy((low, high): (f64, f64), threshold: Option<Threshold>, unit: &str) -> (f64, f64) {
    if high - low <= FLAT * low.abs().max(high.abs()) {
        return (low.min(0.0), if low < 0.0 { 0.0 } else { 1.0 });
    }
    let air = |named| (high - low) * if named { AIR_FOR_NAME } else { AIR };
    let (named_below, named_above) = match threshold {
        Some(Threshold::Below(_)) => (true, false),
        Some(Threshold::Above(_)) => (false, true),
        _ => (false, false),
    };
    // Zero is an edge by itself, and so is all of a percentage.
    let below = if low == 0.0 && !named_below { 0.0 } else { low - air(named_below) };
    let above = if high == 0.0 && !named_above { 0.0 } else { high + air(named_above) };
    let below = if low > 0.0 { below.max(0.0) } else { below };
    let above = if unit == "%" && high <= 100.0 { above.min(100.0) } else { above };
    (below, above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stretch_suits_data_and_threshold() {
        let table = [
            // Least, most, threshold, unit; low, high, threshold.
            (10.0, 90.0, None, "", 0.0, 97.2, None),
            (10.0, 90.0, Some(80.0), "", 0.0, 97.2, Some(Threshold::At(80.0))),
            (2.0, 50.0, Some(100.0), "", 0.0, 108.0, Some(Threshold::At(100.0))),
            (2.0, 5.0, Some(100.0), "", 0.0, 6.0, Some(Threshold::Above(100.0))),
            (40.0, 95.0, Some(-900.0), "", -19.0, 102.6, Some(Threshold::Below(-900.0))),
            // Moves little: a closer look, unless the threshold is to be seen.
            (100.0, 110.0, None, "", 99.2, 110.8, None),
            (100.0, 110.0, Some(120.0), "", 98.4, 121.6, Some(Threshold::At(120.0))),
            (100.0, 101.0, Some(200.0), "", 0.0, 216.0, Some(Threshold::At(200.0))),
            (100.0, 101.0, Some(f64::NAN), "", 99.92, 101.08, None),
            // Constant.
            (50.0, 50.0, None, "", 0.0, 54.0, None),
            (0.0, 0.0, None, "", 0.0, 1.0, None),
            (-4.0, -4.0, None, "", -4.32, 0.0, None),
            (0.0, 0.0, Some(80.0), "", 0.0, 1.0, Some(Threshold::Above(80.0))),
            (81.0, 100.0, None, "%", 79.48, 100.0, None),
            (70.0, 100.0, None, "", 0.0, 108.0, None),
            // Both signs, and percent.
            (-10.0, 10.0, None, "", -11.6, 11.6, None),
            (3.0, 99.0, Some(90.0), "%", 0.0, 100.0, Some(Threshold::At(90.0))),
            (3.0, 350.0, None, "%", 0.0, 378.0, None),
        ];
        for (least, most, limit, unit, low, high, threshold) in table {
            let got = Values::new(least, most, limit, unit);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(near(got.low, low) && near(got.high, high), "{least} {most} {limit:?}: {got:?}");
            assert_eq!(got.threshold, threshold, "{least} {most} {limit:?}");
        }
        let huge = Values::new(-LARGEST, LARGEST, Some(f64::MAX), "");
        assert!((huge.high - huge.low).is_finite() && huge.part(0.0) == 0.5);
        assert_eq!(drawable(f64::INFINITY), None);
        assert_eq!(drawable(5e-324), Some(0.0));
    }
}

//! Values as people write them, and the values at which an axis is marked.

/// The sizes in which a unit is written, smallest first: from which value on, what one of them is worth, its name.
type Sizes = Vec<(f64, f64, String)>;

/// A value with its unit in the size that suits it: `1.5 GiB`, `12.3 %`, `42 ms`, `12k`.
pub(super) fn figure(value: f64, unit: &str) -> String {
    let (worth, name) = size(value.abs(), unit);
    format!("{}{name}", short(value / worth))
}

/// Round values between `low` and `high`, at most `most` of them, each with its label; all in one size.
pub(super) fn ticks((low, high): (f64, f64), unit: &str, most: usize) -> Vec<(f64, String)> {
    let (worth, name) = size(low.abs().max(high.abs()), unit);
    let (low, high) = (low / worth, high / worth);
    let step = step((high - low) / most.max(1) as f64, name.contains("iB"));
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    if !(step > 0.0 && (0.0..=64.0).contains(&(last - first))) {
        return Vec::new();
    }
    let digits = (1.0 - step.log10()).ceil().clamp(0.0, 9.0) as usize;
    let label = |value: f64| match value {
        0.0 => "0".to_owned(),
        v if v.abs() >= 1e9 || step < 1e-6 => format!("{v:.1e}{name}"),
        v => format!("{}{name}", trimmed(v, digits)),
    };
    let values = (0..=(last - first) as usize).map(|n| (first + n as f64) * step);
    values.map(|v| (v * worth, label(v))).collect()
}

/// The smallest round step that is not below `least`.
fn step(least: f64, binary: bool) -> f64 {
    let ten = 10_f64.powf(least.log10().floor());
    let decimal = [1.0, 2.0, 2.5, 5.0, 10.0].map(|n| n * ten).into_iter().find(|s| *s >= least * 0.999_999);
    let halves = (-2..=9).map(|n| 2_f64.powi(n)).find(|s| *s >= least);
    let halves = halves.filter(|_| binary && least > 0.1);
    halves.or(decimal).unwrap_or(ten * 10.0)
}

/// The size in which a value is written: what one of them is worth in `unit`, and its name.
fn size(value: f64, unit: &str) -> (f64, String) {
    let sizes = sizes(unit);
    let fits = sizes.iter().rev().find(|(from, ..)| value >= *from).or(sizes.first());
    fits.map_or_else(|| (1.0, format!(" {unit}")), |(_, worth, name)| (*worth, name.clone()))
}

fn sizes(unit: &str) -> Sizes {
    let seconds = |one: f64| {
        let table = [
            (0.0, 1e-6, " µs"),
            (0.999_5e-3, 1e-3, " ms"),
            (0.999_5, 1.0, " s"),
            (120.0, 60.0, " min"),
            (7_200.0, 3_600.0, " h"),
            (172_800.0, 86_400.0, " days"),
        ];
        table.map(|(from, worth, name)| (from / one, worth / one, name.to_owned())).to_vec()
    };
    let bytes = |rest: &str| {
        let name = |(n, prefix): (i32, &&str)| {
            let worth = 1024_f64.powi(n);
            (worth * if n == 0 { 0.0 } else { 0.999_5 }, worth, format!(" {prefix}B{rest}"))
        };
        (0..).zip(&["", "Ki", "Mi", "Gi", "Ti", "Pi"]).map(name).collect()
    };
    match unit {
        "B" | "bytes" => bytes(""),
        "B/s" | "bytes/s" => bytes("/s"),
        "s" | "seconds" => seconds(1.0),
        "ms" => seconds(1e-3),
        "%" => vec![(0.0, 1.0, " %".into())],
        unit => {
            let rest = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            let table =
                [(0.0, 1.0, ""), (1e4, 1e3, "k"), (1e6, 1e6, "M"), (1e9, 1e9, "G"), (1e12, 1e12, "T")];
            table.map(|(from, worth, prefix)| (from, worth, format!("{prefix}{rest}"))).to_vec()
        }
    }
}

/// Three digits where they matter.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if !(0.000_5..1e9).contains(&v) => format!("{value:.1e}"),
        v if v >= 100.0 => trimmed(value, 0),
        v if v >= 1.0 => trimmed(value, 1),
        _ => trimmed(value, 3),
    }
}

fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    #[test]
    fn figures_read_as_people_write_them() {
        let table = [
            (0.0, "B", "0 B"),
            (1536.0, "B", "1.5 KiB"),
            (1023.9 * 1024.0, "B", "1 MiB"),
            (700.0 * MIB, "B", "700 MiB"),
            (-2.0 * MIB, "B/s", "-2 MiB/s"),
            (12.34, "%", "12.3 %"),
            (99.97, "%", "100 %"),
            (1250.0, "%", "1250 %"),
            (0.042, "s", "42 ms"),
            (0.000_25, "s", "250 µs"),
            (1.5, "s", "1.5 s"),
            (300.0, "s", "5 min"),
            (2500.0, "ms", "2.5 s"),
            (1234.0, "", "1234"),
            (12_340.0, "", "12.3k"),
            (2.5e6, "req/s", "2.5M req/s"),
            (7.0, "req/s", "7 req/s"),
            (0.25, "", "0.25"),
            (-0.000_1, "%", "-1.0e-4 %"),
            (1e300, "", "1.0e288T"),
        ];
        for (value, unit, want) in table {
            assert_eq!(figure(value, unit), want, "{value} {unit}");
        }
    }

    #[test]
    fn ticks_are_round_and_in_one_size() {
        let labels = |range, unit, most| {
            ticks(range, unit, most).into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        let table: [((f64, f64), &str, &[&str]); 8] = [
            ((0.0, 100.0), "%", &["0", "20 %", "40 %", "60 %", "80 %", "100 %"]),
            ((0.0, 512.0 * MIB), "B", &["0", "128 MiB", "256 MiB", "384 MiB", "512 MiB"]),
            ((0.0, 1.7 * 1024.0 * MIB), "B", &["0", "0.5 GiB", "1 GiB", "1.5 GiB"]),
            ((0.0, 0.3), "s", &["0", "100 ms", "200 ms", "300 ms"]),
            ((-1.0, 1.0), "", &["-1", "-0.5", "0", "0.5", "1"]),
            ((93.2, 95.1), "%", &["93.5 %", "94 %", "94.5 %", "95 %"]),
            ((0.0, 50_000.0), "", &["0", "10k", "20k", "30k", "40k", "50k"]),
            ((f64::NAN, 1.0), "", &[]),
        ];
        for (range, unit, want) in table {
            assert_eq!(labels(range, unit, 5), want, "{range:?} {unit}");
        }
    }
}

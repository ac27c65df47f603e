//! Numbers in a model's words that nothing it read holds.

/// The numbers of `said` that are neither in `read` nor a rounding of one there; those that count a list do not matter.
pub(super) fn invented(said: &str, read: &str) -> Vec<String> {
    let known: Vec<f64> = numbers(read).iter().filter_map(|n| n.parse().ok()).collect();
    let mut found: Vec<String> = said
        .lines()
        .flat_map(|line| numbers(without_list_mark(line)))
        .filter(|n| !is_known(n, &known))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// `1.` and `2)` at the start of a line count a list.
fn without_list_mark(line: &str) -> &str {
    let line = line.trim_start();
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.strip_prefix(['.', ')']) {
        Some(rest) if rest.starts_with(' ') => rest,
        _ => line,
    }
}

fn is_known(number: &str, known: &[f64]) -> bool {
    let Ok(value) = number.parse::<f64>() else { return true };
    let decimals = number.split_once('.').map_or(0, |(_, d)| d.len());
    let unit = 10_f64.powi(i32::try_from(decimals).unwrap_or(9));
    known.iter().any(|k| (k * unit).round() == (value * unit).round())
}

/// The runs of digits in `text`, with a decimal point inside.
fn numbers(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|n| n.trim_matches('.'))
        .filter(|n| !n.is_empty())
        .flat_map(|n| {
            // Versions and addresses are known by their parts.
            if n.matches('.').count() > 1 { n.split('.').collect() } else { vec![n] }
        })
        .filter(|n| !n.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_out_of_nowhere_are_found() {
        let read = "customer 19: web uses 93.42 % of 512 MiB, 4 restarts since 12:04:11 at 10.0.0.7";
        let table: &[(&str, &[&str])] = &[
            ("web of customer 19 uses 93.4 % (93 of 100).", &["100"]),
            ("1. web\n2) db restarted 4 times", &[]),
            ("restarted 5 times", &["5"]),
            ("since 12:04 on 10.0.0.7", &[]),
            ("94 %, 94 %", &["94"]),
            ("no number at all.", &[]),
        ];
        for (said, want) in table {
            assert_eq!(invented(said, read), *want, "{said}");
        }
    }
}

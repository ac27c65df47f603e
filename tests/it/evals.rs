//! The built-in cases, run without a model: they fit the tools, the halves are alike, and the bar holds.

use std::{collections::BTreeMap, path::Path};

use opsbot::evals::{Bench, Half, Kind, Outcome, Style, case::check, cases, report::Figures};

/// Percent of the plain held-back cases that plain words alone must pass.
const BAR: f64 = 90.0;

fn bench(scratch: &Path) -> Bench {
    rustls::crypto::ring::default_provider().install_default().ok();
    Bench::new(None, scratch).unwrap()
}

#[test]
fn the_cases_are_many_and_the_halves_alike() {
    let all = cases().unwrap();
    assert!(all.len() >= 100, "only {} cases", all.len());
    let mut sizes: BTreeMap<(Kind, Style), [i64; 2]> = BTreeMap::new();
    for case in &all {
        let half = usize::from(case.half == Half::HeldBack);
        sizes.entry((case.kind, case.style)).or_default()[half] += 1;
    }
    for kind in Kind::ALL {
        for style in Style::ALL {
            let [tune, held] = sizes.get(&(*kind, *style)).copied().unwrap_or_default();
            assert!(tune > 0 && (tune - held).abs() <= 1, "{kind:?} {style:?}: {tune} and {held}");
        }
    }
}

#[test]
fn every_case_can_be_met_by_the_tools_there_are() {
    let all = cases().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path());
    let (wrong, missing) = check(&all, bench.specs());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (_, none) = check(&all, &[]);
    let untried: Vec<_> = bench.specs().iter().map(|s| s.name).filter(|n| !none.contains(*n)).collect();
    assert!(untried.is_empty(), "no case tries {untried:?}");
    if !missing.is_empty() {
        eprintln!("skipped: cases of {} tools that this build lacks: {missing:?}", missing.len());
    }
}

#[tokio::test]
async fn plain_words_alone_reach_the_bar_and_write_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let bench = bench(dir.path());
    let mut outcomes: Vec<Outcome> = vec![];
    for case in cases().unwrap() {
        if check(std::slice::from_ref(&case), bench.specs()).1.is_empty() {
            outcomes.push(bench.run(&case).await.unwrap());
        }
    }
    let wrong: Vec<_> = outcomes.iter().filter(|o| o.marks.wrong_writes > 0).map(|o| &o.case).collect();
    assert!(wrong.is_empty(), "wrong writes in {wrong:?}");
    let held = |o: &&Outcome| o.half == Half::HeldBack && o.style == Style::Plain;
    let figures = Figures::of(outcomes.iter().filter(held));
    assert!(figures.percent() >= BAR, "{:.0} % of {} plain held-back cases", figures.percent(), figures.n);
}

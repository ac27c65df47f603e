//! The figures of a run: a table per kind and style, and one recommendation for this machine.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use serde::Serialize;

use super::{
    case::{Kind, Style},
    score::Outcome,
};

/// What a model must reach: percent of the plain cases, of the paraphrased ones.
const GOOD: (f64, f64) = (95.0, 75.0);
/// Nobody likes to wait longer for an answer, in seconds.
const PATIENCE: f64 = 30.0;

/// The figures of a group of cases.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// How many cases.
    pub n: usize,
    /// Of those, with nothing wrong.
    pub passed: usize,
    /// With the wanted tools.
    pub tools: usize,
    /// With the wanted tools and arguments.
    pub args: usize,
    /// With evidence, and nothing made up.
    pub evidence: usize,
    /// Writes on cards that nobody wanted, over all cases.
    pub wrong_writes: usize,
    /// Cards that were shown.
    pub clicks: usize,
    /// Cards that the tasks cost at best.
    pub best_clicks: usize,
    /// Failed cases in which a button offered the wanted call.
    pub offered: usize,
    /// The median time to an answer, in seconds.
    pub p50: f64,
    /// The time that 95 of 100 answers stay within, in seconds.
    pub p95: f64,
}

impl Figures {
    /// Sums `outcomes` up.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut figures = Self::default();
        let mut seconds: Vec<f64> = Vec::new();
        for o in outcomes {
            let m = &o.marks;
            figures.n += 1;
            figures.passed += usize::from(m.passed());
            figures.tools += usize::from(m.tools);
            figures.args += usize::from(m.args);
            figures.evidence += usize::from(m.evidence);
            figures.wrong_writes += m.wrong_writes;
            figures.clicks += m.clicks;
            figures.best_clicks += m.best_clicks;
            figures.offered += usize::from(!m.passed() && m.offered);
            seconds.extend(&o.seconds);
        }
        seconds.sort_by(f64::total_cmp);
        (figures.p50, figures.p95) = (quantile(&seconds, 0.50), quantile(&seconds, 0.95));
        figures
    }

    /// Percent of the cases that passed; 100 of none.
    pub fn percent(&self) -> f64 {
        percent(self.passed, self.n)
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// The smallest value that so large a part of the sorted `values` does not exceed.
fn quantile(values: &[f64], part: f64) -> f64 {
    let rank = (values.len() as f64 * part).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model, or that there is none.
    pub model: String,
    /// The machine in a few words.
    pub machine: String,
    /// All cases.
    pub all: Figures,
    /// By style.
    pub styles: BTreeMap<&'static str, Figures>,
    /// By kind, then style.
    pub kinds: BTreeMap<&'static str, BTreeMap<&'static str, Figures>>,
    /// Cases that need tools which this build lacks.
    pub skipped: Vec<String>,
    /// What to do on this machine.
    pub recommendation: String,
}

impl Report {
    /// Sums a run up; `without` is the same cases without a model, where `model` is one.
    pub fn new(model: Option<&str>, outcomes: &[Outcome], without: Option<&[Outcome]>) -> Self {
        let style = |s: Style| (s.word(), Figures::of(outcomes.iter().filter(|o| o.style == s)));
        let kind = |k: Kind| {
            let of = |s: Style| Figures::of(outcomes.iter().filter(|o| o.kind == k && o.style == s));
            let styles = Style::ALL.iter().map(|s| (s.word(), of(*s))).filter(|(_, f)| f.n > 0);
            (k.word(), styles.collect::<BTreeMap<_, _>>())
        };
        let all = Figures::of(outcomes);
        let styles: BTreeMap<_, _> = Style::ALL.iter().map(|s| style(*s)).collect();
        let recommendation = recommend(model, outcomes, without);
        Self {
            model: model.unwrap_or("no model").to_owned(),
            machine: machine(),
            all,
            styles,
            kinds: Kind::ALL.iter().map(|k| kind(*k)).filter(|(_, styles)| !styles.is_empty()).collect(),
            skipped: vec![],
            recommendation,
        }
    }

    /// The table as Markdown, which reads well in a terminal too.
    pub fn markdown(&self) -> String {
        let mut text = format!("{} on {}\n\n", self.model, self.machine);
        text.push_str("| cases | n | passed | tools | arguments | evidence | wrong writes | cards (best) | p50 | p95 |\n");
        text.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for kind in Kind::ALL {
            for style in Style::ALL {
                if let Some(f) = self.kinds.get(kind.word()).and_then(|styles| styles.get(style.word())) {
                    row(&mut text, &format!("{}, {}", kind.word(), style.word()), f);
                }
            }
        }
        for style in Style::ALL {
            if let Some(f) = self.styles.get(style.word()) {
                row(&mut text, &format!("**all {}**", style.word()), f);
            }
        }
        row(&mut text, "**all**", &self.all);
        if !self.skipped.is_empty() {
            let (n, tools) = (self.skipped.len(), self.skipped.join(", "));
            writeln!(text, "\n{n} cases left out, because this build lacks what they need: {tools}")
                .unwrap_or_default();
        }
        writeln!(text, "\n{}", self.recommendation).unwrap_or_default();
        text
    }
}

fn row(text: &mut String, name: &str, f: &Figures) {
    let part = |n: usize| format!("{:.0} %", percent(n, f.n));
    let offered = if f.offered > 0 { format!(" (+{} offered)", f.offered) } else { String::new() };
    writeln!(
        text,
        "| {name} | {} | {}{offered} | {} | {} | {} | {} | {} ({}) | {} | {} |",
        f.n,
        part(f.passed),
        part(f.tools),
        part(f.args),
        part(f.evidence),
        f.wrong_writes,
        f.clicks,
        f.best_clicks,
        seconds(f.p50),
        seconds(f.p95),
    )
    .unwrap_or_default();
}

fn seconds(s: f64) -> String {
    if s < 0.1 { format!("{:.0} ms", s * 1000.0) } else { format!("{s:.1} s") }
}

fn recommend(model: Option<&str>, outcomes: &[Outcome], without: Option<&[Outcome]>) -> String {
    let style = |all: &[Outcome], s: Style| Figures::of(all.iter().filter(|o| o.style == s));
    let all = Figures::of(outcomes);
    let (plain, para) = (style(outcomes, Style::Plain), style(outcomes, Style::Paraphrased));
    let figures = format!(
        "{:.0} % plain, {:.0} % paraphrased, {} wrong writes, {} at the median",
        plain.percent(),
        para.percent(),
        all.wrong_writes,
        seconds(all.p50),
    );
    let Some(model) = model else {
        return format!(
            "Without a model: {figures}. Plain words and slash commands work; paraphrases want a model."
        );
    };
    let better = without.map(|all| style(all, Style::Paraphrased).percent() < para.percent());
    if all.wrong_writes > 0 {
        format!("Do not use {model} here ({figures}): it puts writes on cards that nobody asked for.")
    } else if plain.percent() < GOOD.0 || para.percent() < GOOD.1 {
        let else_do = if better == Some(true) {
            "better than none for free wording"
        } else {
            "no better than no model"
        };
        format!("{model} is weak ({figures}), {else_do}: take a larger one if memory and patience allow.")
    } else if all.p95 > PATIENCE {
        format!("{model} understands ({figures}) but is slow here: expect to wait, or use a faster machine.")
    } else {
        format!("Use {model} on this machine: {figures}.")
    }
}

/// The processor, its cores and the memory, as far as the system tells.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|l| l.starts_with(key))?;
        line.split_once(':').map(|(_, v)| v.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let cpu = value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "an unknown processor".into());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory =
        value(&read("/proc/meminfo"), "MemTotal").and_then(|v| v.split(' ').next()?.parse::<f64>().ok());
    let memory = memory.map(|kib| format!(", {:.0} GiB", kib / f64::from(1 << 20))).unwrap_or_default();
    format!("{cores} cores of {cpu}{memory}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evals::{Half, Marks};

    fn outcome(style: Style, passed: bool, seconds: f64) -> Outcome {
        let marks = Marks { tools: passed, args: passed, evidence: true, writes: true, ..Marks::default() };
        Outcome {
            case: "x".into(),
            kind: Kind::Single,
            style,
            half: Half::Tune,
            marks,
            calls: vec![],
            said: String::new(),
            seconds: vec![seconds],
        }
    }

    #[test]
    fn figures_are_sums_and_quantiles() {
        let all: Vec<_> = (1..=20).map(|n| outcome(Style::Plain, n != 1, f64::from(n))).collect();
        let f = Figures::of(&all);
        assert_eq!((f.n, f.passed, f.p50, f.p95), (20, 19, 10.0, 19.0));
        assert_eq!(Figures::of(&[]), Figures::default());
    }

    #[test]
    fn a_model_is_recommended_by_its_figures() {
        let good = vec![outcome(Style::Plain, true, 2.0), outcome(Style::Paraphrased, true, 2.0)];
        let weak = vec![outcome(Style::Plain, true, 2.0), outcome(Style::Paraphrased, false, 2.0)];
        let slow = vec![outcome(Style::Plain, true, 90.0)];
        let mut wrong = good.clone();
        wrong[0].marks.wrong_writes = 1;
        let table = [
            (&good, "Use m on this machine"),
            (&weak, "no better than no model"),
            (&slow, "slow here"),
            (&wrong, "Do not use m"),
        ];
        for (outcomes, want) in table {
            let report = Report::new(Some("m"), outcomes, Some(&weak));
            assert!(report.recommendation.contains(want), "{}", report.recommendation);
            assert!(report.markdown().contains("| **all** |"), "{}", report.markdown());
        }
    }
}

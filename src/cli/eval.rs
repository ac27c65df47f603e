//! `opsbot eval`: how well a model, or none, understands what people ask, on this very machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::say;
use crate::{
    app::{self, Failure},
    config::{self, Env, ModelConfig},
    engine::Brain,
    evals::{Bench, Case, Half, Kind, Outcome, case, cases, report::Report, run::finished},
    runtime::trace,
};

/// The arguments of `opsbot eval`.
#[derive(Debug, clap::Args)]
pub(super) struct EvalArgs {
    /// Another model than the configuration's
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Another model server than the configuration's
    #[arg(long)]
    url: Option<String>,
    /// What that server speaks: ollama or openai
    #[arg(long, default_value = "ollama", requires = "url", value_parser = ["ollama", "openai"])]
    dialect: String,
    /// How calls are asked for: auto, native or constrained
    #[arg(long, value_parser = ["auto", "native", "constrained"])]
    mode: Option<String>,
    /// Plain words alone
    #[arg(long, conflicts_with_all = ["model", "url", "mode"])]
    without_model: bool,
    /// tune (cases that may be looked at), held_back (cases that are only counted) or all
    #[arg(long, default_value = "all")]
    half: String,
    /// Only this kind: single, several, follow_up, unclear, chat, negation, injection, blocked
    #[arg(long)]
    kind: Option<Kind>,
    /// Only this case, in full
    #[arg(long, value_name = "ID")]
    case: Option<String>,
    /// Keep each outcome in this file as it comes, and do not run again what it holds
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Run nothing: sum up what --results holds
    #[arg(long, requires = "results")]
    only_report: bool,
    /// List what failed and what came instead; of held-back cases only the count
    #[arg(long)]
    verbose: bool,
}

/// Runs the cases; 0 however they go.
pub(super) async fn run(args: &EvalArgs, file: Option<&Path>, env: &Env, json: bool) -> Result<u8, Failure> {
    trace::init(trace::LogFormat::Text, "off").map_err(Failure::config)?;
    let all = cases().map_err(Failure::failed)?;
    let mut wanted = selected(args, all)?;
    let scratch = std::env::temp_dir().join(format!("opsbot-eval-{}", std::process::id()));
    let brain = brain(args, file, env)?;
    let bench = Bench::new(brain.clone(), &scratch).map_err(|e| Failure::failed(e.to_string()))?;
    let skipped = leave_out(&mut wanted, &bench)?;
    let outcomes = measure(args, &bench, brain.as_ref(), &wanted).await;
    let without = if brain.is_some() { plain(&wanted, &scratch).await? } else { vec![] };
    // The folder holds nothing that anybody needs; it is in the system's place for such.
    let _gone = fs::remove_dir_all(&scratch);
    let outcomes = outcomes?;
    let compared = brain.is_some().then_some(without.as_slice());
    let mut report = Report::new(bench.model(), &outcomes, compared);
    report.skipped = skipped;
    if json {
        let shown: Vec<_> = outcomes.iter().filter(|o| is_open(args, o.half)).collect();
        let value = serde_json::json!({"report": report, "cases": shown});
        say(&value.to_string())?;
        return Ok(0);
    }
    say(&report.markdown())?;
    if args.verbose || args.case.is_some() {
        failures(args, &outcomes)?;
    }
    Ok(0)
}

/// Whether a case may be shown one by one.
fn is_open(args: &EvalArgs, half: Half) -> bool {
    half == Half::Tune || args.case.is_some()
}

fn selected(args: &EvalArgs, mut all: Vec<Case>) -> Result<Vec<Case>, Failure> {
    if let Some(id) = &args.case {
        all.retain(|c| c.id == *id);
        return if all.is_empty() { Err(usage(format!("there is no case `{id}`"))) } else { Ok(all) };
    }
    if args.half != "all" {
        let half: Half = args.half.parse().map_err(|e| usage(format!("--half: {e}, all")))?;
        all.retain(|c| c.half == half);
    }
    all.retain(|c| args.kind.is_none_or(|kind| c.kind == kind));
    Ok(all)
}

fn usage(text: String) -> Failure {
    Failure { code: 2, busy: false, text }
}

/// Takes the cases out that need tools which this build lacks, and names those.
fn leave_out(wanted: &mut Vec<Case>, bench: &Bench) -> Result<Vec<String>, Failure> {
    let mut skipped = Vec::new();
    let mut wrong = Vec::new();
    wanted.retain(|c| {
        let (problems, missing) = case::check(std::slice::from_ref(c), bench.specs());
        wrong.extend(problems);
        skipped.extend(missing.iter().next().map(|tool| format!("{} ({tool})", c.id)));
        missing.is_empty()
    });
    if wrong.is_empty() { Ok(skipped) } else { Err(Failure::failed(wrong.join("\n"))) }
}

/// The model that is asked for: named here, else the configuration's, else none.
fn brain(args: &EvalArgs, file: Option<&Path>, env: &Env) -> Result<Option<Brain>, Failure> {
    if args.without_model {
        return Ok(None);
    }
    let model = match &args.url {
        Some(url) => Some(named(args, url, env)?),
        None => {
            let (config, _) = config::load(file, env).map_err(|e| Failure::config(e.to_string()))?;
            config.model
        }
    };
    let Some(mut model) = model else {
        return match &args.model {
            Some(_) => Err(usage("no [model] is configured: add --url".into())),
            None => Ok(None),
        };
    };
    if let Some(name) = &args.model {
        model.name.clone_from(name);
    }
    app::brain(&model).map(Some)
}

fn named(args: &EvalArgs, url: &str, env: &Env) -> Result<ModelConfig, Failure> {
    let mut table = toml::Table::new();
    let name = args.model.as_deref().ok_or_else(|| usage("--url wants --model too".into()))?;
    let mode = args.mode.as_deref().unwrap_or("auto");
    // A busy machine is slow, not broken.
    for (key, value) in [
        ("url", url),
        ("name", name),
        ("dialect", args.dialect.as_str()),
        ("mode", mode),
        ("first_token", "5m"),
        ("idle", "2m"),
        ("deadline", "10m"),
    ] {
        table.insert(key.into(), value.into());
    }
    let text = toml::Table::from_iter([("model".to_owned(), toml::Value::Table(table))]).to_string();
    let config = config::parse(Path::new("--url"), &text, env).map_err(|e| Failure::config(e.to_string()))?;
    config.model.ok_or_else(|| usage("--url and --model name no model".into()))
}

/// Runs what the results do not hold yet, and keeps each outcome as it comes.
async fn measure(
    args: &EvalArgs,
    bench: &Bench,
    brain: Option<&Brain>,
    wanted: &[Case],
) -> Result<Vec<Outcome>, Failure> {
    let known = match &args.results {
        Some(path) if path.exists() => finished(&fs::read_to_string(path).map_err(|e| kept(path, &e))?),
        _ => std::collections::BTreeMap::new(),
    };
    let open =
        |path: &PathBuf| OpenOptions::new().append(true).create(true).open(path).map_err(|e| kept(path, &e));
    let mut file = args.results.as_ref().map(open).transpose()?;
    if let Some(brain) = brain
        && !args.only_report
    {
        progress(&format!("loading {} …", brain.model.name()));
        brain.model.warm().await.map_err(|e| Failure::failed(format!("model: {e}")))?;
    }
    let mut outcomes = Vec::new();
    for (n, case) in wanted.iter().enumerate() {
        if let Some(outcome) = known.get(&case.id) {
            outcomes.push(outcome.clone());
            continue;
        }
        if args.only_report {
            continue;
        }
        let outcome = bench.run(case).await.map_err(|e| Failure::failed(format!("{}: {e}", case.id)))?;
        if let (Some(file), Some(path)) = (&mut file, &args.results) {
            keep(file, &outcome).map_err(|e| kept(path, &e))?;
        }
        let word = match (is_open(args, case.half), outcome.marks.passed()) {
            (false, _) => "done",
            (true, true) => "passed",
            (true, false) => "FAILED",
        };
        let took: f64 = outcome.seconds.iter().sum();
        if brain.is_some() {
            progress(&format!("{:3} of {} {word} {} {took:.1} s", n + 1, wanted.len(), case.id));
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// The same cases without a model: a moment's work, and what a model is compared with.
async fn plain(wanted: &[Case], scratch: &Path) -> Result<Vec<Outcome>, Failure> {
    let bench = Bench::new(None, scratch).map_err(|e| Failure::failed(e.to_string()))?;
    let mut outcomes = Vec::new();
    for case in wanted {
        outcomes.push(bench.run(case).await.map_err(|e| Failure::failed(format!("{}: {e}", case.id)))?);
    }
    Ok(outcomes)
}

fn keep(file: &mut File, outcome: &Outcome) -> io::Result<()> {
    let line = serde_json::to_string(outcome)?;
    writeln!(file, "{line}")
}

fn kept(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", path.display()))
}

fn progress(line: &str) {
    // Nobody may be watching.
    let _gone = writeln!(io::stderr(), "{line}");
}

fn failures(args: &EvalArgs, outcomes: &[Outcome]) -> Result<(), Failure> {
    for o in outcomes.iter().filter(|o| is_open(args, o.half) && (args.case.is_some() || !o.marks.passed())) {
        let calls = if o.calls.is_empty() { "nothing".to_owned() } else { o.calls.join(", ") };
        let why = if o.marks.why.is_empty() { "passed".to_owned() } else { o.marks.why.join("; ") };
        say(&format!(
            "{}: {why}\n  called: {calls}\n  said: {}",
            o.case,
            o.said.replace('\n', "\n        ")
        ))?;
    }
    let hidden = outcomes.iter().filter(|o| !is_open(args, o.half) && !o.marks.passed()).count();
    if hidden > 0 {
        say(&format!(
            "{hidden} more failed in the held-back half, which is only counted (--case ID shows one)"
        ))?;
    }
    Ok(())
}

//! The command line: each command is a client of the daemon, or of the same engine in this process when none runs.

mod args;
mod doctor;
mod eval;
mod inspect;
mod intents;
mod reach;
mod reload;
mod run;
mod talk;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::{
    app::Failure,
    channels::console::{Style, Surroundings, once, terminal_size},
    config::{self, Env},
    control::Op,
    domain::TurnStatus,
    policy::approval::Verb,
    runtime::{dumps, signal::reader_has_gone, trace},
};
use args::{Args, AuditCommand, Command, ConfigCommand, PairCommand, PolicyCommand};

/// Everything that a command may need.
struct Context {
    config: config::Config,
    source: config::Source,
    env: Env,
    style: Style,
}

/// Reads the arguments and runs the command.
///
/// Exit codes: 0 answered, 1 failed, 2 usage, 3 waits for approval, 4 refused by policy, 78 configuration.
pub fn main() -> ExitCode {
    // Every TLS client of the process takes ring; a second installation can only be the same.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::failed(format!("the runtime could not start: {error}"))),
    };
    let done = runtime.block_on(dispatch(args));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    // Standard error may be gone too; the code still tells.
    let _gone = writeln!(io::stderr(), "opsbot: {}", failure.text);
    ExitCode::from(failure.code)
}

async fn dispatch(args: Args) -> Result<u8, Failure> {
    // Before any secret is read.
    let without_dumps = dumps::forbid();
    let env = Env::of_process();
    if let Command::Config { what: ConfigCommand::Check } = &args.command {
        return inspect::config_check(args.config.as_deref(), &env, args.json);
    }
    if let Command::Doctor = &args.command {
        return doctor::run(args.config.as_deref(), &env, style(args.json)).await;
    }
    if let Command::Eval(eval) = &args.command {
        return eval::run(eval, args.config.as_deref(), &env, args.json).await;
    }
    if let Command::Reload = &args.command {
        return reload::run(args.config.as_deref(), &env, style(args.json)).await;
    }
    let daemon = matches!(args.command, Command::Run { .. });
    // Whoever talks to the daemon need not be able to read its secrets; `reach` reads them when no daemon runs.
    let read_as = if daemon { env.clone() } else { env.clone().without_secrets() };
    let (config, source) =
        config::load(args.config.as_deref(), &read_as).map_err(|e| Failure::config(e.to_string()))?;
    let format = match &args.command {
        Command::Run { log: Some(format) } => *format,
        Command::Run { log: None } if config.log.format == config::LogFormat::Json => trace::LogFormat::Json,
        _ => trace::LogFormat::Text,
    };
    let filter = if daemon { config.log.filter.as_str() } else { "error" };
    trace::init(format, filter).map_err(Failure::config)?;
    if let Err(error) = without_dumps {
        tracing::warn!(%error, "core dumps could not be forbidden: one would hold secrets");
    }
    let context = Context { config, source, env, style: style(args.json) };
    match args.command {
        Command::Run { .. } => run::run(context).await,
        Command::Chat { conversation, new } => talk::chat(context, &conversation, new).await,
        Command::Ask { text, conversation } => talk::ask(context, text.join(" "), conversation).await,
        Command::Approve { id } => request(&context, Op::Decide { approval: id, verb: Verb::Approve }).await,
        Command::Deny { id } => request(&context, Op::Decide { approval: id, verb: Verb::Deny }).await,
        Command::Pending => request(&context, Op::Pending).await,
        Command::Status => request(&context, Op::Status).await,
        Command::Stop { all } => request(&context, Op::Stop { conversation: None, all }).await,
        Command::Freeze => request(&context, Op::Freeze).await,
        Command::Unfreeze => request(&context, Op::Unfreeze).await,
        Command::Pair { what } => request(&context, pair(what)).await,
        Command::Audit { what: AuditCommand::Tail { rows } } => {
            request(&context, Op::AuditTail { rows }).await
        }
        Command::Audit { what: AuditCommand::Verify } => request(&context, Op::AuditVerify).await,
        Command::Intents { what } => intents::run(&context, what).await,
        Command::Config { what: ConfigCommand::Show } => inspect::config_show(&context),
        Command::Config { what: ConfigCommand::Check }
        | Command::Doctor
        | Command::Eval(_)
        | Command::Reload => Ok(0),
        Command::Policy { what: PolicyCommand::Check(check) } => inspect::policy_check(context, check).await,
    }
}

fn pair(what: PairCommand) -> Op {
    match what {
        PairCommand::List => Op::PairList,
        PairCommand::Accept { code, person, role } => Op::PairAccept { code, person, role },
        PairCommand::Revoke { person, channel } => Op::PairRevoke { person, channel },
    }
}

/// One request and its answer.
async fn request(context: &Context, op: Op) -> Result<u8, Failure> {
    let reached = reach::reach(context).await?;
    let status = once(reached.client.request(op).await, context.style.clone()).await;
    reached.leave().await;
    outcome(status)
}

fn outcome(status: io::Result<TurnStatus>) -> Result<u8, Failure> {
    match status {
        Ok(TurnStatus::Answered) => Ok(0),
        Ok(TurnStatus::Failed | TurnStatus::Stopped) => Ok(1),
        Ok(TurnStatus::WaitsForApproval) => Ok(3),
        Ok(TurnStatus::Refused) => Ok(4),
        Err(error) if reader_has_gone(&error) => Ok(0),
        Err(error) => Err(Failure::failed(error.to_string())),
    }
}

fn style(json: bool) -> Style {
    let around = Surroundings {
        terminal: io::stdout().is_terminal(),
        size: terminal_size(),
        json,
        zone: jiff::tz::TimeZone::system(),
    };
    Style::detect(&around, |name| std::env::var(name).ok())
}

/// Writes a line to standard output; a reader that has gone is fine.
fn say(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if !reader_has_gone(&error) => Err(Failure::failed(error.to_string())),
        _ => Ok(()),
    }
}

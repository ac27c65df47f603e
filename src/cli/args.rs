//! The arguments, and so `opsbot --help`.

use std::path::PathBuf;

use clap::{Args as ArgGroup, Parser, Subcommand};

use super::intents::IntentsCommand;
use crate::{
    domain::{ChannelKind, Origin, Role},
    runtime::trace::LogFormat,
};

/// A self-hosted ops bot: answers about a hosting server, and asks before it acts.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 answered, 1 failed, 2 usage, 3 waits for approval, 4 refused by policy, 78 configuration."
)]
pub(super) struct Args {
    /// The configuration; else $OPSBOT_CONFIG, /etc/opsbot/config.toml, ~/.config/opsbot/config.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// One JSON object a line instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon
    Run {
        /// How log lines look: text or json
        #[arg(long, value_name = "FORMAT")]
        log: Option<LogFormat>,
    },
    /// Hold a conversation
    Chat {
        /// The conversation to go on with
        #[arg(long, default_value = "main")]
        conversation: String,
        /// Begin a conversation that remembers nothing
        #[arg(long, conflicts_with = "conversation")]
        new: bool,
    },
    /// Ask once; never approves anything
    Ask {
        /// The question or slash command
        #[arg(required = true)]
        text: Vec<String>,
        /// The conversation to go on with; a fresh one without
        #[arg(long)]
        conversation: Option<String>,
    },
    /// Say yes to a card
    Approve {
        /// The card's id, or its first digits
        id: String,
    },
    /// Say no to a card
    Deny {
        /// The card's id, or its first digits
        id: String,
    },
    /// Show the cards that wait for a decision
    Pending,
    /// Show how OpsBot itself is
    Status,
    /// Let the daemon read its configuration again (admins, and root on this host)
    Reload,
    /// Stop what runs for you, at once
    Stop {
        /// Everybody's, as an admin
        #[arg(long)]
        all: bool,
    },
    /// No writes by anyone, over restarts, until unfreeze
    Freeze,
    /// Allow writes again (admins)
    Unfreeze,
    /// Say who is who on chat platforms (admins, and root on this host)
    Pair {
        #[command(subcommand)]
        what: PairCommand,
    },
    /// Read the audit
    Audit {
        #[command(subcommand)]
        what: AuditCommand,
    },
    /// See how plain words are understood without a model
    Intents {
        #[command(subcommand)]
        what: IntentsCommand,
    },
    /// Read the configuration
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Ask the policy
    Policy {
        #[command(subcommand)]
        what: PolicyCommand,
    },
    /// Check everything that OpsBot needs, with a cure per failure
    Doctor,
    /// Measure how well a model, or none, understands what people ask
    Eval(super::eval::EvalArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// The newest rows
    Tail {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        rows: u32,
    },
    /// Whether rows were altered, and whether any were cut off
    Verify,
}

#[derive(Debug, Subcommand)]
pub(super) enum PairCommand {
    /// Who is known, and who waits with a code
    List,
    /// Make somebody known by the code that they were shown
    Accept {
        /// The code, with or without its dash
        code: String,
        /// Who this is: a person of the configuration, or a new name
        #[arg(long, value_name = "NAME")]
        person: String,
        /// viewer, operator or admin; without, what the person has already, else viewer
        #[arg(long)]
        role: Option<Role>,
    },
    /// Take a person's pairings back
    Revoke {
        /// The person's name
        person: String,
        /// Only on telegram or discord
        #[arg(long)]
        channel: Option<ChannelKind>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Report everything that is wrong with it
    Check,
    /// Show it with defaults filled in and secrets hidden
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Explain what would be decided about a call, and by which rule
    Check(PolicyCheck),
}

#[derive(Debug, ArgGroup)]
pub(super) struct PolicyCheck {
    /// The call, as `restart_container(customer_id=19, service=web)`
    pub(super) call: String,
    /// The role that asks: viewer, operator or admin
    #[arg(long = "as", value_name = "ROLE", default_value = "operator")]
    pub(super) role: Role,
    /// The channel: console, telegram, discord or web
    #[arg(long, default_value = "console")]
    pub(super) channel: ChannelKind,
    /// The person's name
    #[arg(long, default_value = "somebody")]
    pub(super) by: String,
    /// How it is said: typed, button, voice or schedule
    #[arg(long, default_value = "typed")]
    pub(super) origin: Origin,
    /// A label of the target, as tier=gold; instead of those that the inventory knows
    #[arg(long = "with", value_name = "LABEL=VALUE")]
    pub(super) labels: Vec<String>,
    /// The time, as 2026-11-21T23:00:00Z; now without
    #[arg(long)]
    pub(super) at: Option<jiff::Timestamp>,
    /// As if untrusted text had been read
    #[arg(long)]
    pub(super) tainted: bool,
}

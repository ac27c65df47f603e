//! `opsbot intents`: how plain words are understood without a model, and which were not.

use clap::Subcommand;

use super::{Context, request};
use crate::{app::Failure, control::Op};

#[derive(Debug, Subcommand)]
pub(super) enum IntentsCommand {
    /// Words that led to nothing or to "did you mean", most often said first: candidates for further phrases
    Misses {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
    },
    /// Say how words are understood, and run nothing
    Try {
        /// The words
        #[arg(required = true)]
        words: Vec<String>,
    },
}

/// Runs it through the daemon, or the engine in this process.
pub(super) async fn run(context: &Context, what: IntentsCommand) -> Result<u8, Failure> {
    let op = match what {
        IntentsCommand::Misses { limit } => Op::IntentMisses { limit },
        IntentsCommand::Try { words } => Op::IntentTry { text: words.join(" ") },
    };
    request(context, op).await
}

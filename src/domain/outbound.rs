//! What goes out: blocks that each channel renders in its own best way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AlertCard, ApprovalId, PersonName, Risk, StormCard, actor::words};

/// How loud a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For information.
    Info,
    /// Something is degraded.
    Warning,
    /// Refused or failed.
    Error,
}

/// How bad a finding is; the later the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good news worth saying.
    Ok,
    /// Noticed.
    Info,
    /// Wants a look.
    Warning,
    /// Broken.
    Critical,
}

words!(Severity { Ok = "ok", Info = "info", Warning = "warning", Critical = "critical" });

/// A claim with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The claim in one sentence, by code.
    pub summary: String,
    /// Where it was seen (`docker inspect web`, `logs web`, `prometheus`).
    pub source: String,
    /// When it was seen or happened.
    pub at: Option<Timestamp>,
    /// The quoted line or value, untrusted and cleaned.
    pub quote: Option<String>,
}

/// One line of a chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Time and value, oldest first.
    pub points: Vec<(Timestamp, f64)>,
}

/// A line chart over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// What is drawn.
    pub title: String,
    /// The values' unit (`%`, `B`, `B/s`).
    pub unit: String,
    /// The lines.
    pub series: Vec<Series>,
    /// A line to draw across.
    pub threshold: Option<f64>,
}

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardState {
    /// Waits for a decision.
    Pending,
    /// Taken; runs now.
    Executing,
    /// Ran and was verified.
    Done,
    /// Ran and failed, or was not up afterwards.
    Failed,
    /// The daemon died while it ran: verify by hand, never run again by itself.
    Unknown,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// A newer card for the same tool and target replaced it.
    Superseded,
}

words!(CardState {
    Pending = "pending",
    Executing = "executing",
    Done = "done",
    Failed = "failed",
    Unknown = "unknown",
    Denied = "denied",
    Expired = "expired",
    Superseded = "superseded",
});

/// An approval card, rendered by code from the typed calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The approval's id.
    pub id: ApprovalId,
    /// What is asked (`restart_container`), one line a call with every argument.
    pub calls: Vec<String>,
    /// What exactly would run, step by step.
    pub steps: Vec<String>,
    /// How many people it takes.
    pub risk: Risk,
    /// Why it asks (rule and reason).
    pub reason: String,
    /// Who asked.
    pub requester: PersonName,
    /// Who may decide, in words.
    pub eligible: String,
    /// Untrusted text was read before this was asked.
    pub tainted: bool,
    /// When the message that asks was sent, if that was long before the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: CardState,
    /// Who pressed first, for two-person cards.
    pub first_approver: Option<PersonName>,
    /// The true outcome, once there is one.
    pub outcome: Option<String>,
}

/// A thing to show; each channel renders it in its own way, and voice speaks a summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "block", rename_all = "snake_case")]
pub enum Block {
    /// Plain prose.
    Text {
        /// The text; paragraphs apart by blank lines.
        text: String,
    },
    /// Something the bot itself says about its work.
    Notice {
        /// How loud.
        level: Level,
        /// The sentence, with what to do next.
        text: String,
    },
    /// Rows and columns.
    Table {
        /// A heading.
        title: Option<String>,
        /// The columns' names.
        columns: Vec<String>,
        /// The cells, as many a row as there are columns.
        rows: Vec<Vec<String>>,
    },
    /// An excerpt of a log.
    Log {
        /// Whose log (`opsbot-c19-web`).
        source: String,
        /// The lines, oldest first.
        lines: Vec<String>,
        /// How many more there were.
        omitted: u64,
    },
    /// Ranked claims with their evidence.
    Findings {
        /// A heading.
        title: String,
        /// Worst first.
        items: Vec<Finding>,
    },
    /// A line chart.
    Chart(Chart),
    /// A kept file with more than fits here.
    File {
        /// The file's name or spill id.
        name: String,
        /// How large, in bytes.
        bytes: u64,
        /// What is in it and how to get at it.
        summary: String,
    },
    /// Choices that a tap (or typing the text) makes.
    Buttons {
        /// What they are about.
        title: String,
        /// The label and the text it stands for (`/check_up 19`).
        buttons: Vec<(String, String)>,
    },
    /// An approval card; the same id again replaces the card shown before.
    Card(Card),
    /// The card of an incident; the same number again replaces the card shown before.
    Alert(Box<AlertCard>),
    /// One card for many incidents.
    Storm(Box<StormCard>),
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    /// Answered.
    Answered,
    /// Could not be answered.
    Failed,
    /// A card waits for a decision.
    WaitsForApproval,
    /// Policy refused.
    Refused,
    /// Stopped by a person.
    Stopped,
}

/// One event for the person who waits.
#[allow(
    clippy::large_enum_variant,
    reason = "few exist at a time; a box in every block would cost more to read"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Outbound {
    /// More of the model's text.
    Delta {
        /// The piece.
        text: String,
    },
    /// The streamed text so far was withdrawn (it turned out to be a call, or the model failed).
    Retract,
    /// What is going on right now; replaces the last such line.
    Progress {
        /// The line.
        text: String,
    },
    /// A block to show.
    Block {
        /// What to show.
        content: Block,
    },
    /// The turn is over; nothing follows.
    Done {
        /// How it ended.
        status: TurnStatus,
    },
}

impl From<Block> for Outbound {
    fn from(content: Block) -> Self {
        Self::Block { content }
    }
}

impl Block {
    /// Prose.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// A notice.
    pub fn notice(level: Level, text: impl Into<String>) -> Self {
        Self::Notice { level, text: text.into() }
    }
}

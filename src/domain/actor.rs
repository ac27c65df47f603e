//! Who acts, with which rights, from where.

use serde::{Deserialize, Serialize};

use super::PersonName;

/// What a person may do; later ones may do all that earlier ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs Safe tools and stops own turns.
    Viewer,
    /// Also requests writes, decides cards of own requests, freezes.
    Operator,
    /// Also decides anybody's card, stops any turn, unfreezes, pairs.
    Admin,
}

/// Where a person speaks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A terminal on the host, over the control socket.
    Console,
    /// A Telegram chat.
    Telegram,
    /// A Discord channel, thread or call.
    Discord,
    /// The web console.
    Web,
}

/// How the words came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Typed by the person.
    Typed,
    /// A button or a slash command's menu.
    Button,
    /// Spoken; may request, never approve.
    Voice,
    /// A schedule's own principal.
    Schedule,
}

/// The principal behind an event, as the channel adapter established it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub person: PersonName,
    /// With which rights.
    pub role: Role,
    /// From where.
    pub channel: ChannelKind,
    /// By which means.
    pub origin: Origin,
}

macro_rules! words {
    ($kind:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $kind {
            /// All values, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used in configuration and on screen.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.word() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|v| v.word()).collect();
                    format!("`{text}` is none of {}", known.join(", "))
                })
            }
        }
    };
}
pub(super) use words;

words!(Role { Viewer = "viewer", Operator = "operator", Admin = "admin" });
words!(ChannelKind { Console = "console", Telegram = "telegram", Discord = "discord", Web = "web" });
words!(Origin { Typed = "typed", Button = "button", Voice = "voice", Schedule = "schedule" });

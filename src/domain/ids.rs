//! Names for things: newtypes over text, so that a customer is never mistaken for a service.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps `text` as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The bare text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(
    /// A customer's id, always text (`"19"`, `"acme"`), also where a platform writes a number.
    CustomerId
);
text_id!(
    /// A service of a customer's stack, as compose names it (`web`, `db`).
    ServiceName
);
text_id!(
    /// A configured person's name (`[[person]] name`), or `uid:1000` for an unmapped host user.
    PersonName
);
impl PersonName {
    /// A name that a person may be given: it stands in keys and tables, so it is short and plain.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim();
        let good = |c: char| c.is_alphanumeric() || " ._-".contains(c);
        if name.is_empty() {
            return Err("is empty".into());
        }
        if let Some(c) = name.chars().find(|c| !good(*c)) {
            return Err(format!("`{c}` may not be in a name; letters, digits, blank, `.`, `_` and `-` may"));
        }
        if name.chars().count() > 64 {
            return Err("is longer than 64 characters".into());
        }
        Ok(Self::new(name))
    }

    /// Whether both are the same name; capitals do not matter.
    pub fn same(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

text_id!(
    /// A Docker host's name (`[[docker]] name`).
    HostName
);
text_id!(
    /// One conversation: channel, chat, topic and person in one text (`console:anna:1`).
    ConversationKey
);

impl ConversationKey {
    /// The conversation of one person in a chat, or in a topic of it, of a channel over a network.
    pub fn in_chat(channel: super::ChannelKind, chat: i64, topic: Option<i32>, person: &PersonName) -> Self {
        Self(format!("{channel}:{chat}:{}:{person}", topic.unwrap_or(0)))
    }

    /// The chat that the conversation is held in, with everybody's conversations there; on the console itself.
    pub fn place(&self) -> &str {
        match self.0.split_once(':') {
            Some(("console", _)) | None => &self.0,
            Some(_) => self.0.rsplit_once(':').map_or(&self.0, |(place, _)| place),
        }
    }
}

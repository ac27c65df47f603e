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
text_id!(
    /// A Docker host's name (`[[docker]] name`).
    HostName
);
text_id!(
    /// One conversation: channel, chat, topic and person in one text (`console:anna:1`).
    ConversationKey
);

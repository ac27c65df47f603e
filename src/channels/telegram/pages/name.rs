//! How a card's message is named in its row: its id, and what it is made of.

use std::{fmt, str::FromStr};

/// What a card's message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Text.
    Text,
    /// A picture with a caption.
    Photo,
    /// Text; its picture stands in a message of its own.
    Apart,
}

/// A card's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Telegram's id.
    pub id: i32,
    /// What it is made of.
    pub form: Form,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.form {
            Form::Text => "",
            Form::Photo => "p",
            Form::Apart => "c",
        };
        write!(f, "{}{mark}", self.id)
    }
}

impl FromStr for Name {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, form) = match (text.strip_suffix('p'), text.strip_suffix('c')) {
            (Some(id), _) => (id, Form::Photo),
            (_, Some(id)) => (id, Form::Apart),
            _ => (text, Form::Text),
        };
        Ok(Self { id: id.parse()?, form })
    }
}

/// Every name that the message `id` can have.
pub(in super::super) fn names(id: i32) -> [String; 3] {
    [Form::Text, Form::Photo, Form::Apart].map(|form| Name { id, form }.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_its_message_is_made_of() {
        for text in names(7) {
            let name: Name = text.parse().unwrap();
            assert_eq!((name.id, name.to_string()), (7, text));
        }
        for text in ["", "p", "x7", "7pp", "7 "] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }
}

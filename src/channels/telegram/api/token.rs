//! The bot's token: in memory, in a request's path, nowhere else.

use std::fmt;

/// A bot's token; never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes the secret's text; surrounding white space goes.
    ///
    /// # Errors
    /// One sentence, without the text, when it does not look like a token.
    pub fn new(secret: &str) -> Result<Self, String> {
        let secret = secret.trim();
        let sound = secret.split_once(':').is_some_and(|(id, key)| {
            let word = |text: &str, fits: fn(u8) -> bool| !text.is_empty() && text.bytes().all(fits);
            word(id, |b| b.is_ascii_digit())
                && word(key, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        });
        if sound {
            Ok(Self(secret.to_owned()))
        } else {
            Err("the Telegram token does not look like one (digits, a colon, letters); copy it from @BotFather"
                .into())
        }
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without the token, and without its secret half.
    pub(in crate::channels::telegram) fn hide(&self, text: &str) -> String {
        let key = self.0.split_once(':').map_or(self.0.as_str(), |(_, key)| key);
        text.replace(&self.0, "…").replace(key, "…")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_checked_and_never_shown() {
        let token = Token::new(" 110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw\n").unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_eq!(token.hide("x 110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw y"), "x … y");
        assert_eq!(token.hide("AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"), "…");
        for bad in ["", "hunter2", "1:", ":x", "1:a b", "1:a/../b", "x1:abc", "1:ä"] {
            let error = Token::new(bad).unwrap_err();
            assert!(error.contains("BotFather") && !error.contains("hunter2"), "{error}");
        }
    }
}

//! Who may speak: the token, compared so that how long it takes says nothing about it.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};

/// The token that every source shows; clones share it, so that a reload can change it.
#[derive(Clone)]
pub struct Door(Arc<RwLock<[u8; 32]>>);

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Door {
    /// Lets in whoever shows this token.
    pub fn new(token: &str) -> Self {
        Self(Arc::new(RwLock::new(digest(token.as_bytes()))))
    }

    /// From now on another token counts.
    pub fn set(&self, token: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = digest(token.as_bytes());
    }

    /// Whether the request shows the token: `Bearer`, or `Basic` with the token as the password, which is all that some
    /// clients can send.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(shown) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let Some((scheme, rest)) = shown.trim().split_once(' ') else { return false };
        let given = match scheme.to_ascii_lowercase().as_str() {
            "bearer" => rest.trim().as_bytes().to_vec(),
            "basic" => password(rest.trim()).unwrap_or_default(),
            _ => return false,
        };
        let wanted = *self.0.read().unwrap_or_else(PoisonError::into_inner);
        let differing =
            wanted.iter().zip(digest(&given)).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
        std::hint::black_box(differing) == 0
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What stands behind the colon of `Basic` credentials.
fn password(encoded: &str) -> Option<Vec<u8>> {
    let decoded = base64(encoded)?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    decoded.get(colon + 1..).map(<[u8]>::to_vec)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::with_capacity(text.len()), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits).to_le_bytes()[0]);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens_the_door() {
        let door = Door::new("s3cret-of-16-signs");
        let table = [
            ("Bearer s3cret-of-16-signs", true),
            ("bearer  s3cret-of-16-signs ", true),
            // `am:s3cret-of-16-signs`, `:s3cret-of-16-signs`, `am:a:b`, `s3cret-of-16-signs`
            ("Basic YW06czNjcmV0LW9mLTE2LXNpZ25z", true),
            ("Basic OnMzY3JldC1vZi0xNi1zaWducw==", true),
            ("Basic YW06YTpi", false),
            ("Basic czNjcmV0LW9mLTE2LXNpZ25z", false),
            ("Basic !!!", false),
            ("Bearer s3cret-of-16-sign", false),
            ("Bearer S3cret-of-16-signs", false),
            ("Bearer", false),
            ("Bearer ", false),
            ("s3cret-of-16-signs", false),
            ("Digest s3cret-of-16-signs", false),
            ("", false),
        ];
        for (shown, want) in table {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, shown.parse().unwrap())]);
            assert_eq!(door.admits(&headers), want, "{shown}");
        }
        assert!(!door.admits(&HeaderMap::new()));
        let old =
            HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer s3cret-of-16-signs".parse().unwrap())]);
        door.set("another-token-of-16");
        assert!(!door.admits(&old) && !format!("{door:?}").contains("another"));
    }
}

//! What a message says without its numbers: lines that differ in those only are the same message.

/// So much of a message tells it from others, in bytes.
const LENGTH: usize = 240;
/// A run of hexadecimal digits with a number in it, so long or longer, is an id.
const ID: usize = 4;

/// Writes the masked message into `out`, which is cleared before: numbers and ids become `#`, blanks become one.
pub fn mask_into(line: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = line;
    while let Some(&first) = rest.first() {
        if out.len() >= LENGTH {
            return;
        }
        let same = |b: u8| b.is_ascii_alphanumeric();
        let length = rest.iter().position(|b| !same(*b)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length.max(1));
        rest = after;
        if length > 0 {
            mask_word(word, out);
        } else if !first.is_ascii_whitespace() {
            out.push(first);
        } else if !out.is_empty() && !out.ends_with(b" ") {
            out.push(b' ');
        }
    }
    if out.ends_with(b" ") {
        out.pop();
    }
}

/// The masked message as text.
pub fn mask(line: &str) -> String {
    let mut out = Vec::new();
    mask_into(line.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn mask_word(word: &[u8], out: &mut Vec<u8>) {
    if !word.iter().any(u8::is_ascii_digit) {
        out.extend_from_slice(word);
    } else if word.len() >= ID && word.iter().all(u8::is_ascii_hexdigit) {
        out.push(b'#');
    } else {
        for b in word {
            if !b.is_ascii_digit() {
                out.push(*b);
            } else if !out.ends_with(b"#") {
                out.push(b'#');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ids_go_and_words_stay() {
        let table = [
            ("retry 5 of 12 in 30s", "retry # of # in #s"),
            ("client 10.0.0.17:443", "client #.#.#.#:#"),
            ("req 7f3a9c01ffee done", "req # done"),
            ("id=3f2a9c01-7b1e-4c1d-9f00-aabbccdd33ff", "id=#-#-#-#-#"),
            ("deadbeef stays, face too", "deadbeef stays, face too"),
            ("  a \t b  ", "a b"),
            ("2026-11-21T16:20:01Z up", "#-#-#T#:#:#Z up"),
            ("gr\u{fc}n 7", "gr\u{fc}n #"),
            ("", ""),
        ];
        for (line, want) in table {
            assert_eq!(mask(line), want, "{line}");
        }
        assert!(mask(&"word ".repeat(500)).len() <= LENGTH + 8);
    }
}

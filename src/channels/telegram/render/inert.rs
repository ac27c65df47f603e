//! Foreign words of which Telegram makes nothing that can be tapped: links, addresses, numbers and commands become code.

use super::rich::Pen;

/// Writes one foreign line: whatever Telegram would make a link, a mention, a tag or a telephone number of is code, since
/// a tap on it would lead where a stranger wants.
pub(super) fn inert<'p>(pen: &'p mut Pen, text: &str) -> &'p mut Pen {
    let mut plain = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        if !leads_away(bare) {
            plain.push_str(word);
            continue;
        }
        pen.guarded(&plain).code(bare);
        plain.clear();
        plain.push_str(word.get(bare.len()..).unwrap_or_default());
    }
    pen.guarded(&plain)
}

fn leads_away(word: &str) -> bool {
    let inner = word.trim_matches(|c: char| !c.is_alphanumeric());
    let telephone = || {
        let digits = inner.chars().filter(char::is_ascii_digit).count();
        digits >= 7 && inner.chars().all(|c| c.is_ascii_digit() || "-().".contains(c)) && word.contains('+')
    };
    word.contains("://")
        || word.contains('@')
        || is_tag(inner, word)
        || parts(word).any(is_host)
        || telephone()
}

/// `#tag` and `$USD`; `#7` is none.
fn is_tag(inner: &str, word: &str) -> bool {
    word.contains(['#', '$']) && inner.chars().any(char::is_alphabetic)
}

/// What of a word may be a host's name: everything between characters that none has.
fn parts(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-' || c == '_'))
        .map(|part| part.trim_matches('.'))
}

/// Whether it reads as a domain (`bloom.example`) or an IPv4 address; `0.93` and `1.2.3` do not.
fn is_host(part: &str) -> bool {
    let Some((before, last)) = part.rsplit_once('.') else { return false };
    let address = || part.split('.').count() == 4 && part.chars().all(|c| c.is_ascii_digit() || c == '.');
    let name = last.chars().count() > 1 && last.chars().all(|c| c.is_alphabetic() || c == '-');
    !before.is_empty() && (name || last.starts_with("xn--") || address())
}

#[cfg(test)]
mod tests {
    use super::{super::checks::shown, *};

    #[test]
    fn nothing_foreign_can_be_tapped() {
        let table: [(&str, &[&str]); 14] = [
            ("web answers 0.93 of 1.2.3 requests, 5xx.", &[]),
            ("see https://evil.example/x?y now", &["https://evil.example/x?y"]),
            ("(evil.example)", &["(evil.example)"]),
            ("evil.example:9100, t.me/joinchat", &["evil.example:9100,", "t.me/joinchat"]),
            ("10.0.0.5:9100 is down", &["10.0.0.5:9100"]),
            ("a|http://x", &["a|http://x"]),
            ("mail me@evil.example", &["me@evil.example"]),
            ("ask @evil", &["@evil"]),
            ("#tag and $USD, #7: x", &["#tag", "$USD,"]),
            ("run /restart_container 19", &["/restart_container"]),
            ("call +49-30-1234567", &["+49-30-1234567"]),
            ("bücher.рф and xn--p1ai.xn--p1ai", &["bücher.рф", "xn--p1ai.xn--p1ai"]),
            ("disk /var/lib at 91 %", &["/var/lib"]),
            ("end. Next", &[]),
        ];
        for (text, want) in table {
            let mut pen = Pen::default();
            inert(&mut pen, text);
            let rich = pen.finish();
            assert_eq!(rich.text, text);
            let got: Vec<String> = shown(&rich).into_iter().map(|(_, piece)| piece).collect();
            assert_eq!(got, want, "{text}");
        }
    }
}

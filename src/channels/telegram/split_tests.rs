//! Splits at every position of nasty texts: nothing lost, nothing cut in two, every entity carried over.

#![allow(clippy::string_slice, reason = "offsets come from searches in the same text")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use teloxide::types::{MessageEntity, MessageEntityKind as Kind};
use unicode_segmentation::UnicodeSegmentation;

use super::{
    checks::{assert_rich, sound},
    post::{ENTITY_LIMIT, Rich},
    split::{head, split, tail},
    text::{is_blank, units},
};

/// One of each that a naive cut breaks.
const NASTY: [&str; 22] = [
    "👨‍👩‍👧‍👦",                                                       // joined by zero-width joiners
    "👍🏽",                                                       // skin tone
    "🇩🇪🇫🇷",                                                     // flags: two letters each
    "1️⃣#️⃣",                                                     // keycaps
    "❤️‍🔥",                                                       // heart on fire: selector and joiner
    "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", // flag of England: tags
    "e\u{301}o\u{308}\u{304}",                                  // combining marks
    "Z\u{351}\u{36b}\u{343}\u{36a}a\u{334}\u{335}",             // many of them
    "שלום עולם",                                                // right to left
    "مرحبا\u{200f} بالعالم",
    "می\u{200c}خواهم",            // a zero-width non-joiner within a word
    "क्षत्रिय",                     // conjuncts
    "각\u{1100}\u{1161}\u{11a8}", // Hangul, composed and not
    "日本語。テスト",
    "\r\n",
    "\u{202e}abc\u{202c}",
    "𝕬𝖇",       // letters beyond the first plane
    " \u{301}", // a mark on a blank
    "\u{a0}\u{3000}",
    "\n\n",
    "a b. c",
    "\t- ",
];

/// The byte offsets at which the text may be cut.
fn boundaries(text: &str) -> BTreeSet<usize> {
    text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect()
}

/// Checks a split against its original: order, completeness, whole characters, sound entities of the right kind.
fn check(rich: &Rich, room: usize) -> Result<Vec<Rich>, String> {
    let parts = split(rich.clone(), room);
    let bounds = boundaries(&rich.text);
    let longest = rich.text.graphemes(true).map(units).max().unwrap_or(0);
    let mut at = 0;
    for part in &parts {
        sound(part, room)?;
        let rest = &rich.text[at..];
        let gap = rest.len() - rest.trim_start().len();
        // Only whitespace, or what cannot be seen, may lie between two parts.
        let found = rest.match_indices(part.text.as_str()).map(|(n, _)| n).next().ok_or("not in order")?;
        if found > gap && !is_blank(&rest[..found]) {
            return Err(format!("lost {:?}", &rest[..found]));
        }
        let (from, to) = (at + found, at + found + part.text.len());
        if longest <= room && !(bounds.contains(&from) && bounds.contains(&to)) {
            return Err(format!("cut within a character: {:?}", part.text));
        }
        let start = units(&rich.text[..from]);
        let stop = start + units(&part.text);
        let carried: Vec<MessageEntity> = rich
            .entities
            .iter()
            .filter(|e| e.offset.max(start) < (e.offset + e.length).min(stop))
            .map(|e| {
                let (a, b) = (e.offset.max(start), (e.offset + e.length).min(stop));
                MessageEntity::new(e.kind.clone(), a - start, b - a)
            })
            .collect();
        if carried != part.entities {
            return Err(format!("entities {carried:?} became {:?}", part.entities));
        }
        at = to;
    }
    if is_blank(&rich.text[at..]) { Ok(parts) } else { Err(format!("lost the end {:?}", &rich.text[at..])) }
}

/// Flat entities over the text's clusters, `every` clusters long, with gaps.
fn decorated(text: &str, every: usize) -> Rich {
    let kinds = [Kind::Bold, Kind::Code, Kind::Pre { language: Some("sh".into()) }, Kind::Blockquote];
    let mut entities = Vec::new();
    let mut unit = 0;
    let clusters: Vec<&str> = text.graphemes(true).collect();
    for (n, chunk) in clusters.chunks(every.max(1)).enumerate() {
        let size: usize = chunk.iter().map(|c| units(c)).sum();
        if n % 3 != 2 {
            entities.push(MessageEntity::new(kinds[n % kinds.len()].clone(), unit, size));
        }
        unit += size;
    }
    Rich { text: text.to_owned(), entities }
}

#[test]
fn nasty_characters_survive_a_cut_at_every_position() {
    for nasty in NASTY {
        let longest = nasty.graphemes(true).map(units).max().unwrap_or(2).max(2);
        for before in 0..24 {
            for lead in ["x", "ab ", "é", "😀"] {
                let text = format!("{}{nasty}{nasty}tail{nasty}", lead.repeat(before));
                for room in [longest.max(units(lead)), 16.max(longest), 23.max(longest)] {
                    for every in [1, 3, 1000] {
                        let rich = decorated(&text, every);
                        check(&rich, room)
                            .unwrap_or_else(|e| panic!("{nasty:?} {before} {lead} {room}: {e}"));
                    }
                }
            }
        }
    }
}

#[test]
fn cuts_stand_where_a_reader_would_cut() {
    let table: [(&str, usize, &[&str]); 12] = [
        ("short", 10, &["short"]),
        ("", 10, &[]),
        (" \n\t\u{200b} ", 10, &[]),
        ("first one\n\nsecond two", 14, &["first one", "second two"]),
        ("line one\nline two longer", 16, &["line one", "line two longer"]),
        ("Is it up? No it is not.", 14, &["Is it up?", "No it is not."]),
        ("one two three four", 9, &["one two", "three", "four"]),
        ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
        ("exactly ten", 7, &["exactly", "ten"]),
        ("  \n padded \n ", 20, &["padded"]),
        ("a\r\nb", 2, &["a", "b"]),
        ("日本語です。次の文です。", 8, &["日本語です。", "次の文です。"]),
    ];
    for (text, room, want) in table {
        let got: Vec<String> = split(Rich::plain(text), room).into_iter().map(|r| r.text).collect();
        assert_eq!(got, want, "{text:?}");
    }
}

#[test]
fn a_split_pre_stays_pre_with_its_language_and_indentation() {
    let pre = Kind::Pre { language: Some("yaml".into()) };
    let text = "see:\nweb:\n  image: x\n  ports: y\nend";
    let rich = Rich { text: text.into(), entities: vec![MessageEntity::new(pre, 5, 26)] };
    let parts = split(rich, 20);
    assert_rich(&parts[0], "see:\nweb:\n  image: x", &[("pre yaml", "web:\n  image: x")]);
    assert_rich(&parts[1], "  ports: y\nend", &[("pre yaml", "  ports: y")]);
}

#[test]
fn no_part_has_more_than_a_hundred_entities_and_none_is_lost() {
    let text = "w ".repeat(350);
    let entities = (0..350).map(|n| MessageEntity::bold(n * 2, 1)).collect();
    let parts = split(Rich { text, entities }, 4000);
    assert!(parts.iter().all(|p| p.entities.len() <= ENTITY_LIMIT), "{parts:?}");
    assert_eq!(parts.iter().map(|p| p.entities.len()).sum::<usize>(), 350);
    assert_eq!(parts.len(), 4);
}

#[test]
fn a_character_longer_than_a_message_is_cut_between_its_marks() {
    let zalgo = format!("a{}b", "\u{301}".repeat(9000));
    let parts = split(Rich::plain(zalgo.clone()), 4000);
    assert_eq!(parts.iter().map(|p| p.text.as_str()).collect::<String>(), zalgo);
    assert!(parts.iter().all(|p| sound(p, 4000).is_ok()));
    for room in 0..3 {
        assert_eq!(split(Rich::plain("😀😀"), room).len(), 2);
    }
}

#[test]
fn a_head_and_a_tail_fit_and_say_that_they_are_cut() {
    let rich = decorated("first line\nsecond line\nthird line", 5);
    assert_eq!(head(rich.clone(), 34), rich);
    assert_eq!(tail(&rich, 34), rich);
    assert_eq!(head(rich.clone(), 20).text, "first line\n…");
    assert_eq!(tail(&rich, 24).text, "…\nsecond line\nthird line");
    assert_eq!(tail(&rich, 10).text, "…\nird line");
    for room in 4..34 {
        sound(&head(rich.clone(), room), room).unwrap();
        sound(&tail(&rich, room), room).unwrap();
    }
    let text = "w ".repeat(350);
    let many = Rich { text, entities: (0..350).map(|n| MessageEntity::bold(n * 2, 1)).collect() };
    sound(&head(many.clone(), 4000), 4000).unwrap();
    sound(&tail(&many, 4000), 4000).unwrap();
}

/// Texts of nasty pieces, words and breaks.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(NASTY.to_vec()).prop_map(str::to_owned),
        3 => "[a-z]{1,12}",
        2 => proptest::sample::select(vec![" ", "\n", "\n\n", ". ", "\r\n", "    "]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_survives_any_room(text in texts(), room in 2usize..90, every in 1usize..40) {
        let rich = decorated(&text, every);
        let longest = text.graphemes(true).map(units).max().unwrap_or(2);
        check(&rich, room.max(longest)).map_err(TestCaseError::fail)?;
        for part in split(rich, room) {
            sound(&part, room).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn heads_and_tails_are_sound(text in texts(), room in 40usize..200, every in 1usize..40) {
        let rich = decorated(&text, every);
        prop_assume!(!rich.is_blank());
        prop_assert!(head(rich.clone(), room).units() <= room);
        prop_assert!(tail(&rich, room).units() <= room);
        sound(&tail(&rich, room), room).map_err(TestCaseError::fail)?;
    }
}

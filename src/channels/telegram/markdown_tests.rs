//! What models write, and what a phone shows of it.

use proptest::prelude::*;

use super::{
    checks::{assert_rich, sound},
    markdown::{close_fence, parse},
};

type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

#[test]
fn common_markers_become_entities() {
    let table: [Case; 22] = [
        ("**bold** and *italic*", "bold and italic", &[("bold", "bold"), ("italic", "italic")]),
        ("use `docker ps` now", "use docker ps now", &[("code", "docker ps")]),
        ("`` a ` b ``", "a ` b", &[("code", "a ` b")]),
        ("# Title", "Title", &[("bold", "Title")]),
        ("### A **b** `c` d", "A b c d", &[("bold", "A b "), ("code", "c"), ("bold", " d")]),
        ("- one\n  * two\n1. three", "• one\n  • two\n1. three", &[]),
        ("***both***", "both", &[("bold", "both"), ("italic", "both")]),
        ("**a *b***", "a b", &[("bold", "a b"), ("italic", "b")]),
        ("*a **b** c*", "a b c", &[("italic", "a b c"), ("bold", "b")]),
        ("**the `x` unit**", "the x unit", &[("bold", "the "), ("code", "x"), ("bold", " unit")]),
        ("😀 **ü**", "😀 ü", &[("bold", "ü")]),
        ("```sh\nls -l\n\n  x\n```\nend", "ls -l\n\n  x\nend", &[("pre sh", "ls -l\n\n  x")]),
        ("```\n**raw** `x`\n```", "**raw** `x`", &[("pre", "**raw** `x`")]),
        ("````\n```\n````", "```", &[("pre", "```")]),
        ("```not a name\nx\n```", "not a name\nx", &[("pre", "not a name\nx")]),
        ("[docs](https://a.example/x_(y))", "docs (https://a.example/x_(y))", &[]),
        ("[https://a.example](https://a.example)", "https://a.example", &[]),
        ("[**b**](http://a.example).", "b (http://a.example).", &[("bold", "b")]),
        ("> quoted\n> more\nafter", "quoted\nmore\nafter", &[("blockquote", "quoted\nmore")]),
        ("> 1\n> 2\n> 3\n> 4\n> 5\n> 6", "1\n2\n3\n4\n5\n6", &[("expandableblockquote", "1\n2\n3\n4\n5\n6")]),
        (
            "| a | n |\n|---|---:|\n| **x** | 10 |\n| yy | 9 |",
            "a    n\n──  ──\nx   10\nyy   9",
            &[("pre", "a    n\n──  ──\nx   10\nyy   9")],
        ),
        ("run /restart 19, ask @bob", "run /restart 19, ask @bob", &[("code", "/restart"), ("code", "@bob")]),
    ];
    for (raw, text, entities) in table {
        assert_rich(&parse(raw), text, entities);
    }
}

#[test]
fn what_is_no_marker_stays_literal() {
    let table = [
        "**open",
        "*open",
        "`open",
        "``open`",
        "2 * 3 * 4",
        "5*3*2",
        "2**10 and 3**10",
        "snake_case and __init__ and _x_",
        "*.log and *.txt",
        "rm *.log,*.txt",
        "**/*.rs,**/*.toml",
        "*/5 * * * *",
        "SELECT *, count(*) FROM t",
        "*foo*.log",
        "\\*not\\*",
        "#no-heading",
        "####### seven",
        "#",
        "```\nnever closed",
        "[text](javascript:alert(1))",
        "[text](relative/path)",
        "[text](https://a b)",
        "[](https://a.example)",
        "[a] (https://a.example)",
        "a [b [c",
        "****",
        "** spaced **",
        "`` ` ``` ",
        ">",
        "|not a table|\nx",
        "-5 and - 5",
        "5 > 3",
        "https://a.example/*x*/y",
        "",
    ];
    for raw in table {
        assert_eq!(parse(raw).text, raw, "{raw:?}");
    }
}

#[test]
fn an_open_fence_is_closed_for_the_preview_only() {
    let table = [
        ("a\n```sh\nls", "a\n```sh\nls\n```"),
        ("```\nx\n```", "```\nx\n```"),
        ("````\n```", "````\n```\n````"),
        ("plain", "plain"),
    ];
    for (raw, want) in table {
        assert_eq!(close_fence(raw), want);
    }
}

#[test]
fn endless_openings_cost_no_endless_time() {
    for piece in ["*a ", "`a ``", "[a](", "**a *b ", "[", "***a", "/a ", "```\n", "> > "] {
        let text = piece.repeat(20_000 / piece.len());
        assert!(parse(&text).text.len() > 100, "{piece}");
    }
}

/// All but markers and blanks, which may go or change.
fn content(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !"*`#[]()>-•|─:".contains(*c)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_content_is_lost_and_entities_are_sound(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "**", "*", "`", "```", "\n", "\n```\n", "# ", "- ", "[", "](https://a.example)", "](", ")", "> ", " ",
            "word", "ü", "😀", "/cmd", "@name", "\\", "_", "|", "\n|---|\n", ".", "1",
        ]), 0..40)
    ) {
        let raw = pieces.concat();
        let rich = parse(&raw);
        let got = content(&rich.text);
        let want = content(&raw);
        // A fence's language moves into its entity, a link whose text is its address is shown once.
        if rich.entities.iter().all(|e| format!("{:?}", e.kind).find("Some").is_none()) {
            prop_assert_eq!(got, want, "{:?}", raw);
        }
        if !rich.is_blank() && rich.entities.len() <= 100 {
            sound(&rich, usize::MAX).map_err(TestCaseError::fail)?;
        }
    }
}

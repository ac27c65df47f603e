//! The map in ARCHITECTURE.md, checked: rooms depend only on the rooms named here, pure rooms stay pure.

#![allow(clippy::string_slice, reason = "offsets come from searches in the same text")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each room, and the rooms that it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("policy", &["domain"]),
    ("agent", &["domain", "policy"]),
    ("alerts", &["domain", "policy"]),
    ("alertmanager", &["domain", "pager", "runtime"]),
    ("pager", &["domain", "policy", "alerts", "store", "runtime"]),
    ("signals", &["domain", "docker", "logs", "prometheus", "inventory", "runtime"]),
    ("inventory", &["domain", "docker"]),
    ("docker", &["domain", "runtime"]),
    ("prometheus", &["domain", "runtime"]),
    ("playbook", &["domain"]),
    ("cache", &["domain"]),
    ("logs", &["domain", "runtime"]),
    ("spill", &["domain"]),
    ("store", &["domain", "policy", "alerts", "runtime"]),
    ("config", &["domain", "policy", "alerts", "logs", "runtime"]),
    ("llm", &["domain", "policy", "agent", "runtime"]),
    (
        "tools",
        &[
            "domain",
            "policy",
            "agent",
            "docker",
            "logs",
            "prometheus",
            "cache",
            "inventory",
            "playbook",
            "spill",
            "alerts",
            "pager",
            "runtime",
        ],
    ),
    (
        "engine",
        &[
            "domain",
            "policy",
            "agent",
            "store",
            "playbook",
            "spill",
            "inventory",
            "alerts",
            "pager",
            "runtime",
        ],
    ),
    ("control", &["domain", "policy", "engine", "runtime"]),
    ("chart", &["domain"]),
    ("voice", &["domain"]),
    ("docker_gate", &["domain", "runtime"]),
    (
        "channels",
        &[
            "domain", "control", "engine", "policy", "store", "chart", "voice", "http", "alerts", "pager",
            "runtime",
        ],
    ),
    ("http", &["domain", "alerts", "pager", "runtime"]),
    ("runtime", &["domain"]),
];
/// Entries and wiring: they see everything.
const SEES_ALL: &[&str] = &["app", "lib", "main", "cli", "evals", "bin", "doctor"];
/// Rooms and files without clock, IO and `async`.
const PURE: &[&str] = &[
    "src/domain",
    "src/policy",
    "src/agent/step.rs",
    "src/agent/history.rs",
    "src/agent/history",
    "src/agent/prompt.rs",
    "src/engine/intent",
    "src/alerts",
];
const IMPURE: &[&str] = &["async", "tokio", "tokio_util", "std::fs", "std::net", "std::process", "::now("];
const MAX_LINES: usize = 600;

#[test]
fn rooms_only_use_the_rooms_below_them() {
    check(|file, text, wrong| {
        if is_test(file) {
            return;
        }
        let Some(room) = room(file) else { return };
        if SEES_ALL.contains(&room.as_str()) {
            return;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("room `{room}` is not on the map"));
            return;
        };
        let code = production(&bare(text));
        for used in rooms_used(&code, depth(file)) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("`{room}` may not use `{used}`"));
            }
        }
    });
}

#[test]
fn pure_rooms_read_no_clock_and_do_no_io() {
    check(|file, text, wrong| {
        if is_test(file) || !PURE.iter().any(|place| file.starts_with(place)) {
            return;
        }
        let code = production(&bare(text));
        wrong.extend(impurities(&code).into_iter().map(|what| format!("a pure room uses `{what}`")));
    });
}

#[test]
fn only_the_policy_mints_permits() {
    check(|file, text, wrong| {
        let code = bare(text);
        if !file.starts_with("src/policy") && code.contains("Permit::mint") {
            wrong.push("only `policy` makes a permit".into());
        }
    });
}

/// A write takes a permit; the engine's own does not, so nobody but the tool that was given one may reach it.
#[test]
fn only_the_restart_tool_and_its_kin_change_containers() {
    check(|file, text, wrong| {
        if is_test(file) || file.starts_with("src/docker") {
            return;
        }
        let code = production(&bare(text));
        if !file.starts_with("src/tools/restart") && changes(&code) {
            wrong.push("only `tools/restart` starts, stops and restarts containers, with a permit".into());
        }
        if code.contains("bollard::") {
            wrong.push("only `docker` speaks with an engine".into());
        }
    });
}

/// A job clears without a permit, so nobody but the tool that was given one may name it.
#[test]
fn only_the_cache_tool_clears_caches() {
    check(|file, text, wrong| {
        if is_test(file) || file.starts_with("src/cache") || file == Path::new("src/tools/clear_cache.rs") {
            return;
        }
        let code = production(&bare(text));
        if code.contains("cache::") && (code.contains("Watch") || code.contains("Job")) {
            wrong.push("only `tools/clear_cache` clears caches, with a permit".into());
        }
    });
}

#[test]
fn files_stay_small_and_honest() {
    check(|file, text, wrong| {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{lines} lines, more than {MAX_LINES}"));
        }
        if bare(text).contains("#[path") {
            wrong.push("#[path] hides where code lives".into());
        }
        if !text.starts_with("//!") && !file.ends_with("main.rs") {
            wrong.push("no opening sentence".into());
        }
    });
}

/// Runs `look` over every source file and fails with all that it finds.
fn check(look: impl Fn(&Path, &str, &mut Vec<String>)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 10, "only {} files found: is this the crate's root?", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let file = path.strip_prefix(root).unwrap();
        let mut found = Vec::new();
        look(file, &fs::read_to_string(&path).unwrap(), &mut found);
        wrong.extend(found.into_iter().map(|what| format!("{}: {what}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// The room of `src/room.rs` or `src/room/…`.
fn room(file: &Path) -> Option<String> {
    let first = file.strip_prefix("src").ok()?.iter().next()?.to_str()?;
    Some(first.strip_suffix(".rs").unwrap_or(first).to_owned())
}

/// Whether the module above declares the file as `#[cfg(test)] mod name;`.
fn is_test(file: &Path) -> bool {
    let (Some(dir), Some(stem)) = (file.parent(), file.file_stem().and_then(|s| s.to_str())) else {
        return false;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let above = [dir.join("mod.rs"), dir.with_extension("rs"), dir.join("lib.rs")];
    above
        .iter()
        .filter_map(|above| fs::read_to_string(root.join(above)).ok())
        .any(|text| declares_test(&text, stem))
}

fn declares_test(text: &str, stem: &str) -> bool {
    let words = bare(text).split_whitespace().collect::<Vec<_>>().join(" ");
    words.contains(&format!("#[cfg(test)] mod {stem};"))
}

/// How many `super::` lead from the file's module to the crate's root.
fn depth(file: &Path) -> usize {
    let parts = file.iter().count() - 1;
    if file.ends_with("mod.rs") { parts - 1 } else { parts }
}

/// The first names after `crate::` (groups opened), and after so many `super::` that they mean the same.
fn rooms_used(code: &str, depth: usize) -> BTreeSet<String> {
    let code: String =
        code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ::", "::").replace(":: ", "::");
    let mut used = BTreeSet::new();
    let outwards = "super::".repeat(depth);
    let rooms = |name: &str| MAY_USE.iter().any(|(room, _)| *room == name) || SEES_ALL.contains(&name);
    for (at, path) in code.match_indices("crate::").map(|(at, m)| (at, at + m.len())) {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            used.extend(heads(&code[path..]));
        }
    }
    for (at, m) in code.match_indices(&outwards) {
        used.extend(heads(&code[at + m.len()..]).into_iter().filter(|name| rooms(name)));
    }
    used.remove("self");
    used
}

/// The name that `path` starts with, or those of the group that it starts with.
fn heads(path: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut heads = Vec::new();
    let mut level = 0;
    let mut item = String::new();
    for c in group.chars() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => heads.push(name(&std::mem::take(&mut item))),
            _ => {}
        }
        if level == 0 && c != ',' {
            item.push(c);
        }
    }
    heads.push(name(&item));
    heads.retain(|head| !head.is_empty());
    heads
}

/// What in `code` needs a clock, IO or an executor; whole words only.
fn impurities(code: &str) -> Vec<&'static str> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |what: &&&str| {
        code.match_indices(**what).any(|(at, m)| {
            !code[..at].ends_with(|c| inside(c) && what.starts_with(inside))
                && !code[at + m.len()..].starts_with(inside)
                || what.ends_with('(')
        })
    };
    IMPURE.iter().filter(whole).copied().collect()
}

/// Whether `code` calls or names a method that changes a container; `..restart_container()` takes fields from a
/// function's value.
fn changes(code: &str) -> bool {
    const METHODS: [&str; 3] = ["start_container", "stop_container", "restart_container"];
    let code: String = code.split_whitespace().collect();
    METHODS.iter().any(|method| {
        code.match_indices(&format!(".{method}(")).any(|(at, _)| !code[..at].ends_with('.'))
            || code.match_indices("DockerHosts").any(|(at, m)| {
                let rest = code[at + m.len()..].trim_start_matches('>');
                rest.starts_with(&format!("::{method}"))
            })
    })
}

/// `code` without its inline test modules, which may read clocks and use whom they like.
fn production(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let after = rest[at + "#[cfg(test)]".len()..].trim_start();
        let is_module = after.starts_with("mod ") && after.find('{') < after.find(';').or(Some(usize::MAX));
        out.push_str(&rest[..at]);
        rest = if is_module { past_braces(after) } else { after };
    }
    out.push_str(rest);
    out
}

/// What follows the first balanced pair of braces; `code` has no comments and strings.
fn past_braces(code: &str) -> &str {
    let mut level = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level <= 1 => return &code[at + 1..],
            '}' => level -= 1,
            _ => {}
        }
    }
    ""
}

/// `text` without comments and what is inside strings and character literals.
fn bare(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    while at < chars.len() {
        let c = chars[at];
        let in_word = out.ends_with(|p: char| p.is_alphanumeric() || p == '_');
        if c == '/' && peek(at + 1) == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && peek(at + 1) == '*' {
            let mut level = 1;
            at += 2;
            while at < chars.len() && level > 0 {
                match (chars[at], peek(at + 1)) {
                    ('/', '*') => (level, at) = (level + 1, at + 2),
                    ('*', '/') => (level, at) = (level - 1, at + 2),
                    _ => at += 1,
                }
            }
        } else if let Some(end) = raw_string(&chars, at).filter(|_| !in_word) {
            out.push_str("\"\"");
            at = end;
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            out.push_str("\"\"");
            at += 1;
        } else if c == '\'' && (peek(at + 1) == '\\' || peek(at + 2) == '\'') {
            // A character, not a lifetime.
            at += if peek(at + 1) == '\\' { 3 } else { 2 };
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            out.push_str("' '");
            at += 1;
        } else {
            out.push(c);
            at += 1;
        }
    }
    out
}

/// Where a raw string that starts at `at` ends.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let start = if chars[at] == 'b' || chars[at] == 'c' { at + 1 } else { at };
    if chars.get(start) != Some(&'r') {
        return None;
    }
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let is_end = |n: &usize| {
        chars[*n] == '"' && chars[n + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    Some((open + 1..chars.len()).find(is_end).map_or(chars.len(), |n| n + 1 + hashes))
}

#[test]
fn grouped_and_relative_imports_are_seen() {
    let table: &[(&str, usize, &[&str])] = &[
        ("use crate::domain::Risk;", 2, &["domain"]),
        ("use crate::{a::x, b::{c, d}, e};", 2, &["a", "b", "e"]),
        ("use crate::{\n    domain::{Risk, tool::{hex, x}},\n    store,\n};", 2, &["domain", "store"]),
        ("fn f() -> crate :: llm :: Model { crate::tools::f() }", 2, &["llm", "tools"]),
        ("pub(in crate::policy) fn f();", 2, &["policy"]),
        ("// crate::llm\nlet x = \"crate::llm\"; /* crate::llm /* x */ crate::a */", 2, &[]),
        ("let x = r#\"a \" crate::llm\"#; let c = '\"'; crate::b::f('\\'')", 2, &["b"]),
        ("use super::super::store::Store;", 2, &["store"]),
        ("use super::{store, x};", 1, &["store"]),
        ("use super::store::Store; use super::*;", 2, &[]),
        ("use some_crate::llm;", 2, &[]),
    ];
    for (code, depth, want) in table {
        let got = rooms_used(&bare(code), *depth);
        assert_eq!(got.iter().map(String::as_str).collect::<Vec<_>>(), *want, "{code}");
    }
}

#[test]
fn impure_words_are_seen_outside_tests_and_text() {
    let table: &[(&str, &[&str])] = &[
        ("async fn f() {}", &["async"]),
        ("let asynchronous = 1; // async", &[]),
        ("use tokio::sync;", &["tokio"]),
        ("let now = Timestamp::now();", &["::now("]),
        ("fn f(now: Timestamp) {}", &[]),
        ("std::fs::read(x)", &["std::fs"]),
        (
            "let s = \"async\";\n#[cfg(test)]\nmod tests { fn f() { if x { Instant::now(); } } }\nfn g() {}",
            &[],
        ),
        ("#[cfg(test)]\nmod testing;\nasync fn f() {}", &["async"]),
        ("#[cfg(test)]\nmod tests { let c = '}'; }\nuse tokio::x;", &["tokio"]),
    ];
    for (code, want) in table {
        assert_eq!(impurities(&production(&bare(code))), *want, "{code}");
    }
}

#[test]
fn a_change_is_seen_however_it_is_written() {
    let table = [
        ("self.hosts().restart_container(r, grace).await", true),
        ("hosts\n    .stop_container(\n r, grace)", true),
        ("DockerHosts::start_container(&hosts, r)", true),
        ("<crate::docker::DockerHosts>::restart_container(&hosts, r, grace)", true),
        ("all.map(DockerHosts::stop_container)", true),
        ("ModelCall { id: None, ..restart_container() }", false),
        ("use crate::tools::restart::RestartLimits; restart_container(x); parts.restart", false),
        ("// hosts.restart_container(r)\nlet x = \"hosts.stop_container(r)\";", false),
    ];
    for (code, want) in table {
        assert_eq!(changes(&bare(code)), want, "{code}");
    }
}

#[test]
fn only_declared_test_files_are_excused() {
    assert!(is_test(Path::new("src/policy/testing.rs")));
    assert!(!is_test(Path::new("src/policy/rule.rs")));
    assert!(declares_test("#[cfg(test)]\nmod x;", "x"));
    assert!(!declares_test("#[cfg(test)]\nmod y;\nmod x;", "x"));
}

#[test]
fn a_files_room_and_depth_are_found() {
    let table = [
        ("src/spill.rs", "spill", 1),
        ("src/policy/mod.rs", "policy", 1),
        ("src/policy/rule.rs", "policy", 2),
        ("src/channels/console/mod.rs", "channels", 2),
    ];
    for (file, want, deep) in table {
        assert_eq!((room(Path::new(file)).as_deref(), depth(Path::new(file))), (Some(want), deep), "{file}");
    }
}

//! The catalogue of error messages: read once, matched line by line.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::Deserialize;

const TEXT: &str = include_str!("catalog.toml");
/// What compiles to more bytes is refused; all patterns together.
const SIZE: usize = 32 << 20;

/// One kind of message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// A short name, the same for ever.
    pub id: String,
    pub title: String,
    patterns: Vec<String>,
    /// What has happened, in a sentence or two.
    pub means: String,
    /// Likely causes, the likeliest first.
    pub causes: Vec<String>,
    /// What to look at, with the tools' names.
    pub check: Vec<String>,
    /// It says little by itself.
    #[serde(default)]
    pub generic: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    entry: Vec<Entry>,
}

/// All entries, with one automaton over all their patterns.
#[derive(Debug)]
pub(super) struct Catalog {
    pub entries: Vec<Entry>,
    all: RegexSet,
    /// For each pattern its entry and its place there.
    owner: Vec<(usize, usize)>,
}

/// An entry that fits, and where.
#[derive(Clone, Debug)]
pub(super) struct Match<'c> {
    pub entry: &'c Entry,
    /// The first line that fits, counted from 0.
    pub line: usize,
    /// What of it fits, in bytes.
    pub span: std::ops::Range<usize>,
    /// How many lines fit.
    pub count: usize,
}

/// The one that is built in; the tests prove that it can be read.
pub(super) static CATALOG: LazyLock<Option<Catalog>> = LazyLock::new(|| Catalog::read(TEXT).ok());

impl Catalog {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let File { entry: entries } = toml::from_str(text).map_err(|e| e.to_string())?;
        let owner: Vec<_> = entries
            .iter()
            .enumerate()
            .flat_map(|(n, e)| (0..e.patterns.len()).map(move |p| (n, p)))
            .collect();
        let patterns = entries.iter().flat_map(|e| &e.patterns);
        let all = RegexSetBuilder::new(patterns).case_insensitive(true).size_limit(SIZE).build();
        Ok(Self { all: all.map_err(|e| e.to_string())?, entries, owner })
    }

    /// The entries that fit some line, the best first: those that say more, then those that fit earlier lines.
    pub(super) fn find(&self, lines: &[&str]) -> Vec<Match<'_>> {
        let mut found: Vec<Option<Match<'_>>> = self.entries.iter().map(|_| None).collect();
        for (number, line) in lines.iter().enumerate() {
            let mut counted = Vec::new();
            for pattern in self.all.matches(line) {
                let Some(&(n, p)) = self.owner.get(pattern) else { continue };
                let (Some(entry), Some(slot)) = (self.entries.get(n), found.get_mut(n)) else { continue };
                match slot {
                    Some(known) if !counted.contains(&n) => known.count += 1,
                    Some(_) => {}
                    None => {
                        let span = entry.span(p, line).unwrap_or(0..line.len());
                        *slot = Some(Match { entry, line: number, span, count: 1 });
                    }
                }
                counted.push(n);
            }
        }
        let mut found: Vec<_> = found.into_iter().flatten().collect();
        // What a line says in particular makes the general needless.
        let told: Vec<_> = found.iter().filter(|m| !m.entry.generic).map(|m| m.line).collect();
        found.retain(|m| !m.entry.generic || m.count > 1 || !told.contains(&m.line));
        found.sort_by_key(|m| (m.entry.generic, std::cmp::Reverse(m.span.len().min(60)), m.line));
        found
    }
}

impl Entry {
    fn span(&self, pattern: usize, line: &str) -> Option<std::ops::Range<usize>> {
        let regex: Regex =
            RegexBuilder::new(self.patterns.get(pattern)?).case_insensitive(true).build().ok()?;
        regex.find(line).map(|m| m.range())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every tool that the catalogue may send somebody to.
    const TOOLS: [&str; 13] = [
        "check_up",
        "clear_cache",
        "get_container_status",
        "get_disk_usage",
        "get_metrics",
        "get_recent_logs",
        "image_updates",
        "list_active_alerts",
        "list_containers",
        "query_prometheus",
        "restart_container",
        "search_logs",
        "start_container",
    ];

    #[test]
    fn the_catalogue_is_whole() {
        let catalog = Catalog::read(TEXT).unwrap();
        assert!(catalog.entries.len() >= 60, "{}", catalog.entries.len());
        let ids: BTreeSet<_> = catalog.entries.iter().map(|e| &e.id).collect();
        assert_eq!(ids.len(), catalog.entries.len());
        let tool = Regex::new(r"\b[a-z]+_[a-z_]+\b").unwrap();
        for e in &catalog.entries {
            assert!(!e.causes.is_empty() && !e.check.is_empty() && e.means.ends_with('.'), "{}", e.id);
            for check in &e.check {
                for word in tool.find_iter(check).map(|m| m.as_str()) {
                    let nginx = [
                        "client_max_body_size",
                        "worker_connections",
                        "worker_rlimit_nofile",
                        "memory_limit",
                    ];
                    let other = ["fastcgi_buffer_size", "proxy_buffer_size", "max_children"];
                    let known = TOOLS.contains(&word) || nginx.contains(&word) || other.contains(&word);
                    assert!(known, "{}: {word} is no tool", e.id);
                }
            }
            for p in &e.patterns {
                let regex = RegexBuilder::new(p).case_insensitive(true).build().unwrap();
                assert!(!regex.is_match("INFO all is well") && !regex.is_match(""), "{}: {p}", e.id);
            }
        }
    }

    #[test]
    fn messages_as_programs_write_them_are_known() {
        let table = [
            (
                "2026/11/21 16:20:01 [error] 12#12: *4 connect() failed (111: Connection refused) while connecting to upstream, client: 1.2.3.4",
                "nginx-upstream-refused",
            ),
            (
                "[error] 7#7: *1 upstream timed out (110: Connection timed out) while reading response header from upstream",
                "nginx-upstream-timeout",
            ),
            (
                "[error] 29#29: *1 upstream prematurely closed connection while reading response header",
                "nginx-upstream-closed",
            ),
            (
                "nginx: [emerg] host not found in upstream \"app\" in /etc/nginx/conf.d/default.conf:4",
                "nginx-host-not-found",
            ),
            (
                "[error] 6#6: *9 client intended to send too large body: 15728640 bytes",
                "nginx-too-large-body",
            ),
            (
                "[mpm_event:error] [pid 1] AH00484: server reached MaxRequestWorkers setting",
                "apache-max-workers",
            ),
            (
                "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes) in /app/x.php",
                "php-memory",
            ),
            (
                "WARNING: [pool www] server reached pm.max_children setting (5), consider raising it",
                "php-fpm-children",
            ),
            ("PHP Fatal error:  Uncaught TypeError: count(): Argument #1 in /app/a.php:3", "php-fatal"),
            ("FATAL:  sorry, too many clients already", "postgres-too-many"),
            ("FATAL:  password authentication failed for user \"shop\"", "postgres-auth"),
            ("ERROR:  relation \"orders\" does not exist at character 15", "postgres-missing"),
            ("ERROR 1040 (HY000): Too many connections", "mysql-too-many"),
            (
                "ERROR 2002 (HY000): Can't connect to local MySQL server through socket '/run/mysqld/mysqld.sock' (2)",
                "mysql-connect",
            ),
            ("SQLSTATE[HY000]: General error: 2006 MySQL server has gone away", "mysql-gone"),
            ("(error) OOM command not allowed when used memory > 'maxmemory'.", "redis-oom"),
            ("NOAUTH Authentication required.", "redis-auth"),
            (
                "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk.",
                "redis-misconf",
            ),
            ("Error 503 Backend fetch failed", "varnish-fetch"),
            (
                "Error response from daemon: driver failed: Bind for 0.0.0.0:80 failed: port is already allocated",
                "docker-port",
            ),
            ("Error: listen EADDRINUSE: address already in use :::3000", "docker-port"),
            ("exec /usr/local/bin/app: exec format error", "docker-exec-format"),
            ("Memory cgroup out of memory: Killed process 4242 (node) total-vm:1kB", "oom-kill"),
            ("ERROR: could not extend file \"base/1/2\": No space left on device", "disk-full"),
            ("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2", "io-error"),
            ("dial tcp: lookup db on 127.0.0.11:53: no such host", "dns"),
            ("curl: (60) SSL certificate problem: certificate has expired", "tls-expired"),
            ("x509: certificate signed by unknown authority", "tls-verify"),
            ("shop.service: Start request repeated too quickly.", "systemd-start-limit"),
            ("php-fpm[7]: segfault at 0 ip 00007f sp 00007ffd error 4", "segfault"),
            ("java.lang.OutOfMemoryError: Java heap space", "java-heap"),
            (
                "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
                "node-heap",
            ),
            ("HikariPool-1 - Connection is not available, request timed out after 30000ms.", "java-pool"),
            ("[2026-11-21 16:20:01 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:9)", "worker-timeout"),
            ("1.2.3.4 - - [21/Nov/2026:16:20:01 +0000] \"GET / HTTP/1.1\" 502 157", "http-502"),
            ("connect ECONNREFUSED 10.0.0.2:5432", "refused"),
        ];
        let catalog = CATALOG.as_ref().unwrap();
        for (line, want) in table {
            let found = catalog.find(&[line]);
            assert_eq!(found.first().map(|m| m.entry.id.as_str()), Some(want), "{line}");
        }
        assert!(catalog.find(&["listening on port 8080", "GET / HTTP/1.1 200"]).is_empty());
    }
}

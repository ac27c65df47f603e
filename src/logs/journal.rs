//! A systemd journal, read by `journalctl` as a child: bounded in time and output, ended when nobody waits any more.

use std::{borrow::Cow, io, path::Path, process::Stdio};

use futures::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time,
};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::{Passing, Query, Read, Tally, budget::Budget};
use crate::domain::Untrusted;

const PROGRAM: &str = "journalctl";
/// A longer entry, in bytes of JSON, is counted as a gap.
const ENTRY: usize = 8 << 20;
/// So many entries are counted at once.
const PART: usize = 1_000;
/// So many bytes of its complaints are read.
const COMPLAINT: u64 = 2_000;

/// The fields that are asked for; those that begin with two underscores always come.
#[derive(Debug, Deserialize)]
struct Entry<'e> {
    #[serde(borrow, rename = "__REALTIME_TIMESTAMP")]
    at: Cow<'e, str>,
    #[serde(borrow, rename = "MESSAGE", default)]
    message: Option<&'e RawValue>,
    #[serde(borrow, rename = "SYSLOG_IDENTIFIER", default)]
    program: Option<&'e RawValue>,
    #[serde(borrow, rename = "_PID", default)]
    pid: Option<&'e RawValue>,
}

/// Reads a journal, this system's or that of `folder`.
pub(super) async fn read(folder: Option<&Path>, unit: Option<&str>, query: &Query, budget: &Budget) -> Read {
    let name = match (folder, unit) {
        (_, Some(unit)) => format!("journal of {unit}"),
        (Some(folder), None) => format!("journal {}", folder.display()),
        (None, None) => "journal".to_owned(),
    };
    let mut read = Read { name, tally: Tally::new(query.want.clone()), gaps: vec![] };
    let mut child = match command(folder, unit, query).spawn() {
        Ok(child) => child,
        Err(e) => {
            let why = match e.kind() {
                io::ErrorKind::NotFound => {
                    "journalctl is not installed here; it comes with systemd".to_owned()
                }
                _ => format!("journalctl does not start ({e})"),
            };
            read.gaps.push(format!("{} is not read: {why}", read.name));
            return read;
        }
    };
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { return read };
    let reading = async { tokio::join!(entries(out, query, budget, &mut read), complaint(err)) };
    match time::timeout(budget.left(), reading).await {
        Ok((None, said)) => ended(&mut child, &said, &mut read).await,
        Ok((Some(why), _)) => read.gaps.push(format!("{}: {why}; older entries were not read", read.name)),
        Err(_) => {
            let seconds = query.within.as_secs_f64();
            read.gaps.push(format!(
                "{}: reading ended after {seconds:.0} s; older entries were not read",
                read.name
            ));
        }
    }
    // What still runs is killed by the drop.
    read
}

fn command(folder: Option<&Path>, unit: Option<&str>, query: &Query) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--no-pager", "--quiet", "--all", "--reverse", "--output=json"]);
    command.arg("--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_PID");
    match folder {
        Some(folder) => {
            let mut option = std::ffi::OsString::from("--directory=");
            option.push(folder);
            command.arg(option);
        }
        None => {
            command.arg("--system");
        }
    }
    if let Some(unit) = unit {
        command.arg(format!("--unit={unit}"));
    }
    if let Some(since) = query.since {
        command.arg(format!("--since=@{}", since.as_second()));
    }
    if let Some(lines) = query.lines {
        command.arg(format!("--lines={lines}"));
    }
    command.env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").env("SYSTEMD_LOG_LEVEL", "err");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Counts the entries, which come newest first; tells why it stopped before their end, if it did.
async fn entries(
    out: impl AsyncRead + Unpin,
    query: &Query,
    budget: &Budget,
    read: &mut Read,
) -> Option<String> {
    let mut lines = FramedRead::new(out, LinesCodec::new_with_max_length(ENTRY));
    let mut part: Vec<(Option<Timestamp>, Vec<u8>)> = Vec::new();
    let mut stopped = None;
    let mut unreadable = 0_u64;
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => {
                budget.took(line.len());
                match entry(&line) {
                    Some((at, _)) if query.since.zip(at).is_some_and(|(since, at)| at < since) => {}
                    Some(entry) => part.push(entry),
                    None => unreadable += 1,
                }
            }
            Err(LinesCodecError::MaxLineLengthExceeded) => unreadable += 1,
            Err(LinesCodecError::Io(e)) => {
                stopped = Some(format!("journalctl's output broke off ({e})"));
                break;
            }
        }
        if part.len() >= PART {
            count(&mut part, &mut read.tally);
            stopped = budget.spent();
            if stopped.is_some() {
                break;
            }
        }
    }
    count(&mut part, &mut read.tally);
    if unreadable > 0 {
        read.gaps.push(format!(
            "{}: {unreadable} entries were too long or unreadable and are left out",
            read.name
        ));
    }
    stopped
}

fn count(part: &mut Vec<(Option<Timestamp>, Vec<u8>)>, tally: &mut Tally) {
    let mut older = tally.another();
    for (at, text) in part.drain(..).rev() {
        // A message of several lines is one entry.
        older.line(Passing::whole(&text), || at);
    }
    tally.put_before(older);
}

/// `sshd[7]: message`, and when it was written.
fn entry(line: &str) -> Option<(Option<Timestamp>, Vec<u8>)> {
    let entry: Entry<'_> = serde_json::from_str(line).ok()?;
    let at = entry.at.parse().ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let mut text = entry.program.map(bytes).unwrap_or_default();
    if let Some(pid) = entry.pid.filter(|_| !text.is_empty()) {
        text.push(b'[');
        text.extend(bytes(pid));
        text.push(b']');
    }
    if !text.is_empty() {
        text.extend_from_slice(b": ");
    }
    text.extend(entry.message.map(bytes).unwrap_or_default());
    Some((at, text))
}

/// A field is text, or a list of bytes where it is no UTF-8, or a list of those where it is there several times.
fn bytes(field: &RawValue) -> Vec<u8> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Field {
        Text(String),
        Bytes(Vec<u8>),
        Several(Vec<Field>),
        Other(serde_json::Value),
    }
    fn flat(field: Field) -> Vec<u8> {
        match field {
            Field::Text(text) => text.into_bytes(),
            Field::Bytes(bytes) => bytes,
            Field::Several(all) => all.into_iter().map(flat).collect::<Vec<_>>().join(&b' '),
            Field::Other(value) if value.is_null() => Vec::new(),
            Field::Other(value) => value.to_string().into_bytes(),
        }
    }
    serde_json::from_str(field.get()).map(flat).unwrap_or_default()
}

/// The beginning of what it complains about; the rest is read as well, so that it never blocks on a full pipe.
async fn complaint(mut err: impl AsyncRead + Unpin) -> String {
    let mut said = Vec::new();
    let mut head = (&mut err).take(COMPLAINT);
    // A broken pipe has nothing more to say.
    let _ended = head.read_to_end(&mut said).await;
    let _drained = tokio::io::copy(&mut err, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).into_owned()
}

async fn ended(child: &mut Child, said: &str, read: &mut Read) {
    let failed = !child.wait().await.is_ok_and(|status| status.success());
    let said = Untrusted::new(said.lines().next().unwrap_or_default().trim()).cut(300);
    // It ends with 1 and without a word when no entry fits.
    if failed && !said.as_str().is_empty() {
        let cure = "check journal in [[log_source]], and that OpsBot's user is in the group systemd-journal";
        read.gaps.push(format!("{} is not read: {said}; {cure}", read.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_in_all_their_spellings() {
        let table = [
            (
                r#"{"__REALTIME_TIMESTAMP":"1795278001000000","MESSAGE":"a \u00e4","SYSLOG_IDENTIFIER":"sshd","_PID":"7"}"#,
                "sshd[7]: a \u{e4}",
            ),
            (r#"{"__REALTIME_TIMESTAMP":"1795278001000000","MESSAGE":[97,255,98]}"#, "a\u{fffd}b"),
            (r#"{"__REALTIME_TIMESTAMP":"1795278001000000","MESSAGE":["one","two"],"_PID":"7"}"#, "one two"),
            (r#"{"__REALTIME_TIMESTAMP":"1795278001000000","MESSAGE":null,"SYSLOG_IDENTIFIER":"x"}"#, "x: "),
        ];
        for (line, want) in table {
            let (at, text) = entry(line).unwrap();
            assert_eq!(String::from_utf8_lossy(&text), want, "{line}");
            assert_eq!(at, "2026-11-21T16:20:01Z".parse().ok());
        }
        assert!(entry("no JSON").is_none());
    }

    #[test]
    fn names_cannot_become_options() {
        let query = Query {
            want: crate::logs::Want::default(),
            since: Timestamp::from_second(7).ok(),
            lines: Some(5),
            now: Timestamp::UNIX_EPOCH,
            within: std::time::Duration::from_secs(1),
            bytes: 1,
        };
        let command = command(Some(Path::new("-x")), Some("--vacuum-size=1"), &query);
        let args: Vec<_> = command.as_std().get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        assert!(
            args.iter().all(|a| a.starts_with("--")) && args.contains(&"--unit=--vacuum-size=1".to_owned())
        );
        assert!(args.contains(&"--since=@7".to_owned()) && args.contains(&"--directory=-x".to_owned()));
    }
}

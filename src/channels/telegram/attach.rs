//! Attached files: which of them can be read, their text within bounds, and recordings kept until they are heard.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;

use super::{
    Place,
    decode::{Attached, Kind, one_line},
};
use crate::domain::Untrusted;

/// The largest file that Telegram lets a bot fetch, in bytes.
pub const DOWNLOAD_LIMIT: u64 = 20 << 20;
/// The longest text that is made of a packed file, in bytes.
pub const TEXT_LIMIT: usize = 20 << 20;

/// So much of a file decides whether it is text, in bytes.
const SAMPLE: usize = 64 << 10;
/// The longest name, in characters.
const NAME: usize = 120;
const RECORDING: &str = "oga";
const HALF_WRITTEN: &str = "tmp";

/// A file that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name without a path; `.gz` goes with the packing.
    pub name: String,
    /// Its text.
    pub text: Untrusted,
}

/// What to tell the sender of something that need not be fetched at all; none for what may be read or heard.
pub fn refusal(attached: &Attached) -> Option<String> {
    match attached.kind {
        Kind::Document | Kind::Voice => {
            let bytes = attached.bytes.filter(|bytes| *bytes > DOWNLOAD_LIMIT)?;
            let name = file_name(attached.name.as_deref());
            Some(format!(
                "`{name}` is {} MB large, and Telegram lets bots fetch 20 MB at most: send the part that matters, or \
                 pack it with gzip.",
                bytes.div_ceil(1 << 20)
            ))
        }
        Kind::Photo => Some(PICTURE.into()),
        Kind::Audio => Some("OpsBot does not listen to music: record a voice message, or type it.".into()),
        Kind::VideoNote => Some("OpsBot does not watch videos: record a voice message, or type it.".into()),
        Kind::Other(kind) => Some(format!(
            "OpsBot makes nothing of a {kind}: type what you want to know, or send a log as a file."
        )),
    }
}

const PICTURE: &str = "OpsBot does not read pictures: send the log itself as a file, or paste its text.";
const PDF: &str = "OpsBot does not read PDFs: send the text as a .txt or .log file, or paste it.";
const ARCHIVE: &str =
    "OpsBot opens no archives, only a single file packed with gzip: unpack it, and send the log alone.";

/// The text of a file that came under `name`. Blocks for as long as up to 20 MB take: from `async` code, use a blocking
/// thread.
///
/// # Errors
/// A sentence for the sender that says what to send instead.
pub fn read(name: Option<&str>, bytes: &[u8]) -> Result<Document, String> {
    let mut name = file_name(name);
    let unpacked;
    let bytes = if bytes.starts_with(b"\x1f\x8b") {
        unpacked = unpack(&name, bytes)?;
        if let Some(inner) = name.strip_suffix(".gz").filter(|inner| !inner.is_empty()) {
            name = inner.to_owned();
        }
        &unpacked
    } else {
        bytes
    };
    if let Some(other) = known_format(bytes) {
        return Err(other.into());
    }
    let text = decoded(bytes).ok_or_else(|| {
        format!(
            "`{name}` is no text that OpsBot can read: send a log or another text file in UTF-8 or UTF-16."
        )
    })?;
    let text = Untrusted::new(&text);
    if text.as_str().trim().is_empty() {
        return Err(format!("`{name}` is empty: check that the right file was sent."));
    }
    Ok(Document { name, text })
}

/// The last part of a path in either spelling, cleaned.
fn file_name(name: Option<&str>) -> String {
    let last = name.unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default();
    let clean = one_line(last, NAME);
    if clean.trim_matches('.').is_empty() { "file".into() } else { clean }
}

fn unpack(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(TEXT_LIMIT as u64 + 1).read_to_end(&mut unpacked);
    if read.is_err() {
        return Err(format!("`{name}` is damaged and cannot be unpacked: send it again, or unpacked."));
    }
    if unpacked.len() > TEXT_LIMIT {
        return Err(format!("`{name}` is larger than 20 MB when unpacked: send the part that matters."));
    }
    Ok(unpacked)
}

/// What to say about a format that announces itself and is no text.
fn known_format(bytes: &[u8]) -> Option<&'static str> {
    let starts = |marks: &[&[u8]]| marks.iter().any(|mark| bytes.starts_with(mark));
    let at = |from: usize, mark: &[u8]| bytes.get(from..from + mark.len()) == Some(mark);
    if starts(&[b"\x89PNG", b"\xff\xd8\xff", b"GIF8"]) || (starts(&[b"RIFF"]) && at(8, b"WEBP")) {
        Some(PICTURE)
    } else if starts(&[b"%PDF-"]) {
        Some(PDF)
    } else if starts(&[
        b"PK\x03\x04",
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!\x1a",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b",
    ]) || (starts(&[b"BZh"]) && at(4, b"1AY&SY"))
        || at(257, b"ustar")
    {
        Some(ARCHIVE)
    } else {
        None
    }
}

/// The text of `bytes` in UTF-16 with a mark, or in UTF-8 with a few bytes that are not; none for anything else.
fn decoded(bytes: &[u8]) -> Option<String> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = rest.chunks_exact(2).filter_map(|pair| Some(unit(pair.try_into().ok()?)));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>()
    };
    let text = if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        utf16(rest, u16::from_le_bytes)
    } else if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        utf16(rest, u16::from_be_bytes)
    } else {
        let sample = String::from_utf8_lossy(bytes.get(..SAMPLE).unwrap_or(bytes));
        if !is_text(&sample) {
            return None;
        }
        String::from_utf8_lossy(bytes).into_owned()
    };
    let begin = text.get(..text.floor_char_boundary(SAMPLE)).unwrap_or_default();
    is_text(begin).then_some(text)
}

/// At most one character in ten may be one that no text has.
fn is_text(sample: &str) -> bool {
    let strange = |c: char| {
        c == char::REPLACEMENT_CHARACTER
            || (c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b'))
    };
    let (all, odd) =
        sample.chars().fold((0_usize, 0_usize), |(all, odd), c| (all + 1, odd + usize::from(strange(c))));
    odd * 10 <= all
}

/// Keeps a recording as a private file in `dir` (made with mode 0700); the same message again replaces it.
///
/// # Errors
/// The operating system's.
pub fn keep_voice(dir: &Path, place: Place, message: i32, bytes: &[u8]) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    let path = dir.join(format!("{}-{message}.{RECORDING}", place.chat));
    let half = path.with_extension(HALF_WRITTEN);
    gone(fs::remove_file(&half))?;
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&half)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&half, &path));
    if let Err(error) = written {
        gone(fs::remove_file(&half)).ok();
        return Err(error);
    }
    Ok(path)
}

/// Removes recordings in `dir` that are as old as `lifetime`, and gives how many.
///
/// # Errors
/// The operating system's.
pub fn sweep(dir: &Path, lifetime: Duration, now: Timestamp) -> io::Result<usize> {
    let now = SystemTime::from(now);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let path = entry?.path();
        let ours = path.extension().is_some_and(|e| e == RECORDING || e == HALF_WRITTEN);
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let old = now.duration_since(meta.modified()?).is_ok_and(|age| age >= lifetime);
        if ours && meta.is_file() && old {
            gone(fs::remove_file(&path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A file that is not there need not be removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    }

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(unit).collect()
    }

    #[test]
    fn text_is_read_in_every_usual_spelling() {
        let text = "2026-11-21 10:00 ERROR käse 🔥\nnext";
        let mut twice = packed(b"one\n");
        twice.extend(packed(b"two\n"));
        let table: &[(&str, Vec<u8>, &str, &str)] = &[
            ("web.log", text.into(), "web.log", text),
            ("/var/log/web.log", text.into(), "web.log", text),
            (r"C:\logs\web.log", text.into(), "web.log", text),
            ("../..", text.into(), "file", text),
            ("a\u{202e}\nb.log", text.into(), "a b.log", text),
            ("w.txt", format!("\u{feff}{text}").into_bytes(), "w.txt", text),
            ("w.txt", utf16(text, u16::to_le_bytes), "w.txt", text),
            ("w.txt", utf16(text, u16::to_be_bytes), "w.txt", text),
            ("web.log.gz", packed(text.as_bytes()), "web.log", text),
            ("misnamed.log", packed(text.as_bytes()), "misnamed.log", text),
            (".gz", packed(text.as_bytes()), ".gz", text),
            ("two.gz", twice, "two", "one\ntwo\n"),
            (
                "latin.log",
                b"Gr\xfc\xdfe aus M\xfcnchen und viel mehr Text".to_vec(),
                "latin.log",
                "Gr\u{fffd}\u{fffd}e aus M\u{fffd}nchen und viel mehr Text",
            ),
            ("color.log", b"\x1b[31mERROR\x1b[0m x\r\n".to_vec(), "color.log", "ERROR x\n"),
        ];
        for (given, bytes, name, text) in table {
            let read = read(Some(given), bytes).unwrap();
            assert_eq!((read.name.as_str(), read.text.as_str()), (*name, *text), "{given}");
        }
        assert_eq!(read(None, b"x").unwrap().name, "file");
    }

    #[test]
    fn what_is_no_text_says_what_to_send() {
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        let noise: Vec<u8> = (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut damaged = packed(&noise);
        damaged.truncate(damaged.len() / 2);
        let table: &[(&str, Vec<u8>, &str)] = &[
            ("a.png", b"\x89PNG\r\n\x1a\n....".to_vec(), "pictures"),
            ("a.jpg", b"\xff\xd8\xff\xe0....".to_vec(), "pictures"),
            ("a.webp", b"RIFF....WEBPVP8 ".to_vec(), "pictures"),
            ("a.pdf", b"%PDF-1.7 ...".to_vec(), "PDFs"),
            ("a.zip", b"PK\x03\x04....".to_vec(), "unpack it"),
            ("a.tar", tar.clone(), "unpack it"),
            ("a.tar.gz", packed(&tar), "unpack it"),
            ("a.gz.gz", packed(&packed(b"x")), "unpack it"),
            ("a.zst", b"\x28\xb5\x2f\xfd....".to_vec(), "unpack it"),
            ("a.gz", damaged, "damaged"),
            ("a.gz", b"\x1f\x8b".to_vec(), "damaged"),
            ("a.bin", noise, "no text"),
            ("a.exe", b"MZ\0\0\0\0\0\0\0\0".to_vec(), "no text"),
            ("u16.txt", "no mark".encode_utf16().flat_map(u16::to_le_bytes).collect(), "no text"),
            ("odd.txt", [b"\xff\xfe".as_slice(), &[0; 400]].concat(), "no text"),
            ("bomb.gz", packed(&vec![b'a'; TEXT_LIMIT + 1]), "larger than 20 MB"),
            ("empty.log", vec![], "is empty"),
            ("blank.log", b" \n\n".to_vec(), "is empty"),
        ];
        for (name, bytes, part) in table {
            let told = read(Some(name), bytes).unwrap_err();
            assert!(told.contains(part), "{name}: {told}");
        }
        assert!(read(Some("most.gz"), &packed(&vec![b'a'; TEXT_LIMIT])).is_ok());
    }

    #[test]
    fn what_need_not_be_fetched_is_refused_at_once() {
        let attached = |kind, bytes| Attached {
            kind,
            file_id: "F".into(),
            name: Some("/x/big.log".into()),
            mime: None,
            bytes,
            seconds: None,
        };
        let table = [
            (Kind::Document, Some(DOWNLOAD_LIMIT), None),
            (Kind::Document, None, None),
            (Kind::Voice, Some(1), None),
            (Kind::Document, Some(DOWNLOAD_LIMIT + 1), Some("`big.log` is 21 MB")),
            (Kind::Photo, Some(1), Some("pictures")),
            (Kind::Audio, Some(1), Some("music")),
            (Kind::VideoNote, Some(1), Some("videos")),
            (Kind::Other("sticker"), Some(1), Some("a sticker")),
        ];
        for (kind, bytes, want) in table {
            let told = refusal(&attached(kind, bytes));
            assert_eq!(told.is_some(), want.is_some(), "{told:?}");
            assert!(told.unwrap_or_default().contains(want.unwrap_or_default()), "{want:?}");
        }
    }

    #[test]
    fn recordings_are_private_and_last_as_long_as_set() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state/voice");
        let day = 24 * 3600;
        let at = |seconds: i64| Timestamp::from_second(1_790_000_000 + seconds).unwrap();
        let sweep = |now| sweep(&dir, Duration::from_secs(24 * 3600), now);
        assert_eq!(sweep(at(0)).unwrap(), 0, "nothing was ever kept");
        let path = keep_voice(&dir, Place { chat: -1005, thread: Some(3) }, 9, b"OggS one").unwrap();
        assert_eq!(path, dir.join("-1005-9.oga"));
        assert_eq!(keep_voice(&dir, Place::chat(-1005), 9, b"OggS two").unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), b"OggS two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&path)), (0o700, 0o600));
        let half = dir.join("1-1.tmp");
        let foreign = dir.join("notes.txt");
        fs::write(&half, "half").unwrap();
        fs::write(&foreign, "mine").unwrap();
        for path in [&path, &half, &foreign] {
            File::options().write(true).open(path).unwrap().set_modified(at(0).into()).unwrap();
        }
        assert_eq!(sweep(at(-5)).unwrap(), 0, "a clock that was set back removes nothing");
        assert_eq!(sweep(at(day - 1)).unwrap(), 0);
        assert_eq!(sweep(at(day)).unwrap(), 2);
        assert!(!path.exists() && !half.exists() && foreign.exists());
        fs::remove_dir_all(&dir).unwrap();
        fs::write(&dir, "a file in the way").unwrap();
        assert!(keep_voice(&dir, Place::chat(1), 1, b"x").is_err());
    }
}

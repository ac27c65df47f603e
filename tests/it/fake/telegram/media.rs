//! Files: what a call uploads or names again, and what `getFile` says of them.

use bytes::Bytes;
use serde_json::Value;

use super::{
    state::{Media, MediaKind, World},
    wire::{Params, Refusal},
};

const UPLOAD_LIMIT: usize = 50 * 1024 * 1024;
const PHOTO_LIMIT: usize = 10 * 1024 * 1024;
const DOWNLOAD_LIMIT: usize = 20 * 1024 * 1024;

/// The file of `sendPhoto`, `sendDocument` or `sendVoice`.
pub(super) fn given(w: &mut World, params: &Params, kind: MediaKind) -> Result<Media, Refusal> {
    let field = match kind {
        MediaKind::Photo => "photo",
        MediaKind::Document => "document",
        MediaKind::Voice => "voice",
    };
    let named_by = params.text(field);
    let mut media = named(w, params, kind, field, named_by.as_deref())?;
    if let Some(duration) = params.int("duration").and_then(|n| u32::try_from(n).ok()) {
        media.duration = duration;
    }
    Ok(media)
}

/// The file that `value` points at (`attach://…` or a `file_id`), or that the part `field` holds.
pub(super) fn named(
    w: &mut World,
    params: &Params,
    kind: MediaKind,
    field: &str,
    value: Option<&str>,
) -> Result<Media, Refusal> {
    if let Some(upload) = params.upload(field, value) {
        let media = media(kind, &upload.name, &upload.mime, upload.bytes.clone())?;
        return Ok(w.keep(media));
    }
    let Some(value) = value.filter(|v| !v.is_empty()) else {
        return Err(Refusal::bad(format!("there is no {field} in the request")));
    };
    if value.starts_with("http://") || value.starts_with("https://") {
        return Err(Refusal::bad("failed to get HTTP URL content"));
    }
    let found = w.files.get(value).map(|f| f.media.clone()).filter(|m| m.kind == kind);
    found.ok_or_else(|| Refusal::bad("wrong file identifier/HTTP URL specified"))
}

/// A new file, within Telegram's limits.
pub(super) fn media(kind: MediaKind, name: &str, mime: &str, bytes: Bytes) -> Result<Media, Refusal> {
    let size = bytes.len();
    if size == 0 {
        return Err(Refusal::bad("file must be non-empty"));
    }
    if size > UPLOAD_LIMIT {
        return Err(Refusal::new(413, "Request Entity Too Large"));
    }
    let (mut width, mut height) = (0, 0);
    if kind == MediaKind::Photo {
        if size > PHOTO_LIMIT {
            let limits = format!("is too big for a photo; the maximum size is {PHOTO_LIMIT} bytes");
            return Err(Refusal::bad(format!("file of size {size} bytes {limits}")));
        }
        (width, height) = dimensions(&bytes).ok_or_else(|| Refusal::bad("IMAGE_PROCESS_FAILED"))?;
        let (long, short) = (width.max(height), width.min(height));
        if short == 0 || width + height > 10_000 || long / short > 20 {
            return Err(Refusal::bad("PHOTO_INVALID_DIMENSIONS"));
        }
    }
    let mime = match kind {
        _ if !mime.is_empty() && mime != "application/octet-stream" => mime,
        MediaKind::Photo => "image/png",
        MediaKind::Voice => "audio/ogg",
        MediaKind::Document => guessed(name),
    };
    let name = if name.is_empty() { "file" } else { name };
    let (name, mime) = (name.to_owned(), mime.to_owned());
    Ok(Media { kind, file_id: String::new(), name, mime, bytes, width, height, duration: 0 })
}

fn guessed(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("txt" | "log" | "md") => "text/plain",
        Some("json") => "application/json",
        Some("csv") => "text/csv",
        Some("png") => "image/png",
        Some("pdf") => "application/pdf",
        _ => "application/octet-stream",
    }
}

/// Width and height of a PNG or JPEG.
fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let number = |at| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        return Some((number(16)?, number(20)?)).filter(|(w, h)| *w < 100_000 && *h < 100_000);
    }
    let mut at = 2;
    while bytes.starts_with(b"\xff\xd8") {
        let [0xff, marker, high, low] = *bytes.get(at..at + 4)? else { return None };
        if (0xc0..=0xc3).contains(&marker) {
            let number = |at| Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
            return Some((number(at + 7)?, number(at + 5)?));
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    None
}

/// `getFile`.
pub(super) fn get_file(w: &World, params: &Params) -> Result<Value, Refusal> {
    let id = params.text("file_id").unwrap_or_default();
    let wrong = || Refusal::bad("wrong file_id or the file is temporarily unavailable");
    let file = w.files.get(&id).ok_or_else(wrong)?;
    if file.media.bytes.len() > DOWNLOAD_LIMIT {
        return Err(Refusal::bad("file is too big"));
    }
    let mut json = file.media.file_json();
    json["file_path"] = file.path.clone().into();
    Ok(json)
}

//! A method's parameters: JSON when there is no file, multipart with one.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{
    RequestBuilder, Url,
    header::{CONTENT_TYPE, HeaderValue},
    multipart::{Form, Part},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use teloxide::types::{
    InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, MessageId, ReplyParameters,
};

use super::super::post::{Body, Place, Post, Rich, Tap};

/// The name under which a file goes with `editMessageMedia`.
const ATTACHED: &str = "file";

/// Parameters by name, and at most one file.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: Map<String, Value>,
    upload: Option<Upload>,
}

#[derive(Debug)]
struct Upload {
    field: &'static str,
    name: String,
    mime: &'static str,
    content: Arc<[u8]>,
}

impl Fields {
    /// One more; what is `None` is left out.
    pub(super) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        // Telegram's types have string keys only, so this cannot fail.
        let value = serde_json::to_value(value).unwrap_or_default();
        if !value.is_null() {
            self.values.insert(name.into(), value);
        }
        self
    }

    /// Whether a file goes along.
    pub(super) fn has_upload(&self) -> bool {
        self.upload.is_some()
    }

    /// Puts them into a request.
    pub(super) fn into_request(self, request: RequestBuilder) -> RequestBuilder {
        let Some(upload) = self.upload else {
            let json = HeaderValue::from_static("application/json");
            return request.header(CONTENT_TYPE, json).body(Value::Object(self.values).to_string());
        };
        let mut form = Form::new();
        for (name, value) in self.values {
            form = match value {
                Value::String(text) => form.text(name, text),
                other => form.text(name, other.to_string()),
            };
        }
        request.multipart(form.part(upload.field, upload.part()))
    }

    /// The method and the parameters that send `post`.
    pub(super) fn send(place: Place, post: &Post, reply_to: Option<i32>) -> (&'static str, Self) {
        let reply = reply_to.map(|id| ReplyParameters::new(MessageId(id)).allow_sending_without_reply());
        let fields = Self::default()
            .with("chat_id", place.chat)
            .with("message_thread_id", place.thread)
            .with("disable_notification", post.quiet.then_some(true))
            .with("reply_parameters", reply)
            .with("reply_markup", keyboard(&post.keyboard));
        match &post.body {
            Body::Text(rich) => ("sendMessage", fields.text(rich)),
            Body::Photo { png, caption } => {
                ("sendPhoto", fields.caption(caption).file(Upload::photo("photo", png)))
            }
            Body::File { name, content, caption } => {
                let fields = fields.caption(caption).with("disable_content_type_detection", true);
                ("sendDocument", fields.file(Upload::document("document", name, content)))
            }
        }
    }

    /// The method and the parameters that turn a message into `post`; a text for a message with a picture or file
    /// becomes its caption.
    pub(super) fn edit(place: Place, message: i32, post: &Post, was_media: bool) -> (&'static str, Self) {
        let fields = Self::default()
            .with("chat_id", place.chat)
            .with("message_id", message)
            .with("reply_markup", keyboard(&post.keyboard));
        match &post.body {
            Body::Text(rich) if was_media => ("editMessageCaption", fields.caption(rich)),
            Body::Text(rich) => ("editMessageText", fields.text(rich)),
            Body::Photo { png, caption } => {
                let fields = fields.with("media", media("photo", caption));
                ("editMessageMedia", fields.file(Upload::photo(ATTACHED, png)))
            }
            Body::File { name, content, caption } => {
                let mut media = media("document", caption);
                media["disable_content_type_detection"] = true.into();
                let file = Upload::document(ATTACHED, name, content);
                ("editMessageMedia", fields.with("media", media).file(file))
            }
        }
    }

    fn text(self, rich: &Rich) -> Self {
        let no_preview = LinkPreviewOptions {
            is_disabled: true,
            url: None,
            prefer_small_media: false,
            prefer_large_media: false,
            show_above_text: false,
        };
        self.with("text", &rich.text)
            .with("entities", some(&rich.entities))
            .with("link_preview_options", no_preview)
    }

    fn caption(self, rich: &Rich) -> Self {
        self.with("caption", &rich.text).with("caption_entities", some(&rich.entities))
    }

    fn file(mut self, upload: Upload) -> Self {
        self.upload = Some(upload);
        self
    }
}

impl Upload {
    fn photo(field: &'static str, png: &Arc<[u8]>) -> Self {
        Self { field, name: "chart.png".into(), mime: "image/png", content: Arc::clone(png) }
    }

    fn document(field: &'static str, name: &str, content: &Arc<[u8]>) -> Self {
        let content = Arc::clone(content);
        Self { field, name: name.to_owned(), mime: "application/octet-stream", content }
    }

    fn part(self) -> Part {
        let length = self.content.len() as u64;
        let part = Part::stream_with_length(Bytes::from_owner(self.content), length).file_name(self.name);
        let typed = HeaderValue::from_static(self.mime);
        part.headers([(CONTENT_TYPE, typed)].into_iter().collect())
    }
}

fn media(kind: &str, caption: &Rich) -> Value {
    let mut media = json!({ "type": kind, "media": format!("attach://{ATTACHED}"), "caption": caption.text });
    if let Some(entities) = some(&caption.entities) {
        media["caption_entities"] = serde_json::to_value(entities).unwrap_or_default();
    }
    media
}

fn keyboard(rows: &[Vec<Tap>]) -> Option<InlineKeyboardMarkup> {
    let button = |tap: &Tap| match tap.link.then(|| Url::parse(&tap.data)) {
        None => Some(InlineKeyboardButton::callback(&tap.label, &tap.data)),
        // Telegram would refuse the whole message for it.
        Some(url) => url.ok().map(|url| InlineKeyboardButton::url(&tap.label, url)),
    };
    (!rows.is_empty())
        .then(|| InlineKeyboardMarkup::new(rows.iter().map(|row| row.iter().filter_map(button))))
}

fn some<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use teloxide::types::MessageEntity;

    use super::*;

    fn bold(text: &str) -> Rich {
        Rich { text: text.into(), entities: vec![MessageEntity::bold(0, 2)] }
    }

    #[test]
    fn a_post_becomes_the_method_that_its_kind_demands() {
        let tap = Tap::new("Yes", "y:1");
        let text = Post { keyboard: vec![vec![tap]], quiet: true, ..Post::text(bold("hey")) };
        let photo =
            Post { body: Body::Photo { png: Arc::from(*b"png"), caption: bold("cap") }, ..text.clone() };
        let content = Arc::from(*b"log");
        let file = Body::File { name: "a.txt".into(), content, caption: Rich::default() };
        let file = Post { body: file, ..Post::text(Rich::default()) };
        let keys = r#""reply_markup":{"inline_keyboard":[[{"text":"Yes","callback_data":"y:1"}]]}"#;
        let bold = r#"[{"type":"bold","offset":0,"length":2}]"#;
        let place = Place { chat: -7, thread: Some(3) };
        let reply = r#""reply_parameters":{"message_id":5,"allow_sending_without_reply":true}"#;
        let sent = [
            ("sendMessage", Fields::send(place, &text, Some(5)), None, format!(
                r#"{{"chat_id":-7,"message_thread_id":3,"disable_notification":true,{reply},{keys},"text":"hey","entities":{bold},"link_preview_options":{{"is_disabled":true}}}}"#)),
            ("sendPhoto", Fields::send(Place::chat(7), &photo, None), Some("photo"), format!(
                r#"{{"chat_id":7,"disable_notification":true,{keys},"caption":"cap","caption_entities":{bold}}}"#)),
            ("sendDocument", Fields::send(Place::chat(7), &file, None), Some("document"),
                r#"{"chat_id":7,"caption":"","disable_content_type_detection":true}"#.into()),
            ("editMessageText", Fields::edit(place, 9, &text, false), None, format!(
                r#"{{"chat_id":-7,"message_id":9,{keys},"text":"hey","entities":{bold},"link_preview_options":{{"is_disabled":true}}}}"#)),
            ("editMessageCaption", Fields::edit(place, 9, &text, true), None, format!(
                r#"{{"chat_id":-7,"message_id":9,{keys},"caption":"hey","caption_entities":{bold}}}"#)),
            ("editMessageMedia", Fields::edit(place, 9, &photo, false), Some("file"), format!(
                r#"{{"chat_id":-7,"message_id":9,{keys},"media":{{"type":"photo","media":"attach://file","caption":"cap","caption_entities":{bold}}}}}"#)),
            ("editMessageMedia", Fields::edit(place, 9, &file, true), Some("file"),
                r#"{"chat_id":-7,"message_id":9,"media":{"type":"document","media":"attach://file","caption":"","disable_content_type_detection":true}}"#.into()),
        ];
        for (method, (got, fields), upload, want) in sent {
            assert_eq!(got, method);
            assert_eq!(Value::Object(fields.values).to_string(), want, "{method}");
            assert_eq!(fields.upload.map(|u| u.field), upload, "{method}");
        }
    }
}

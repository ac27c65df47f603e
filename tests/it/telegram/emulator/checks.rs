//! Telegram's checks of what a bot sends, as a table of parameters and answers.

use serde_json::json;
use teloxide::{
    payloads::SendMessageSetters,
    requests::Requester,
    types::{ChatId, InputFile, MessageEntity},
};

use super::*;

/// Method, parameters besides the chat, and the error (empty: it is taken).
type Row = (&'static str, Value, &'static str);

async fn check(fake: &FakeTelegram, rows: Vec<Row>) {
    for (method, mut params, want) in rows {
        params["chat_id"] = ANNA.into();
        let shown: String = params.to_string().chars().take(120).collect();
        let (code, answer) = raw(fake, method, params).await;
        let got = answer["description"].as_str().unwrap_or_default();
        assert_eq!((got, code), (want, if want.is_empty() { 200 } else { 400 }), "{method} {shown}");
        assert_eq!(answer["ok"], want.is_empty());
    }
}

#[tokio::test]
async fn texts_are_counted_in_utf16_units() {
    let (fake, _) = started().await;
    let of = |c: &str, n: usize| json!({"text": c.repeat(n)});
    let rows = vec![
        ("sendMessage", json!({}), "Bad Request: message text is empty"),
        ("sendMessage", json!({"text": ""}), "Bad Request: message text is empty"),
        ("sendMessage", json!({"text": " \n\t "}), "Bad Request: message text is empty"),
        ("sendMessage", of("x", 4096), ""),
        ("sendMessage", of("x", 4097), "Bad Request: message is too long"),
        ("sendMessage", of("🔥", 2048), ""),
        ("sendMessage", of("🔥", 2049), "Bad Request: message is too long"),
        ("sendMessage", json!({"text": format!("  {}\n\n", "x".repeat(4096))}), ""),
        (
            "editMessageText",
            json!({"message_id": 1, "text": "x".repeat(4097)}),
            "Bad Request: MESSAGE_TOO_LONG",
        ),
        ("editMessageText", json!({"message_id": 1, "text": ""}), "Bad Request: message text is empty"),
        ("sendMessage", json!({"text": "x", "parse_mode": "HTML"}), "Bad Request: unsupported parse_mode"),
        ("sendChatAction", json!({"action": "dancing"}), "Bad Request: wrong parameter action in request"),
    ];
    check(&fake, rows).await;
}

#[tokio::test]
async fn captions_have_a_limit_of_their_own() {
    let (fake, bot) = started().await;
    let file = || InputFile::memory(png(9, 9)).file_name("a.png");
    let photo = bot.send_photo(ChatId(ANNA), file()).await.unwrap();
    let id = photo.photo().unwrap()[0].file.id.0.clone();
    let with = |caption: String| json!({"photo": id.clone(), "caption": caption});
    let rows = vec![
        ("sendPhoto", with("é".repeat(1024)), ""),
        ("sendPhoto", with("é".repeat(1025)), "Bad Request: message caption is too long"),
        (
            "editMessageCaption",
            json!({"message_id": photo.id.0, "caption": "x".repeat(1025)}),
            "Bad Request: message caption is too long",
        ),
        ("sendDocument", json!({"document": id}), "Bad Request: wrong file identifier/HTTP URL specified"),
        ("sendDocument", json!({}), "Bad Request: there is no document in the request"),
    ];
    check(&fake, rows).await;
    let refusals = [
        (b"no picture".to_vec(), ApiError::ImageProcessFailed.to_string()),
        (png(9_000, 1_001), "PHOTO_INVALID_DIMENSIONS".into()),
        (png(4_000, 100), "PHOTO_INVALID_DIMENSIONS".into()),
        ([png(9, 9), vec![0; 10 << 20]].concat(), "too big for a photo".into()),
        (vec![], "file must be non-empty".into()),
    ];
    for (bytes, want) in refusals {
        let error = api(bot.send_photo(ChatId(ANNA), InputFile::memory(bytes).file_name("a.png")).await);
        assert!(error.to_string().contains(&want), "{error}, not {want}");
    }
}

#[tokio::test]
async fn entities_must_fit_their_text() {
    let (fake, bot) = started().await;
    let of = |text: &str, from: i64, length: i64| json!({"text": text, "entities": [{"type": "bold", "offset": from, "length": length}]});
    let rows = vec![
        ("sendMessage", of("a🔥b", 0, 4), ""),
        ("sendMessage", of("a🔥b", 1, 2), ""),
        (
            "sendMessage",
            of("abc", 1, 3),
            "Bad Request: can't parse entities: entity beginning at UTF-16 offset 1 ends after the end of the text at \
             UTF-16 offset 4",
        ),
        (
            "sendMessage",
            of("a🔥b", 2, 1),
            "Bad Request: entity begins in a middle of a UTF-16 symbol at byte offset 5",
        ),
        (
            "sendMessage",
            of("a🔥b", 0, 2),
            "Bad Request: entity beginning at UTF-16 offset 0 ends in a middle of a UTF-16 symbol at byte offset 5",
        ),
        ("sendMessage", of("abc", 0, 0), ""),
        ("sendMessage", of("abc", -1, 2), ""),
        (
            "sendMessage",
            json!({"text": "a", "entities": [{"type": "shout", "offset": 0, "length": 1}]}),
            "Bad Request: can't parse MessageEntity: Unsupported type specified",
        ),
    ];
    check(&fake, rows).await;
    let refused = bot.send_message(ChatId(ANNA), "abc").entities([MessageEntity::bold(0, 9)]).await;
    assert!(matches!(api(refused), ApiError::CantParseEntities(_)));
    let many: Vec<_> = (0..120).map(|at| MessageEntity::code(at, 1)).collect();
    let sent = bot.send_message(ChatId(ANNA), "x".repeat(120)).entities(many).await.unwrap();
    assert_eq!(fake.message(ANNA, sent.id.0).unwrap().entities.len(), 100, "the rest is ignored");
    let spans = [MessageEntity::italic(4, 5), MessageEntity::bold(2, 7)];
    let sent = bot.send_message(ChatId(ANNA), "  ab cd  ").entities(spans).await.unwrap();
    let shown = fake.message(ANNA, sent.id.0).unwrap();
    let got: Vec<_> = shown.entities.iter().map(|e| (e["offset"].clone(), e["length"].clone())).collect();
    assert_eq!((shown.text.as_str(), got), ("ab cd", vec![(0.into(), 5.into()), (2.into(), 3.into())]));
}

#[tokio::test]
async fn buttons_carry_one_to_64_bytes() {
    let (fake, _) = started().await;
    let of = |button: Value| json!({"text": "x", "reply_markup": {"inline_keyboard": [[button]]}});
    let data = |data: String| of(json!({"text": "b", "callback_data": data}));
    let rows = vec![
        ("sendMessage", data("x".repeat(64)), ""),
        ("sendMessage", data("x".repeat(65)), "Bad Request: BUTTON_DATA_INVALID"),
        ("sendMessage", data("é".repeat(33)), "Bad Request: BUTTON_DATA_INVALID"),
        ("sendMessage", data(String::new()), "Bad Request: BUTTON_DATA_INVALID"),
        ("sendMessage", of(json!({"text": "b", "url": "https://example.com"})), ""),
        ("sendMessage", of(json!({"text": "b", "url": "example"})), "Bad Request: BUTTON_URL_INVALID"),
        (
            "sendMessage",
            of(json!({"text": "b"})),
            "Bad Request: can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
        ),
        (
            "sendMessage",
            of(json!({"text": " ", "callback_data": "x"})),
            "Bad Request: can't parse InlineKeyboardButton: Field \"text\" must be non-empty",
        ),
        (
            "sendMessage",
            json!({"text": "x", "reply_markup": {}}),
            "Bad Request: object expected as reply markup",
        ),
    ];
    check(&fake, rows).await;
}

//! What shows in chats: numbers, edits, files, replies, forwards, topics, buttons.

use teloxide::{
    net::Download,
    payloads::{
        AnswerCallbackQuerySetters, EditMessageReplyMarkupSetters, EditMessageTextSetters,
        SendDocumentSetters, SendMessageSetters, SendPhotoSetters, SendVoiceSetters,
    },
    requests::Requester,
    types::{
        CallbackQueryId, ChatAction, ChatId, ChatKind, FileId, InputFile, InputMedia, InputMediaDocument,
        InputMediaPhoto, MessageEntityKind, MessageId, MessageOrigin, ReplyParameters, ThreadId,
    },
};

use super::*;
use crate::fake::telegram::{Draft, MediaKind};

#[tokio::test]
async fn messages_are_numbered_as_telegram_numbers_them() {
    let (fake, bot) = started().await;
    fake.private(BEN, "Ben");
    fake.basic_group(-55, "Small");
    let one = fake.say(ANNA, ANNA, "one");
    let two = bot.send_message(ChatId(BEN), "two").await.unwrap().id.0;
    let three = fake.say(-55, BEN, "three");
    let first = bot.send_message(ChatId(GROUP), "first").await.unwrap().id.0;
    let second = fake.say(GROUP, BEN, "second");
    let four = bot.send_message(ChatId(ANNA), "four").await.unwrap().id.0;
    assert_eq!([one, two, three, four], [1, 2, 3, 4], "private chats and basic groups share one counter");
    assert_eq!([first, second], [1, 2], "a supergroup counts on its own");
    assert_eq!(texts(&fake.messages(ANNA)), ["one", "four"]);
}

#[tokio::test]
async fn an_edit_is_seen_and_an_equal_one_refused() {
    let (fake, bot) = started().await;
    let asked = fake.say(ANNA, ANNA, "hi");
    let sent = bot.send_message(ChatId(ANNA), "…").reply_markup(keyboard("Stop", "stop")).await.unwrap();
    bot.edit_message_text(ChatId(ANNA), sent.id, "done").await.unwrap();
    let shown = fake.message(ANNA, sent.id.0).unwrap();
    assert_eq!((shown.text.as_str(), shown.edits, shown.past.as_slice()), ("done", 1, &["…".to_owned()][..]));
    assert!(shown.keyboard.is_empty(), "an edit without a keyboard takes it away");
    assert_eq!(api(bot.edit_message_text(ChatId(ANNA), sent.id, "done").await), ApiError::MessageNotModified);
    let markup = keyboard("Again", "again");
    bot.edit_message_reply_markup(ChatId(ANNA), sent.id).reply_markup(markup.clone()).await.unwrap();
    let same = bot.edit_message_text(ChatId(ANNA), sent.id, "done").reply_markup(markup).await;
    assert_eq!(api(same), ApiError::MessageNotModified);
    let missing = bot.edit_message_text(ChatId(ANNA), MessageId(99), "x").await;
    assert_eq!(api(missing), ApiError::MessageToEditNotFound);
    let foreign = bot.edit_message_text(ChatId(ANNA), MessageId(asked), "x").await;
    assert_eq!(api(foreign), ApiError::MessageCantBeEdited);
    bot.delete_message(ChatId(ANNA), sent.id).await.unwrap();
    assert_eq!(texts(&fake.messages(ANNA)), ["hi"]);
    assert_eq!(api(bot.delete_message(ChatId(ANNA), sent.id).await), ApiError::MessageToDeleteNotFound);
    let gone = bot.edit_message_text(ChatId(ANNA), sent.id, "x").await;
    assert_eq!(api(gone), ApiError::MessageToEditNotFound);
    let theirs = fake.say(GROUP, BEN, "mine");
    assert_eq!(
        api(bot.delete_message(ChatId(GROUP), MessageId(theirs)).await),
        ApiError::MessageCantBeDeleted
    );
}

#[tokio::test]
async fn files_go_up_and_come_down() {
    let (fake, bot) = started().await;
    let photo = InputFile::memory(png(800, 400)).file_name("cpu.png");
    let sent = bot.send_photo(ChatId(ANNA), photo).caption("CPU").await.unwrap();
    let size = sent.photo().unwrap().last().unwrap();
    assert_eq!((size.width, size.height), (800, 400));
    let log = b"line 1\r\n--x\r\nline 2 \xff".to_vec();
    let file = InputFile::memory(log.clone()).file_name("web log %41.txt");
    let sent = bot.send_document(ChatId(ANNA), file).caption("the log").await.unwrap();
    let shown = fake.message(ANNA, sent.id.0).unwrap();
    let media = shown.media.unwrap();
    assert_eq!((shown.text.as_str(), media.name.as_str()), ("the log", "web log %41.txt"));
    assert_eq!((media.kind, &media.bytes[..]), (MediaKind::Document, &log[..]));
    bot.send_voice(ChatId(ANNA), InputFile::memory("OggS")).duration(3).await.unwrap();
    let voice = fake.messages(ANNA).pop().unwrap().media.unwrap();
    assert_eq!((voice.kind, voice.duration), (MediaKind::Voice, 3));

    fake.send_document(ANNA, ANNA, "a b%.log", "what I saw", "look /here");
    let message = only_message(&bot).await;
    let id = message.document().unwrap().file.id.clone();
    assert_eq!(message.caption(), Some("look /here"));
    let path = bot.get_file(id.clone()).await.unwrap().path;
    let mut got = vec![];
    bot.download_file(&path, &mut got).await.unwrap();
    assert_eq!(got, b"what I saw");
    bot.send_document(ChatId(ANNA), InputFile::file_id(id)).await.unwrap();
    assert_eq!(&fake.messages(ANNA).pop().unwrap().media.unwrap().bytes[..], b"what I saw");
    fake.send_voice(ANNA, ANNA, "OggS…", 7);
    assert_eq!(only_message(&bot).await.voice().unwrap().duration.seconds(), 7);
    bot.get_file(FileId("nothing".into())).await.unwrap_err();
}

#[tokio::test]
async fn a_message_becomes_a_picture_and_keeps_a_captions_limit() {
    let (fake, bot) = started().await;
    let sent = bot.send_message(ChatId(ANNA), "soon").await.unwrap();
    let photo = |caption: &str| {
        let file = InputFile::memory(png(10, 10)).file_name("chart.png");
        InputMedia::Photo(InputMediaPhoto::new(file).caption(caption))
    };
    bot.edit_message_media(ChatId(ANNA), sent.id, photo("chart")).await.unwrap();
    let shown = fake.message(ANNA, sent.id.0).unwrap();
    assert_eq!((shown.text.as_str(), shown.media.unwrap().name.as_str()), ("chart", "chart.png"));
    let long = "x".repeat(1025);
    assert!(
        bot.edit_message_media(ChatId(ANNA), sent.id, photo(&long)).await.is_err(),
        "a caption of 1,025 is too long"
    );
    bot.edit_message_text(ChatId(ANNA), sent.id, "text again?").await.unwrap_err();
    bot.edit_message_caption(ChatId(ANNA), sent.id).await.unwrap();
    assert_eq!(fake.message(ANNA, sent.id.0).unwrap().text, "");
    let file = InputMediaDocument::new(InputFile::memory("x").file_name("x.txt"));
    bot.edit_message_media(ChatId(ANNA), sent.id, InputMedia::Document(file)).await.unwrap();
    assert_eq!(fake.message(ANNA, sent.id.0).unwrap().edits, 3);
    let text = bot.send_message(ChatId(ANNA), "text").await.unwrap();
    bot.edit_message_caption(ChatId(ANNA), text.id).await.unwrap_err();
}

#[tokio::test]
async fn replies_quotes_and_forwards_tell_where_they_come_from() {
    let (fake, bot) = started().await;
    let sent = bot.send_message(ChatId(ANNA), "🔥 disk is full").await.unwrap();
    fake.quote(ANNA, ANNA, (sent.id.0, "disk"), "which?");
    let message = only_message(&bot).await;
    assert_eq!(message.reply_to_message().unwrap().text(), Some("🔥 disk is full"));
    let quote = message.quote().unwrap();
    assert_eq!((quote.text.as_str(), quote.position), ("disk", 3));
    let said =
        fake.say(GROUP, BEN, "look at this https://status.example.com/a, @ben_ops: /status@ops_test_bot");
    let message = only_message(&bot).await;
    let kinds: Vec<_> =
        message.parse_entities().unwrap().iter().map(|e| (e.text().to_owned(), e.kind().clone())).collect();
    assert_eq!(
        kinds,
        [
            ("https://status.example.com/a".to_owned(), MessageEntityKind::Url),
            ("@ben_ops".to_owned(), MessageEntityKind::Mention),
            ("/status@ops_test_bot".to_owned(), MessageEntityKind::BotCommand),
        ]
    );
    fake.forward(ANNA, ANNA, GROUP, said);
    match only_message(&bot).await.forward_origin() {
        Some(MessageOrigin::User { sender_user, .. }) => assert_eq!(sender_user.first_name, "Ben"),
        other => panic!("{other:?}"),
    }
    let reply = ReplyParameters::new(sent.id);
    let answer = bot.send_message(ChatId(ANNA), "that one").reply_parameters(reply).await.unwrap();
    assert_eq!(fake.message(ANNA, answer.id.0).unwrap().reply_to, Some(sent.id.0));
    let missing = ReplyParameters::new(MessageId(99));
    let refused = bot.send_message(ChatId(ANNA), "x").reply_parameters(missing.clone()).await;
    assert_eq!(api(refused), ApiError::MessageToReplyNotFound);
    let lenient = missing.allow_sending_without_reply();
    bot.send_message(ChatId(ANNA), "x").reply_parameters(lenient).await.unwrap();
}

#[tokio::test]
async fn people_edit_and_write_late() {
    let (fake, bot) = started().await;
    let said = fake.say_at(ANNA, ANNA, "restart web", 1_700_000_000);
    assert_eq!(only_message(&bot).await.date.timestamp(), 1_700_000_000);
    fake.edit(ANNA, ANNA, said, "restart db");
    match &updates(&bot).await[0].kind {
        UpdateKind::EditedMessage(message) => {
            assert_eq!((message.text(), message.id.0), (Some("restart db"), said));
            assert!(message.edit_date().is_some());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn topics_are_conversations_of_their_own() {
    let (fake, bot) = started().await;
    fake.supergroup(FORUM, "Night shift", true);
    let topic = fake.topic(FORUM, ANNA, "Shop");
    updates(&bot).await;
    fake.say_in(FORUM, topic, BEN, "in the topic");
    let message = only_message(&bot).await;
    assert_eq!((message.thread_id.unwrap().0.0, message.is_topic_message), (topic, true));
    assert_eq!(
        message.reply_to_message().unwrap().id.0,
        topic,
        "what replies to nothing replies to the topic's first message"
    );
    fake.say(FORUM, BEN, "in General");
    assert_eq!(only_message(&bot).await.thread_id, None);
    let thread = ThreadId(MessageId(topic));
    let sent = bot.send_message(ChatId(FORUM), "here").message_thread_id(thread).await.unwrap();
    assert_eq!(fake.message(FORUM, sent.id.0).unwrap().thread, Some(topic));
    for (chat, thread) in [(FORUM, 77), (GROUP, 1), (ANNA, 1), (FORUM, 1_000_000)] {
        let thread = ThreadId(MessageId(thread));
        let refused = api(bot.send_message(ChatId(chat), "x").message_thread_id(thread).await);
        assert!(refused.to_string().contains("message thread not found"), "{refused}");
    }
    let first = fake.say(GROUP, BEN, "a");
    fake.reply(GROUP, BEN, first, "b");
    let reply = updates(&bot).await.pop().unwrap();
    let UpdateKind::Message(reply) = reply.kind else { panic!("{reply:?}") };
    assert_eq!((reply.thread_id.unwrap().0.0, reply.is_topic_message), (first, false), "a thread, no topic");
}

#[tokio::test]
async fn buttons_are_pressed_and_answered() {
    let (fake, bot) = started().await;
    let sent = bot.send_message(ChatId(ANNA), "sure?").reply_markup(keyboard("Yes", "ok:1")).await.unwrap();
    let id = fake.press(ANNA, ANNA, sent.id.0, "Yes");
    let UpdateKind::CallbackQuery(query) = updates(&bot).await.remove(0).kind else { panic!() };
    assert_eq!((query.data.as_deref(), query.from.id.0 as i64), (Some("ok:1"), ANNA));
    assert_eq!(query.regular_message().unwrap().text(), Some("sure?"));
    bot.answer_callback_query(query.id).text("done").show_alert(true).await.unwrap();
    let press = fake.answers().pop().unwrap();
    let answer = press.answer.unwrap();
    assert_eq!((press.id, answer.text.as_str(), answer.alert), (id, "done", true));
    let stale = fake.press_data(GROUP, BEN, 5, "old");
    let UpdateKind::CallbackQuery(query) = updates(&bot).await.remove(0).kind else { panic!() };
    assert!(query.regular_message().is_none(), "a message that is no more comes as inaccessible");
    fake.expire_callbacks();
    let unknown = "none".to_owned();
    for id in [stale, unknown] {
        let refused = api(bot.answer_callback_query(CallbackQueryId(id)).await);
        assert_eq!(
            refused.to_string(),
            "Unknown error: \"Bad Request: query is too old and response timeout expired or query ID is invalid\""
        );
    }
}

#[tokio::test]
async fn who_blocks_or_leaves_is_no_more_written_to() {
    let (fake, bot) = started().await;
    bot.send_chat_action(ChatId(ANNA), ChatAction::Typing).await.unwrap();
    assert_eq!(fake.actions(ANNA)[0].action, "typing");
    fake.block(ANNA);
    let UpdateKind::MyChatMember(change) = updates(&bot).await.remove(0).kind else { panic!() };
    assert!(change.new_chat_member.kind.is_banned());
    assert!(matches!(change.chat.kind, ChatKind::Private(_)));
    assert_eq!(api(bot.send_message(ChatId(ANNA), "x").await), ApiError::BotBlocked);
    assert_eq!(api(bot.send_chat_action(ChatId(ANNA), ChatAction::Typing).await), ApiError::BotBlocked);
    fake.unblock(ANNA);
    bot.send_message(ChatId(ANNA), "x").await.unwrap();
    fake.deactivate(ANNA);
    assert_eq!(api(bot.send_message(ChatId(ANNA), "x").await), ApiError::UserDeactivated);
    fake.set_bot_status(GROUP, BEN, "kicked");
    assert_eq!(api(bot.send_message(ChatId(GROUP), "x").await), ApiError::BotKickedFromSupergroup);
    let never = api(bot.send_message(ChatId(BEN), "x").await).to_string();
    assert!(never.contains("can't initiate conversation"), "{never}");
}

#[tokio::test]
async fn privacy_mode_shows_only_what_is_meant_for_the_bot() {
    let (fake, bot) = with(Options { privacy: true, ..Options::default() }).await;
    assert!(!bot.get_me().await.unwrap().can_read_all_group_messages);
    let own = bot.send_message(ChatId(GROUP), "hello").await.unwrap();
    let seen = [
        ("chatter", false),
        ("/status", true),
        ("/status@ops_test_bot now", true),
        ("/status@other_bot", false),
        ("well, @ops_test_bot, how is web?", true),
    ];
    for (text, meant) in seen {
        fake.say(GROUP, BEN, text);
        assert_eq!(updates(&bot).await.len(), usize::from(meant), "{text}");
    }
    fake.send(Draft::by(GROUP, BEN).text("you").reply_to(own.id.0));
    assert_eq!(only_message(&bot).await.text(), Some("you"));
    fake.set_bot_status(GROUP, BEN, "administrator");
    updates(&bot).await;
    fake.say(GROUP, BEN, "chatter");
    assert_eq!(only_message(&bot).await.text(), Some("chatter"));
}

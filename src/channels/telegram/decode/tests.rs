//! Updates as Telegram writes them, and what they mean.

use serde_json::{Value, json};

use super::*;

const PRIVATE: i64 = 4242;
const GROUP: i64 = -1_001_234_567_890;

fn me() -> Me {
    Me { id: 777, name: "OurOpsBot".into() }
}

fn anna() -> Value {
    json!({"id": PRIVATE, "is_bot": false, "first_name": "Anna", "last_name": "Berg", "username": "annab",
        "language_code": "de"})
}

fn ben() -> Value {
    json!({"id": 99, "is_bot": false, "first_name": "Ben"})
}

fn us() -> Value {
    json!({"id": 777, "is_bot": true, "first_name": "OpsBot", "username": "OurOpsBot"})
}

fn private() -> Value {
    json!({"id": PRIVATE, "type": "private", "first_name": "Anna", "username": "annab"})
}

fn group() -> Value {
    json!({"id": GROUP, "type": "supergroup", "title": "Ops", "is_forum": true})
}

/// A message of Anna's in `chat`, with `more` laid over it.
fn message(chat: Value, more: Value) -> Value {
    let mut message = json!({"message_id": 31, "date": 1_790_000_000, "from": anna(), "chat": chat});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    message
}

fn decoded(update: Value) -> Event {
    match read(update) {
        Some((_, Ok(update))) => decode(&update, &me()),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn hear(message: Value) -> Said {
    match decoded(json!({"update_id": 7, "message": message})) {
        Event::Said(said) => said,
        other => panic!("{other:?}"),
    }
}

fn entity(kind: &str, offset: usize, length: usize) -> Value {
    json!({"type": kind, "offset": offset, "length": length})
}

#[test]
fn a_private_message_is_always_ours() {
    let said = hear(message(private(), json!({"text": "what's wrong with 19?"})));
    assert_eq!(
        said,
        Said {
            place: Place::chat(PRIVATE),
            message: 31,
            from: Sender { id: PRIVATE, name: "Anna Berg".into(), is_bot: false },
            at: Timestamp::from_second(1_790_000_000).unwrap(),
            text: "what's wrong with 19?".into(),
            quoted: vec![],
            reply_to: None,
            addressed: true,
            attached: None,
        }
    );
}

#[test]
fn in_groups_only_what_addresses_us_is_ours() {
    let mention = |text: &str, at, length| json!({"text": text, "entities": [entity("mention", at, length)]});
    let table = [
        (json!({"text": "good morning"}), false, "good morning"),
        (json!({"text": "/check_up 19"}), true, "/check_up 19"),
        (json!({"text": "/Check_Up@ouropsbot 19"}), true, "/check_up 19"),
        (json!({"text": "/STOP@OurOpsBot"}), true, "/stop"),
        (json!({"text": "/check_up@OtherBot 19"}), false, "/check_up@OtherBot 19"),
        (json!({"text": "/var/log is full"}), false, "/var/log is full"),
        (json!({"text": "/ hm"}), false, "/ hm"),
        (json!({"text": "@OurOpsBot without an entity"}), false, "@OurOpsBot without an entity"),
        (mention("@ouropsbot is 19 ok?", 0, 10), true, "is 19 ok?"),
        (mention("@OurOpsBot: is 19 ok?", 0, 10), true, "is 19 ok?"),
        (mention("is 19 ok? @OurOpsBot", 10, 10), true, "is 19 ok?"),
        (mention("@OurOpsBot /check_up 19", 0, 10), true, "/check_up 19"),
        (mention("@OurOpsBot", 0, 10), true, ""),
        (mention("ask @OurOpsBot about it", 4, 10), true, "ask @OurOpsBot about it"),
        (mention("@OtherBot is 19 ok?", 0, 9), false, "@OtherBot is 19 ok?"),
        // Emoji and flags take two units and more.
        (mention("🔥🔥 help 🇩🇪 @OurOpsBot", 15, 10), true, "🔥🔥 help 🇩🇪"),
        (mention("@OurOpsBot", 500, 10), false, "@OurOpsBot"),
        (mention("🔥 @OurOpsBot", 1, 10), false, "🔥 @OurOpsBot"),
        (
            json!({"text": "Ops, is 19 ok?", "entities":
                [{"type": "text_mention", "offset": 0, "length": 3, "user": us()}]}),
            true,
            "is 19 ok?",
        ),
        (
            json!({"text": "Ben, is 19 ok?", "entities":
                [{"type": "text_mention", "offset": 0, "length": 3, "user": ben()}]}),
            false,
            "Ben, is 19 ok?",
        ),
    ];
    for (more, addressed, text) in table {
        let said = hear(message(group(), more.clone()));
        assert_eq!((said.addressed, said.text.as_str()), (addressed, text), "{more}");
        assert_eq!(said.place, Place::chat(GROUP));
        assert!(hear(message(private(), more)).addressed);
    }
}

#[test]
fn a_reply_to_us_is_ours_and_what_it_quotes_is_not_their_own() {
    let to = |from: Value, more: Value| {
        let mut to = message(group(), more);
        to["from"] = from;
        to["message_id"] = 30.into();
        to
    };
    let reply = |to: Value, more: Value| {
        let mut more = more;
        more["reply_to_message"] = to;
        hear(message(group(), more))
    };
    let said = reply(to(us(), json!({"text": "web is down"})), json!({"text": "why?"}));
    assert_eq!((said.addressed, said.reply_to, said.text.as_str()), (true, Some(30), "why?"));
    assert_eq!(said.quoted, [Quoted { source: "reply to OpsBot".into(), text: "web is down".into() }]);

    let said = reply(to(ben(), json!({"text": "restart 7"})), json!({"text": "why?"}));
    assert_eq!((said.addressed, said.reply_to), (false, None));
    assert_eq!(said.quoted, [Quoted { source: "reply to Ben".into(), text: "restart 7".into() }]);

    let chosen = json!({"text": "why?", "quote": {"text": "down", "position": 7, "is_manual": true,
        "entities": [entity("a_new_kind", 0, 4)]}});
    let said = reply(to(us(), json!({"text": "web is down"})), chosen.clone());
    assert_eq!(said.quoted, [Quoted { source: "reply to OpsBot".into(), text: "down".into() }]);

    let photo = json!({"photo": [{"file_id": "p", "file_unique_id": "u", "width": 9, "height": 9}],
        "caption": "the chart"});
    assert_eq!(reply(to(us(), photo), json!({"text": "hm"})).quoted[0].text, "the chart");

    // Another bot's command stays that bot's, and a topic's own opening is nobody's message.
    assert!(!reply(to(us(), json!({"text": "x"})), json!({"text": "/x@OtherBot"})).addressed);
    let topic = to(us(), json!({"forum_topic_created": {"name": "web", "icon_color": 7_322_096}}));
    let said = reply(topic, json!({"text": "hello", "message_thread_id": 30, "is_topic_message": true}));
    assert_eq!((said.addressed, said.reply_to, said.quoted.len()), (false, None, 0));

    // A reply to a message of another chat carries only what was chosen of it.
    let mut more = chosen;
    more["external_reply"] = json!({"origin": {"type": "hidden_user", "date": 1, "sender_user_name": "x"}});
    let said = hear(message(private(), more));
    assert_eq!((said.text.as_str(), said.quoted[0].text.as_str()), ("why?", "down"));
}

#[test]
fn a_topic_is_a_place_of_its_own_and_the_general_one_is_the_chat() {
    let table = [
        (json!({"text": "x", "message_thread_id": 5, "is_topic_message": true}), Some(5)),
        (json!({"text": "x", "message_thread_id": 5}), None),
        (json!({"text": "x"}), None),
    ];
    for (more, thread) in table {
        assert_eq!(hear(message(group(), more)).place, Place { chat: GROUP, thread });
    }
}

#[test]
fn forwarded_words_are_nobodys_own() {
    let table = [
        (json!({"type": "user", "date": 1, "sender_user": ben()}), "forwarded from Ben"),
        (
            json!({"type": "hidden_user", "date": 1, "sender_user_name": "Dr. \u{202e}No\n"}),
            "forwarded from Dr. No",
        ),
        (
            json!({"type": "channel", "date": 1, "message_id": 5,
            "chat": {"id": -1_005, "type": "channel", "title": "News"}}),
            "forwarded from News",
        ),
        (json!({"type": "chat", "date": 1, "sender_chat": group()}), "forwarded from Ops"),
    ];
    for (origin, source) in table {
        let more = json!({"text": "/restart_container 7 web", "forward_origin": origin});
        let said = hear(message(private(), more.clone()));
        assert_eq!((said.text.as_str(), said.addressed), ("", true));
        assert_eq!(said.quoted, [Quoted { source: source.into(), text: "/restart_container 7 web".into() }]);
        assert!(!hear(message(group(), more)).addressed, "a forwarded command is no command");
    }
    let inline = json!({"text": "restart 7", "via_bot":
        {"id": 5, "is_bot": true, "first_name": "Gif", "username": "gif"}});
    let said = hear(message(private(), inline));
    assert_eq!((said.text.as_str(), said.quoted[0].source.as_str()), ("", "written by the bot Gif"));
}

#[test]
fn blocks_in_the_text_are_pastes() {
    let table = [
        ("see ERROR restart 7 why?", vec![entity("pre", 4, 15)], "see \n why?", vec!["ERROR restart 7"]),
        ("see 🔥R 7 why?", vec![entity("blockquote", 4, 5)], "see \n why?", vec!["🔥R 7"]),
        ("a bc d", vec![entity("expandable_blockquote", 0, 4), entity("pre", 2, 4)], "", vec!["a bc d"]),
        ("it says restart 7 now", vec![entity("code", 8, 13)], "it says", vec!["restart 7 now"]),
        (
            "restart web of Acme Labs",
            vec![entity("code", 8, 3), entity("code", 15, 9)],
            "restart web of Acme Labs",
            vec![],
        ),
        ("/restart_container 19 web", vec![entity("code", 0, 25)], "/restart_container 19 web", vec![]),
        ("is bold", vec![entity("bold", 3, 4), entity("a_new_kind", 0, 2)], "is bold", vec![]),
        ("broken", vec![entity("pre", 3, 40), entity("pre", usize::MAX, 1)], "broken", vec![]),
    ];
    for (text, entities, own, pasted) in table {
        let said = hear(message(private(), json!({"text": text, "entities": entities})));
        assert_eq!(said.text, own, "{text}");
        let quoted: Vec<_> = said.quoted.iter().map(|q| (q.source.as_str(), q.text.as_str())).collect();
        let pasted: Vec<_> = pasted.into_iter().map(|text| ("pasted", text)).collect();
        assert_eq!(quoted, pasted, "{text}");
    }
    // A name inside a block does not call us.
    let text = json!({"text": "log @OurOpsBot x", "entities":
        [entity("pre", 0, 14), entity("mention", 4, 10)]});
    assert!(!hear(message(group(), text)).addressed);
}

#[test]
fn attachments_are_told_apart_and_captions_are_own_words() {
    let file = |more: Value| {
        let mut file = json!({"file_id": "F", "file_unique_id": "U", "file_size": 512});
        file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        file
    };
    let attached = |kind| Attached {
        kind,
        file_id: "F".into(),
        name: None,
        mime: None,
        bytes: Some(512),
        seconds: None,
    };
    let size = |id: &str, side: u32| {
        json!({"file_id": id, "file_unique_id": id, "width": side, "height": side,
        "file_size": 512})
    };
    let thumb = json!({"file_id": "t", "file_unique_id": "t", "width": 1, "height": 1});
    let table = [
        (
            json!({"voice": file(json!({"duration": 4, "mime_type": "audio/ogg"})), "caption": "hi"}),
            Attached { mime: Some("audio/ogg".into()), seconds: Some(4), ..attached(Kind::Voice) },
        ),
        (
            json!({"voice": file(json!({"duration": 4})), "caption": "hi"}),
            Attached { seconds: Some(4), ..attached(Kind::Voice) },
        ),
        (
            json!({"audio": file(json!({"duration": 9, "file_name": "a.mp3"})), "caption": "hi"}),
            Attached { name: Some("a.mp3".into()), seconds: Some(9), ..attached(Kind::Audio) },
        ),
        (
            json!({"document": file(json!({"file_name": "web\u{202e}.log\n", "mime_type": "text/plain",
            "thumbnail": thumb})), "caption": "hi"}),
            Attached {
                name: Some("web.log".into()),
                mime: Some("text/plain".into()),
                ..attached(Kind::Document)
            },
        ),
        (
            json!({"document": file(json!({"mime_type": "no mime"})), "caption": "hi"}),
            attached(Kind::Document),
        ),
        (
            json!({"photo": [size("small", 90), size("F", 1280), size("mid", 320)], "caption": "hi",
            "media_group_id": "12"}),
            attached(Kind::Photo),
        ),
        (
            json!({"video": file(json!({"width": 1, "height": 1, "duration": 2})), "caption": "hi"}),
            attached(Kind::Other("video")),
        ),
        (
            json!({"animation": file(json!({"width": 1, "height": 1, "duration": 2})),
            "document": file(json!({})), "caption": "hi"}),
            attached(Kind::Other("animation")),
        ),
    ];
    for (more, want) in table {
        let said = hear(message(private(), more.clone()));
        assert_eq!((said.text.as_str(), said.attached), ("hi", Some(want)), "{more}");
    }
    let bare = |kind| Attached { kind, file_id: String::new(), bytes: None, ..attached(kind) };
    let place = json!({"latitude": 52.5, "longitude": 13.4});
    let table = [
        (
            json!({"video_note": file(json!({"length": 240, "duration": 3}))}),
            Attached { seconds: Some(3), ..attached(Kind::VideoNote) },
        ),
        (
            json!({"sticker": file(json!({"type": "regular", "width": 1, "height": 1, "is_animated": false,
            "is_video": false}))}),
            attached(Kind::Other("sticker")),
        ),
        (json!({"location": place}), bare(Kind::Other("location"))),
        (
            json!({"venue": {"location": place, "title": "x", "address": "y"}, "location": place}),
            bare(Kind::Other("location")),
        ),
        (json!({"contact": {"phone_number": "1", "first_name": "x"}}), bare(Kind::Other("contact"))),
    ];
    for (more, want) in table {
        let said = hear(message(private(), more.clone()));
        assert_eq!((said.text.as_str(), said.attached), ("", Some(want)), "{more}");
    }
}

#[test]
fn an_edit_counts_from_when_it_was_made() {
    let edited = message(private(), json!({"text": "19, I mean", "edit_date": 1_790_000_060}));
    match decoded(json!({"update_id": 8, "edited_message": edited})) {
        Event::Edited(said) => {
            assert_eq!((said.text.as_str(), said.at.as_second()), ("19, I mean", 1_790_000_060));
        }
        other => panic!("{other:?}"),
    }
    let moved = message(
        private(),
        json!({"edit_date": 1_790_000_060, "location":
        {"latitude": 52.5, "longitude": 13.4, "live_period": 900}}),
    );
    assert_eq!(decoded(json!({"update_id": 8, "edited_message": moved})), Event::Ignored("other"));
}

#[test]
fn a_press_says_who_where_and_what() {
    let from = Sender { id: PRIVATE, name: "Anna Berg".into(), is_bot: false };
    let press = |place, message| Press {
        place,
        message,
        query: "4382bfdwdsb323b2d9".into(),
        from: from.clone(),
        data: "a:1".into(),
    };
    let query = |more: Value| {
        let mut query =
            json!({"id": "4382bfdwdsb323b2d9", "from": anna(), "chat_instance": "-3", "data": "a:1"});
        query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        decoded(json!({"update_id": 9, "callback_query": query}))
    };
    let mut card = message(
        group(),
        json!({"text": "card", "message_thread_id": 5, "is_topic_message": true,
        "reply_markup": {"inline_keyboard": [[{"text": "new", "a_new_kind": {}}]]}}),
    );
    card["from"] = us();
    let topic = Place { chat: GROUP, thread: Some(5) };
    assert_eq!(query(json!({"message": card})), Event::Press(press(topic, Some(31))));
    let old = json!({"message_id": 12, "date": 0, "chat": group()});
    assert_eq!(query(json!({"message": old})), Event::Press(press(Place::chat(GROUP), Some(12))));
    assert_eq!(query(json!({})), Event::Press(press(Place::chat(PRIVATE), None)));
    assert_eq!(query(json!({"inline_message_id": "x"})), Event::Ignored("other"));
    assert_eq!(query(json!({"data": null})), Event::Ignored("other"));
    assert_eq!(query(json!({"from": us()})), Event::Ignored("bot"));
}

#[test]
fn who_takes_us_out_is_told_and_coming_in_is_not() {
    let change = |chat: Value, status: Value| {
        let member = |status: Value| {
            let mut member = status;
            member["user"] = us();
            member
        };
        decoded(
            json!({"update_id": 10, "my_chat_member": {"chat": chat, "from": anna(), "date": 1_790_000_000,
            "old_chat_member": member(json!({"status": "member"})), "new_chat_member": member(status)}}),
        )
    };
    let by = Sender { id: PRIVATE, name: "Anna Berg".into(), is_bot: false };
    let left = |chat| Event::Left { place: Place::chat(chat), by: by.clone() };
    assert_eq!(change(private(), json!({"status": "kicked", "until_date": 0})), left(PRIVATE));
    assert_eq!(change(group(), json!({"status": "left"})), left(GROUP));
    assert_eq!(change(group(), json!({"status": "member"})), Event::Ignored("membership"));
}

#[test]
fn nobody_and_nothing_are_ignored() {
    let group_bot =
        json!({"id": 1_087_968_824, "is_bot": true, "first_name": "Group", "username": "GroupAnonymousBot"});
    let channel = json!({"id": -1_005, "type": "channel", "title": "News"});
    let said = |more: Value| json!({"update_id": 1, "message": message(group(), more)});
    let table = [
        (said(json!({"text": "/stop", "from": group_bot, "sender_chat": group()})), "anonymous"),
        (said(json!({"text": "/stop", "sender_chat": channel, "is_automatic_forward": true})), "anonymous"),
        (said(json!({"text": "/stop", "from": null})), "anonymous"),
        (said(json!({"text": "/stop", "from": us()})), "bot"),
        (said(json!({"new_chat_members": [ben()]})), "service"),
        (said(json!({"left_chat_member": us()})), "service"),
        (said(json!({"migrate_to_chat_id": -1_009})), "service"),
        (said(json!({"pinned_message": message(group(), json!({"text": "x"}))})), "service"),
        (said(json!({"forum_topic_closed": {}})), "service"),
        (said(json!({"something_new": {"x": 1}})), "service"),
        (
            json!({"update_id": 1, "channel_post": {"message_id": 1, "date": 1, "chat": channel,
            "sender_chat": channel, "text": "/stop"}}),
            "channel",
        ),
        (
            json!({"update_id": 1, "business_message": message(private(), json!({"text": "/stop"}))}),
            "business",
        ),
        (
            json!({"update_id": 1, "poll_answer": {"poll_id": "1", "user": anna(), "option_ids": [0]}}),
            "other",
        ),
        (
            json!({"update_id": 1, "inline_query": {"id": "1", "from": anna(), "query": "x", "offset": ""}}),
            "other",
        ),
    ];
    for (update, why) in table {
        assert_eq!(decoded(update.clone()), Event::Ignored(why), "{update}");
    }
}

#[test]
fn what_is_not_known_comes_back_as_it_came() {
    let unknown = json!({"update_id": 5, "a_new_kind": {"x": 1}});
    assert_eq!(read(unknown.clone()), Some((5, Err(unknown))));
    let lost = json!({"update_id": 6, "message": message(private(), json!({"text": 5}))});
    assert_eq!(
        read(lost.clone()),
        Some((6, Err(lost))),
        "what a person wrote does not pass for a service message"
    );
    assert_eq!(read(json!({"update_id": 5})).map(|(id, update)| (id, update.is_err())), Some((5, true)));
    for garbage in
        [json!(null), json!([]), json!({}), json!({"update_id": -1}), json!({"update_id": 1_u64 << 33})]
    {
        assert_eq!(read(garbage.clone()), None, "{garbage}");
    }
    let error = Update { id: teloxide::types::UpdateId(1), kind: UpdateKind::Error(json!({})) };
    assert_eq!(decode(&error, &me()), Event::Ignored("unknown"));
}

#[test]
fn names_are_one_short_clean_line() {
    let table = [
        ("Anna", "Anna"),
        ("  A\u{200b}nna\n\u{202e}x ", "Anna x"),
        ("\u{200f}\u{200b}", "4242"),
        (&"ä".repeat(200), &"ä".repeat(64)),
    ];
    for (given, want) in table {
        let from = json!({"id": PRIVATE, "is_bot": false, "first_name": given});
        assert_eq!(hear(message(private(), json!({"text": "x", "from": from}))).from.name, want);
    }
}

proptest::proptest! {
    #[test]
    fn no_entity_breaks_the_text(text in "\\PC{0,40}", spans in proptest::collection::vec((0_usize..60, 0_usize..60, 0_usize..4), 0..6)) {
        let kinds = ["pre", "mention", "code", "bold"];
        let entities: Vec<_> = spans.iter().map(|(at, length, kind)| entity(kinds[*kind], *at, *length)).collect();
        let said = hear(message(private(), json!({"text": text, "entities": entities})));
        let all: usize = said.text.len() + said.quoted.iter().map(|q| q.text.len()).sum::<usize>();
        proptest::prop_assert!(all <= text.len() + spans.len());
    }
}

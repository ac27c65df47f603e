//! What is left to try with a message that Telegram refused, and the mark of one that may have come twice.

use super::{
    excerpt::bounded,
    post::{Body, CAPTION_LIMIT, ENTITY_LIMIT, Post, Rich, TEXT_LIMIT},
    rich::Pen,
    split,
};

/// What stands in front of a message that may stand there already.
pub const REPEAT: &str = "↻ Possibly a repeat: the connection broke while this was sent.\n";

/// What a long message shows beside the file that holds it all, in UTF-16 units.
const SHORT_TEXT: usize = 1000;
const SHORT_CAPTION: usize = 200;

/// The message with [`REPEAT`] in front, once; its end is cut only if it would not fit otherwise.
pub fn mark_repeat(mut post: Post) -> Post {
    let (rich, limit) = rich_of(&mut post.body);
    if rich.text.starts_with(REPEAT.trim_end()) {
        return post;
    }
    let mut pen = Pen::default();
    pen.text(REPEAT);
    let room = limit - pen.at();
    pen.push(&split::head(std::mem::take(rich), room));
    *rich = pen.finish();
    rich.text.truncate(rich.text.trim_end().len());
    let end = rich.units();
    rich.entities.retain_mut(|entity| {
        entity.length = entity.length.min(end.saturating_sub(entity.offset));
        entity.length > 0
    });
    rich.entities.truncate(ENTITY_LIMIT);
    post
}

/// The message without its formatting and links: for when its entities, or where a button leads, were refused.
pub fn plain(mut post: Post) -> Post {
    post.keyboard.iter_mut().for_each(|row| row.retain(|tap| !tap.link));
    post.keyboard.retain(|row| !row.is_empty());
    rich_of(&mut post.body).0.entities.clear();
    post
}

/// The message's beginning, and a file with all of it: for when it was refused as too long.
///
/// Buttons stay with the beginning. Only a card loses its confirm button, which must not stand below a part of what it
/// asks; it can still be approved by its id.
pub fn shorten(mut post: Post) -> Vec<Post> {
    let text_only = matches!(post.body, Body::Text(_));
    let (rich, _) = rich_of(&mut post.body);
    let whole = std::mem::take(rich);
    let most = if text_only { SHORT_TEXT } else { SHORT_CAPTION };
    let room = most.min(whole.units() / 2).max(2);
    let note = "\n\nThis was too long for the chat: all of it is in the file below.";
    let mut pen = Pen::default();
    pen.push(&split::head(whole.clone(), room)).text(note);
    if let Some(id) = post.card {
        let confirm = format!("a:{id}");
        post.keyboard.iter_mut().for_each(|row| row.retain(|tap| tap.data != confirm));
        post.keyboard.retain(|row| !row.is_empty());
        if !post.keyboard.is_empty() {
            pen.text(" To confirm, read it, then send ").code(&format!("/approve {id}"));
        }
    }
    let mut short = pen.finish();
    short.entities.truncate(ENTITY_LIMIT);
    *rich_of(&mut post.body).0 = short;
    let content = bounded(whole.text).into_bytes().into();
    let caption = Rich::plain("The whole message");
    let file = Post {
        body: Body::File { name: "message.txt".into(), content, caption },
        keyboard: vec![],
        card: None,
        quiet: true,
    };
    vec![post, file]
}

/// The words of a message, and how long they may be.
fn rich_of(body: &mut Body) -> (&mut Rich, usize) {
    match body {
        Body::Text(rich) => (rich, TEXT_LIMIT),
        Body::Photo { caption, .. } | Body::File { caption, .. } => (caption, CAPTION_LIMIT),
    }
}

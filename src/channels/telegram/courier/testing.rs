//! Shapes whose effect a test can read off the text.

use super::Shapes;
use crate::channels::telegram::post::{Body, Post, Rich};

/// `~` marks, `-` is plain, and what is longer than three letters is cut into parts of three.
pub(super) const SHAPES: Shapes = Shapes {
    mark_repeat: |p| post(&format!("~{}", text(&p))),
    plain: |p| if text(&p).contains('*') { post(&text(&p).replace('*', "-")) } else { p },
    shorten: |p| {
        let letters: Vec<char> = text(&p).chars().collect();
        letters.chunks(3).map(|part| post(&part.iter().collect::<String>())).collect()
    },
};

pub(super) fn post(text: &str) -> Post {
    Post::text(Rich::plain(text))
}

pub(super) fn text(post: &Post) -> String {
    match &post.body {
        Body::Text(rich) => rich.text.clone(),
        Body::Photo { caption, .. } | Body::File { caption, .. } => caption.text.clone(),
    }
}

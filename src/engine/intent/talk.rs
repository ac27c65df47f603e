//! Small talk: one short, friendly sentence, and no tool.

use super::words::{Role, Word};

/// Words that may stand beside any of the phrases below.
const BESIDE: &[&str] = &[
    "opsbot", "bot", "there", "very", "much", "a", "lot", "so", "all", "everyone", "ok", "and", "again",
    "my", "friend", "really", "oh", "well", "mate", "buddy", "today", "sehr", "please", "man",
];

/// What people say, in any of these phrases, and what is answered.
const PHRASES: &[(&[&str], &str)] = &[
    (
        &[
            "thanks",
            "thank you",
            "thx",
            "ty",
            "cheers",
            "great thanks",
            "perfect thanks",
            "much appreciated",
            "appreciated",
            "nice work",
            "good job",
            "well done",
            "good work",
            "great job",
            "good bot",
            "vielen dank",
            "merci",
            "thanks for help",
            "thanks for your help",
            "thanks for the help",
            "thank you for your help",
            "thank you for the help",
        ],
        "You are welcome.",
    ),
    (
        &[
            "hello",
            "hi",
            "hey",
            "hello world",
            "good morning",
            "good evening",
            "good afternoon",
            "good day",
            "morning",
            "moin",
            "hallo",
            "servus",
            "guten morgen",
            "guten tag",
            "guten abend",
            "guten tomorrow",
            "guten day",
            "gruess gott",
            "yo",
            "howdy",
            "greetings",
            "are you there",
            "anybody there",
            "is anybody there",
            "is anyone there",
            "you there",
        ],
        "Hello! Ask about a customer in plain words, or /help shows every command.",
    ),
    (
        &[
            "how are you",
            "how are you doing",
            "how do you do",
            "how is it going",
            "how is life",
            "what is up",
            "wie is it you",
            "how is it you",
            "how is you",
            "sup",
            "alles gut",
            "everything gut",
        ],
        "Ready to look after your servers. Which customer is it about?",
    ),
    (
        &[
            "bye",
            "goodbye",
            "good night",
            "see you",
            "see you later",
            "see you tomorrow",
            "gute nacht",
            "tschuess",
            "ciao",
            "have a nice day",
            "have a good day",
            "have a nice weekend",
            "bis later",
            "good bye",
        ],
        "Until next time.",
    ),
    (
        &[
            "who are you",
            "what are you",
            "what can you do",
            "help",
            "help me",
            "what can i ask",
            "what can i do here",
            "how do you work",
            "what do you do",
            "are you a bot",
            "are you human",
            "are you an ai",
            "hilfe",
            "what can you",
        ],
        "I am OpsBot: I look at customers' containers, logs, metrics and alerts, and change something only after \
         somebody said yes to a card. /help shows every command.",
    ),
    (
        &[
            "great",
            "nice",
            "cool",
            "perfect",
            "awesome",
            "excellent",
            "super",
            "good",
            "good to know",
            "got it",
            "i see",
            "understood",
            "sounds good",
            "ok",
            "ok good",
            "ok great",
            "ok cool",
            "alles klar",
            "everything klar",
            "gut",
            "haha",
            "lol",
            "wow",
            "interesting",
            "amazing",
            "that is great",
            "that is good",
            "that is all",
            "all good",
            "no problem",
            "makes sense",
            "it works",
            "works now",
            "it works now",
            "works",
            "works again",
            "it works again",
            "that helped",
            "that was it",
            "you are the best",
            "i love you",
            "you are great",
            "love it",
        ],
        "Good.",
    ),
    (
        &[
            "yes",
            "no",
            "yep",
            "nope",
            "yeah",
            "ja",
            "nein",
            "sure",
            "do it",
            "go ahead",
            "yes please",
            "no please",
            "no thanks",
            "no thank you",
            "yes do it",
            "please do",
            "please do it",
        ],
        "Nothing here waits for a yes or no in words. A card is decided by its button or with /approve ID and /deny ID; \
         /pending lists the cards.",
    ),
    (&["sorry", "my bad", "oops", "excuse me", "entschuldigung", "sorry about that"], "No harm done."),
    (
        &["tell me a joke", "tell a joke", "joke", "make me laugh", "sing a song", "sing"],
        "I only know about servers. Which customer is it about?",
    ),
];

/// The answer to a clause that is nothing but small talk.
pub(super) fn answer(clause: &[Word]) -> Option<&'static str> {
    if clause.iter().any(|w| w.role != Role::Plain) || clause.len() > 9 {
        return None;
    }
    let both = [
        clause.iter().map(|w| w.en.as_str()).collect::<Vec<_>>(),
        clause.iter().map(|w| w.folded.as_str()).collect(),
    ];
    both.iter().find_map(|said| {
        let matches = |phrase: &&&str| is_phrase(said, phrase);
        PHRASES.iter().find(|(phrases, _)| phrases.iter().find(matches).is_some()).map(|(_, answer)| *answer)
    })
}

/// Whether `said` is the phrase and nothing more than what may stand beside it.
fn is_phrase(said: &[&str], phrase: &str) -> bool {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    said.windows(phrase.len()).enumerate().any(|(at, window)| {
        let outside = said.iter().take(at).chain(said.iter().skip(at + phrase.len()));
        window == phrase && outside.into_iter().all(|w| BESIDE.contains(w))
    })
}

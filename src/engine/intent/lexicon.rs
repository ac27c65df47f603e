//! Word lists: short forms, what fills a sentence, what asks, denies and counts.

/// Short forms, written out.
#[rustfmt::skip]
pub(super) const CONTRACTIONS: &[(&str, &str)] = &[
    ("don't", "do not"), ("dont", "do not"), ("doesn't", "does not"), ("doesnt", "does not"),
    ("didn't", "did not"), ("isn't", "is not"), ("isnt", "is not"), ("aren't", "are not"),
    ("wasn't", "was not"), ("can't", "can not"), ("cant", "can not"), ("cannot", "can not"),
    ("couldn't", "could not"), ("won't", "will not"), ("wouldn't", "would not"),
    ("shouldn't", "should not"), ("mustn't", "must not"), ("needn't", "need not"), ("hasn't", "has not"),
    ("haven't", "have not"), ("i'd", "i would"), ("i'm", "i am"), ("i'll", "i will"), ("i've", "i have"),
    ("we're", "we are"), ("we'd", "we would"), ("we'll", "we will"), ("you're", "you are"),
    ("they're", "they are"), ("let's", "lets"), ("whats", "what is"), ("hows", "how is"),
    ("wheres", "where is"), ("geht's", "is it"), ("gehts", "is it"), ("gimme", "give me"),
    ("wanna", "want to"), ("nevermind", "never mind"),
];

/// After these `'s` is "is".
pub(super) const WITH_IS: &[&str] =
    &["what", "how", "who", "where", "when", "why", "that", "it", "there", "here", "he", "she", "everything"];

/// English words that mean what another one says.
#[rustfmt::skip]
pub(super) const SYNONYMS: &[(&str, &str)] = &[
    ("investigate", "diagnose"), ("inspect", "diagnose"), ("analyse", "diagnose"), ("analyze", "diagnose"),
    ("examine", "diagnose"), ("debug", "diagnose"), ("troubleshoot", "diagnose"), ("issue", "problem"),
    ("issues", "problems"), ("trouble", "problem"), ("troubles", "problems"), ("slow", "broken"),
    ("sluggish", "broken"), ("laggy", "broken"), ("offline", "down"), ("unreachable", "down"),
    ("hanging", "broken"), ("hangs", "broken"), ("stuck", "broken"), ("crashing", "broken"),
    ("crashed", "broken"), ("failing", "broken"), ("dead", "down"), ("alarm", "alert"),
    ("alarms", "alerts"), ("client", "customer"), ("clients", "customers"), ("tenant", "customer"),
    ("tenants", "customers"), ("box", "container"), ("boxes", "containers"), ("ram", "memory"), ("mem", "memory"), ("okay", "ok"), ("alright", "ok"),
    ("fine", "ok"), ("display", "show"), ("logfile", "logs"), ("logfiles", "logs"), ("healthy", "health"),
    ("pls", "please"), ("plz", "please"),
];

/// Words that say nothing about which tool is meant.
#[rustfmt::skip]
pub(super) const STOP: &[&str] = &[
    "a", "an", "the", "of", "or", "and", "for", "in", "to", "on", "at", "from", "by", "with", "into",
    "about", "me", "my", "i", "you", "your", "we", "us", "our", "it", "its", "them", "their", "they",
    "that", "this", "these", "those", "there", "here", "one", "please", "can", "could", "would", "will",
    "shall", "should", "do", "does", "did", "is", "are", "was", "were", "be", "been", "am", "has", "have",
    "had", "get", "got", "let", "lets", "show", "give", "tell", "want", "need", "like", "see", "know",
    "now", "then", "also", "again", "just", "so", "well", "hey", "hi", "ok", "any", "some", "if", "as",
    "than", "id", "what", "how", "when", "where", "why", "who", "which", "not", "no", "look", "take",
    "have", "still", "currently", "right", "really", "up", "go", "going", "too", "only", "both", "please",
    "quick", "quickly", "look", "bot", "opsbot", "u", "out", "off", "over", "via", "per", "yet", "pull",
    "fetch", "print", "bring", "everything", "all", "whole", "entire",
];

/// Words that a request may hold besides its verb and its target.
#[rustfmt::skip]
pub(super) const FILLER: &[&str] = &[
    "please", "ok", "now", "then", "also", "and", "just", "so", "well", "hey", "hi", "hello", "bot",
    "opsbot", "go", "ahead", "yes", "yeah", "right", "first", "quickly", "quick", "again", "finally",
    "next", "afterwards", "immediately", "asap", "simply", "both", "kindly", "too", "of", "on", "for", "at",
    "in", "the", "a", "an", "from", "to", "customer", "customers", "service", "services", "container",
    "containers", "server", "stack", "its", "it", "them", "their", "that", "this", "one", "me", "us", "my",
    "our", "whole", "entire", "all", "everything", "complete", "completely", "broken", "down", "same",
    "instance", "app", "thanks", "thank", "you", "once", "more", "with", "process", "as", "well", "here",
    "there", "sure", "im", "direkt", "zu", "neu", "up", "back",
];

/// How a request may begin.
pub(super) const OPENERS: &[&[&str]] = &[
    &["can", "you"],
    &["could", "you"],
    &["would", "you"],
    &["will", "you"],
    &["can", "u"],
    &["i", "want", "you"],
    &["i", "want"],
    &["i", "need", "you"],
    &["i", "need"],
    &["i", "would", "like", "you"],
    &["i", "would", "like"],
    &["we", "need"],
    &["we", "have"],
    &["you", "need"],
    &["you", "have"],
    &["lets"],
    &["let"],
    &["time"],
];

/// Verbs that carry another as a noun: "do a restart".
pub(super) const LIGHT: &[&str] =
    &["do", "perform", "trigger", "make", "give", "issue", "initiate", "mach", "mache"];

/// What denies a wish.
pub(super) const NEGATIONS: &[&str] = &[
    "not", "never", "no", "without", "avoid", "nothing", "refrain", "rather", "instead", "unless", "except",
    "cancel", "abort", "neither", "nor", "hardly", "nobody", "none",
];

/// What takes back all that was said with it.
pub(super) const CANCELS: &[&[&str]] = &[
    &["never", "mind"],
    &["forget", "it"],
    &["forget", "that"],
    &["forget", "about"],
    &["scratch", "that"],
    &["cancel"],
    &["abort"],
    &["no", "wait"],
    &["wait", "no"],
    &["hold", "on"],
    &["leave", "it"],
    &["leave", "the"],
    &["just", "kidding"],
    &["kidding"],
    &["second", "thought"],
    &["second", "thoughts"],
    &["please", "not"],
    &["or", "not"],
    &["stop", "that"],
    &["stop", "this"],
];

/// What somebody else said follows.
pub(super) const REPORTED: &[&str] = &[
    "says",
    "said",
    "say",
    "reads",
    "wrote",
    "writes",
    "write",
    "states",
    "told",
    "tells",
    "asked",
    "asks",
    "wants",
    "suggests",
    "suggested",
    "recommends",
    "recommended",
    "claims",
    "mentions",
    "message",
    "email",
    "mail",
    "ticket",
    "readme",
    "runbook",
    "documentation",
    "docs",
];

/// What makes a wish depend on something else, or puts it off.
pub(super) const CONDITIONS: &[&str] = &[
    "if",
    "when",
    "whenever",
    "unless",
    "until",
    "after",
    "before",
    "once",
    "tomorrow",
    "later",
    "tonight",
    "whether",
    "or",
    "otherwise",
    "else",
    "maybe",
    "perhaps",
    "should",
    "would",
    "every",
    "each",
    "daily",
    "nightly",
    "soon",
    "vielleicht",
    "eventuell",
    "jeden",
    "jede",
];

/// What a question begins with.
pub(super) const QUESTION: &[&str] = &[
    "what", "why", "when", "who", "which", "where", "how", "did", "does", "do", "was", "were", "is", "are",
    "has", "have", "had", "should", "shall", "may", "might", "must", "can", "could", "would", "will",
    "whether", "if", "whose", "am",
];

/// What asks for advice and not for facts.
pub(super) const ADVICE: &[&[&str]] = &[
    &["should"],
    &["shall"],
    &["may"],
    &["might"],
    &["must"],
    &["can", "i"],
    &["can", "we"],
    &["could", "i"],
    &["could", "we"],
    &["would"],
    &["what", "happens"],
    &["what", "would"],
    &["what", "if"],
    &["how", "do"],
    &["how", "can"],
    &["how", "to"],
    &["how", "would"],
    &["how", "long"],
    &["do", "i"],
    &["do", "we"],
    &["is", "it"],
    &["will"],
    &["if"],
    &["whether"],
    &["do", "you"],
];

/// Words before a customer's id or name.
pub(super) const CUSTOMER: &[&str] =
    &["customer", "customers", "customer_id", "account", "cust", "cid", "kundennummer", "kundennr"];

/// Words beside a service's name.
pub(super) const SERVICE: &[&str] =
    &["service", "services", "container", "containers", "stack", "server", "instance", "app", "process"];

/// Services that go by another word; the inventory's own names come first.
pub(super) const SERVICE_WORDS: &[(&str, &str)] = &[
    ("database", "db"),
    ("postgres", "db"),
    ("postgresql", "db"),
    ("mysql", "db"),
    ("mariadb", "db"),
    ("website", "web"),
    ("webserver", "web"),
    ("nginx", "web"),
];

/// Words that stand for the customer, and the service, named last.
pub(super) const PRONOUNS: &[&str] = &["it", "its", "them", "their", "there", "same", "theirs"];

/// Words before a number that make it something else than a customer.
pub(super) const COUNTED: &[&str] = &[
    "last", "past", "latest", "first", "top", "port", "pid", "line", "exit", "code", "status", "version",
    "uid", "http", "error", "tail", "lines", "recent", "newest", "previous", "note", "notes",
];

/// Words after a number that make it an amount.
#[rustfmt::skip]
pub(super) const UNITS: &[&str] = &[
    "%", "percent", "s", "sec", "secs", "second", "seconds", "ms", "m", "min", "mins", "minute", "minutes",
    "h", "hr", "hrs", "hour", "hours", "std", "d", "day", "days", "week", "weeks", "w", "month", "months",
    "times", "x", "uhr", "am", "pm", "lines", "line", "entries", "messages", "rows", "errors", "error",
    "requests", "kb", "mb", "gb", "tb", "bytes", "restarts", "containers", "customers", "logs", "log",
];

/// Number words.
#[rustfmt::skip]
pub(super) const NUMBERS: &[(&str, u64)] = &[
    ("one", 1), ("two", 2), ("three", 3), ("four", 4), ("five", 5), ("six", 6), ("seven", 7), ("eight", 8),
    ("nine", 9), ("ten", 10), ("eleven", 11), ("twelve", 12), ("thirteen", 13), ("fourteen", 14),
    ("fifteen", 15), ("sixteen", 16), ("seventeen", 17), ("eighteen", 18), ("nineteen", 19), ("twenty", 20),
    ("thirty", 30), ("forty", 40), ("fifty", 50), ("sixty", 60), ("seventy", 70), ("eighty", 80),
    ("ninety", 90), ("hundred", 100), ("zwei", 2), ("drei", 3), ("vier", 4), ("fuenf", 5), ("sechs", 6),
    ("sieben", 7), ("acht", 8), ("neun", 9), ("zehn", 10), ("elf", 11), ("zwoelf", 12), ("dreizehn", 13),
    ("vierzehn", 14), ("fuenfzehn", 15), ("sechzehn", 16), ("siebzehn", 17), ("achtzehn", 18),
    ("neunzehn", 19), ("zwanzig", 20),
];

-- What a conversation keeps besides its history: the tools beyond the core that it was given, in their order, and its model.
CREATE TABLE conversations (
    conversation TEXT PRIMARY KEY,
    tools        TEXT NOT NULL DEFAULT '[]',
    model        TEXT
);

-- What people asked the bot to remember. Without a customer a note is about anything.
CREATE TABLE notes (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    person       TEXT NOT NULL,
    conversation TEXT NOT NULL,
    customer     TEXT,
    text         TEXT NOT NULL,
    tainted      BOOLEAN NOT NULL,
    at           BIGINT NOT NULL,
    expires_at   BIGINT
);
CREATE INDEX notes_by_person ON notes (person, id);

-- Plain words that no tool was found for, once each: candidates for further phrases.
CREATE TABLE intent_misses (
    words   TEXT PRIMARY KEY,
    nearest TEXT NOT NULL,
    times   BIGINT NOT NULL,
    first   BIGINT NOT NULL,
    last    BIGINT NOT NULL
);

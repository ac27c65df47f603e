-- People who were paired on a chat platform. Without a role the row is a further id of a configured person.
CREATE TABLE paired (
    channel     TEXT NOT NULL,
    platform_id TEXT NOT NULL,
    person      TEXT NOT NULL,
    role        TEXT,
    paired_by   TEXT NOT NULL,
    at          BIGINT NOT NULL,
    PRIMARY KEY (channel, platform_id)
);

-- Codes that strangers were given, by their SHA-256.
CREATE TABLE pairing_codes (
    channel     TEXT NOT NULL,
    platform_id TEXT NOT NULL,
    shown_name  TEXT NOT NULL,
    digest      TEXT NOT NULL,
    expires_at  BIGINT NOT NULL,
    told_at     BIGINT NOT NULL,
    PRIMARY KEY (channel, platform_id)
);

-- Wrong codes of late; the one that was one too many says until when pairing is locked.
CREATE TABLE pairing_wrong (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    at           BIGINT NOT NULL,
    locked_until BIGINT
);

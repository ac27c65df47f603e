-- What channels over a network need: a message is taken once, a reply is one row with its delivery's progress, a card
-- knows where it is shown, a long button knows its text.

ALTER TABLE inbox ADD COLUMN source TEXT;
ALTER TABLE inbox ADD COLUMN restarts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE inbox ADD COLUMN live TEXT;
CREATE UNIQUE INDEX inbox_source ON inbox (source) WHERE source IS NOT NULL;

ALTER TABLE outbox ADD COLUMN inbox BIGINT;
ALTER TABLE outbox ADD COLUMN progress TEXT;
ALTER TABLE outbox ADD COLUMN failed TEXT;

CREATE TABLE posted (
    place    TEXT NOT NULL,
    message  BIGINT NOT NULL,
    approval TEXT NOT NULL,
    shown    TEXT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (place, message)
);
CREATE INDEX posted_approval ON posted (approval);

CREATE TABLE taps (
    key  TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    at   BIGINT NOT NULL
);

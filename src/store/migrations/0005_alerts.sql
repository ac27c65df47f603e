-- What fires and what fired: incidents with their alerts and history, silences, and which card stands where. A body is the
-- whole row as JSON; beside it stands what is searched.

CREATE TABLE incidents (
    id          INTEGER PRIMARY KEY,
    customer    TEXT,
    revision    BIGINT NOT NULL,
    opened_at   BIGINT NOT NULL,
    resolved_at BIGINT,
    body        TEXT NOT NULL
);
CREATE INDEX incidents_open ON incidents (id) WHERE resolved_at IS NULL;
CREATE INDEX incidents_over ON incidents (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX incidents_by_customer ON incidents (customer, id) WHERE customer IS NOT NULL;

-- With row numbers of its own, so that new alerts of old incidents are written side by side.
CREATE TABLE alerts (
    incident    BIGINT NOT NULL,
    fingerprint BIGINT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (incident, fingerprint)
);

CREATE TABLE silences (
    id      INTEGER PRIMARY KEY,
    ends_at BIGINT NOT NULL,
    body    TEXT NOT NULL
);

CREATE TABLE incident_events (
    seq      INTEGER PRIMARY KEY,
    incident BIGINT NOT NULL,
    body     TEXT NOT NULL
);
CREATE INDEX incident_events_by_incident ON incident_events (incident);

-- The card of an incident in a chat; `shown` is the revision that it shows.
CREATE TABLE pages (
    place    TEXT NOT NULL,
    incident BIGINT NOT NULL,
    shown    BIGINT NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (place, incident)
);
CREATE INDEX pages_by_incident ON pages (incident);

-- One card for many incidents in a chat, named by the first of them.
CREATE TABLE storms (
    place TEXT NOT NULL,
    first BIGINT NOT NULL,
    last  BIGINT NOT NULL,
    over  BOOLEAN NOT NULL,
    body  TEXT NOT NULL,
    PRIMARY KEY (place, first)
);

-- The send ledger: every sender only inserts here, one kind of loop does all POSTs.

CREATE TABLE outbound_messages (
    -- The same id as the row in `messages`.
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    -- What decides "exactly one": b:{inbound message} for a bot's reply.
    dedupe_key text NOT NULL,
    recipient_kind text NOT NULL,
    recipient text NOT NULL,
    source text NOT NULL,
    on_doubt text NOT NULL,
    -- After this moment an answer that may not have been sent is left to a person.
    resend_until timestamptz,
    -- Order of the messages to one person.
    position bigint GENERATED ALWAYS AS IDENTITY,
    state text NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    claimed_at timestamptz,
    content bytea NOT NULL,
    traceparent text,
    wamid text,
    accepted_at timestamptz,
    sent_at timestamptz,
    delivered_at timestamptz,
    read_at timestamptz,
    failed_at timestamptz,
    error_code integer,
    created_at timestamptz NOT NULL,
    CONSTRAINT outbound_once UNIQUE (workspace_id, dedupe_key),
    CONSTRAINT outbound_state CHECK
        (state IN ('ready', 'sending', 'accepted', 'failed', 'unknown', 'cancelled'))
) WITH (fillfactor = 70);
CREATE INDEX outbound_ready ON outbound_messages (position) WHERE state = 'ready';
CREATE INDEX outbound_open ON outbound_messages (connection_id, recipient, position)
    WHERE state IN ('ready', 'sending');
CREATE INDEX outbound_by_wamid ON outbound_messages USING hash (wamid);

CREATE TABLE send_attempts (
    -- Random: it travels to Meta and back in biz_opaque_callback_data.
    id uuid PRIMARY KEY,
    message_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    epoch integer NOT NULL,
    worker text NOT NULL,
    state text NOT NULL,
    created_at timestamptz NOT NULL,
    -- After this no byte of the request may leave.
    deadline_at timestamptz NOT NULL,
    wamid text,
    http_status integer,
    error_code integer,
    resolved_by text,
    -- A status webhook has been seen for it.
    hooked boolean NOT NULL DEFAULT false,
    CONSTRAINT send_attempts_state CHECK
        (state IN ('sending', 'doubt', 'accepted', 'rejected', 'not_sent', 'presumed', 'unknown'))
);
CREATE UNIQUE INDEX send_attempts_one_open ON send_attempts (message_id)
    WHERE state IN ('sending', 'doubt');
CREATE INDEX send_attempts_open ON send_attempts (deadline_at) WHERE state IN ('sending', 'doubt');
-- The two halves of the status completeness watermark.
CREATE INDEX send_attempts_unhooked ON send_attempts (connection_id, created_at)
    WHERE state = 'accepted' AND NOT hooked;
CREATE INDEX send_attempts_hooked ON send_attempts (connection_id, created_at)
    WHERE state = 'accepted' AND hooked;

-- Two accepted attempts of one message: must stay empty, and is watched.
CREATE TABLE duplicate_incidents (
    message_id uuid NOT NULL,
    attempt_id uuid NOT NULL PRIMARY KEY,
    wamid_known text NOT NULL,
    wamid_seen text NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Statuses of messages we do not know yet; merged when the message appears, dropped after a day.
CREATE TABLE parked_statuses (
    event_id uuid PRIMARY KEY,
    connection_id uuid NOT NULL,
    wamid text NOT NULL,
    status text NOT NULL,
    happened_at timestamptz NOT NULL,
    error_code integer,
    parked_at timestamptz NOT NULL
);
CREATE INDEX parked_statuses_by_wamid ON parked_statuses USING hash (wamid);

-- How far Meta's statuses have come through, so that silence can be told from lateness: one row per
-- process on their way (`ingest/…`, `conversations/…`) and one per lane (`lane/…`).
CREATE TABLE status_pipeline (
    part text PRIMARY KEY,
    -- A process: when it last lived. A lane: everything received before this has taken effect.
    alive_at timestamptz NOT NULL,
    -- When a status may last have been sent away or set aside, to come again later.
    outage_at timestamptz
);

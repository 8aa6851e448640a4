-- What comes in: the ledger that decides "handled once", people, threads, and what is told onwards.
-- The hot tables carry no foreign keys: rows are only made inside the transaction that made their
-- parents, and a check per row would cost a tenth of the inbound budget.

-- Every event of every webhook that has taken effect. Kept 30 days; Meta redelivers for 7.
CREATE TABLE inbound_ledger (
    event_id uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    -- How often it arrived in all; above 1 means a duplicate was suppressed.
    copies integer NOT NULL DEFAULT 1
);
CREATE INDEX inbound_ledger_by_age ON inbound_ledger USING brin (seen_at);

-- Since 2026 Meta may name a person by number, by business-scoped user id, or both.
CREATE TABLE contacts (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    wa_id text,
    user_id text,
    name text,
    source text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT contacts_has_an_address CHECK (wa_id IS NOT NULL OR user_id IS NOT NULL),
    CONSTRAINT contacts_one_per_number UNIQUE (workspace_id, wa_id),
    CONSTRAINT contacts_one_per_user UNIQUE (workspace_id, user_id)
);
CREATE INDEX contacts_by_workspace ON contacts (workspace_id, id);

CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    -- Place of the newest message; messages are numbered from 1.
    last_sequence bigint NOT NULL,
    -- Every inbound message up to this place has had its bot turn.
    bot_sequence bigint NOT NULL DEFAULT 0,
    -- Opens the customer service window of 24 hours.
    customer_wrote_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT conversations_one_per_contact UNIQUE (connection_id, contact_id)
) WITH (fillfactor = 80);
CREATE INDEX conversations_by_workspace ON conversations (workspace_id, id);
CREATE INDEX conversations_by_contact ON conversations (contact_id);

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    sequence bigint NOT NULL,
    direction text NOT NULL,
    kind text NOT NULL,
    -- Indexed, not unique: the same id may appear in several contexts (D11).
    wamid text,
    body text,
    -- The element as Meta sent it; bytes, because JSON may hold what PostgreSQL's text refuses.
    raw bytea,
    -- Meta's clock; for display only.
    said_at timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT messages_in_order UNIQUE (conversation_id, sequence)
);
CREATE INDEX messages_by_wamid ON messages USING hash (wamid);

-- Everything understood as "not a message": kept as it came.
CREATE TABLE webhook_records (
    event_id uuid PRIMARY KEY,
    workspace_id uuid,
    connection_id uuid,
    field text NOT NULL,
    waba_id text NOT NULL,
    phone_number_id text NOT NULL,
    item bytea NOT NULL,
    -- `entry[].time`: what happened when, since webhooks come in any order.
    happened_at timestamptz,
    received_at timestamptz NOT NULL
);
CREATE INDEX webhook_records_by_age ON webhook_records USING brin (received_at);

-- What happened, for GET /v1/events and for the broker. `body` is switchyard.events.v1.Event.
CREATE TABLE events (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    type text NOT NULL,
    conversation_id uuid,
    message_id uuid,
    body bytea NOT NULL,
    -- W3C trace context of what caused it, so that a page can lead to the trace hours later.
    traceparent text,
    created_at timestamptz NOT NULL
);
CREATE INDEX events_by_workspace ON events (workspace_id, id);

-- The promise that an event will be published; deleted once the broker confirmed it.
CREATE TABLE outbox (
    event_id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL
);

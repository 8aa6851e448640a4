-- Campaigns: one message to each of many people, whatever dies on the way (ADR-0014).
--
-- A recipient's id is the id of its message: in `messages`, in `outbound_messages`, everywhere. The row of a
-- recipient is written once, when the audience is frozen; what became of it afterwards is the state of the
-- message with the same id. Only what is skipped at the last moment is written down here.

-- What an audience is chosen by.
ALTER TABLE contacts
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN attributes jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN opted_out_at timestamptz;
CREATE INDEX contacts_by_tag ON contacts USING gin (tags) WHERE tags <> '{}';

CREATE TABLE campaigns (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    connection_id uuid NOT NULL REFERENCES connections,
    name text NOT NULL,
    status text NOT NULL,
    -- Why it is paused or has failed: a code for programs, a text for people.
    reason_code text,
    reason text,
    -- {"name", "language", "params": {"header": […], "body": […], "buttons": […]}} with {{placeholders}}.
    template jsonb NOT NULL,
    audience jsonb NOT NULL,
    -- What becomes of a send whose outcome stays unknown: hold, assume_sent or resend.
    on_uncertain text NOT NULL,
    -- At most so many campaign messages of the workspace to one person in so many days.
    cap_messages integer,
    cap_days integer,
    -- Wall clock of `time_zone`, or of each recipient.
    scheduled_for timestamp,
    time_zone text NOT NULL DEFAULT 'UTC',
    is_local_time boolean NOT NULL DEFAULT false,
    quiet_from time,
    quiet_to time,
    -- No message is begun after this.
    ends_at timestamptz,
    -- Raised by every edit: the ETag.
    version bigint NOT NULL DEFAULT 1,
    -- How far the audience is frozen: the last contact that was looked at. `prepared_at`: all of it.
    prepared_through uuid,
    prepared_at timestamptz,
    -- Recipients with a row, skipped ones included.
    total bigint NOT NULL DEFAULT 0,
    -- Nobody needs to look at it before this moment; what it waits for until then.
    next_look_at timestamptz,
    waits_for text,
    cloned_from uuid,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT campaign_status CHECK (status IN ('draft', 'scheduled', 'preparing', 'running', 'paused',
        'completed', 'completed_with_issues', 'cancelled', 'failed')),
    CONSTRAINT campaign_on_uncertain CHECK (on_uncertain IN ('hold', 'assume_sent', 'resend')),
    CONSTRAINT campaign_cap CHECK ((cap_messages IS NULL) = (cap_days IS NULL) AND cap_messages > 0 AND cap_days > 0),
    CONSTRAINT campaign_quiet CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX campaigns_by_workspace ON campaigns (workspace_id, id);
CREATE INDEX campaigns_at_work ON campaigns (next_look_at) WHERE status IN ('scheduled', 'preparing', 'running');

-- Numbers given as a list or a file, until the audience is frozen.
CREATE TABLE campaign_uploads (
    campaign_id uuid NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    -- Line of the file, or place in the list.
    line integer NOT NULL,
    wa_id text NOT NULL,
    name text,
    attributes jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (campaign_id, line)
);

CREATE TABLE campaign_recipients (
    campaign_id uuid NOT NULL,
    -- Counted from 1 in the order of sending.
    n integer NOT NULL,
    -- The id of the message, too.
    id uuid NOT NULL,
    chunk integer NOT NULL,
    contact_id uuid NOT NULL,
    recipient_kind text NOT NULL,
    recipient text NOT NULL,
    -- What the template's placeholders stand for, in their order: frozen, so that a resumed campaign says what
    -- the first pass would have said.
    params jsonb NOT NULL,
    -- opted_out, frequency_cap, no_address, invalid_params, …
    skip_reason text,
    PRIMARY KEY (campaign_id, n),
    CONSTRAINT campaign_recipients_once UNIQUE (campaign_id, contact_id),
    CONSTRAINT campaign_recipients_by_id UNIQUE (id)
);
CREATE INDEX campaign_recipients_skipped ON campaign_recipients (campaign_id, n) WHERE skip_reason IS NOT NULL;

-- A chunk is handed to the send ledger as a whole: all of its messages exist, or none.
CREATE TABLE campaign_chunks (
    campaign_id uuid NOT NULL,
    chunk integer NOT NULL,
    -- How many of its recipients are to be sent to (those skipped while freezing are not).
    size integer NOT NULL,
    -- Recipients of one chunk share a time zone, where the campaign goes by theirs.
    time_zone text NOT NULL,
    not_before timestamptz,
    state text NOT NULL,
    PRIMARY KEY (campaign_id, chunk),
    CONSTRAINT campaign_chunk_state CHECK (state IN ('waiting', 'fed', 'cancelled'))
);
CREATE INDEX campaign_chunks_waiting ON campaign_chunks (campaign_id, chunk) WHERE state = 'waiting';

-- How many recipients ended how; changed in the transaction that changes them. What is in no row is open: pending
-- or in flight.
CREATE TABLE campaign_counts (
    campaign_id uuid NOT NULL,
    -- accepted, failed, skipped, uncertain; beside them, not instead: sent, delivered, read, replied.
    state text NOT NULL,
    -- Meta's error code of failures, the reason of skips; else empty.
    reason text NOT NULL DEFAULT '',
    n bigint NOT NULL,
    PRIMARY KEY (campaign_id, state, reason)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);

-- The same changes by minute, for charts.
CREATE TABLE campaign_minutes (
    campaign_id uuid NOT NULL,
    minute timestamptz NOT NULL,
    state text NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (campaign_id, minute, state)
) WITH (fillfactor = 50);

CREATE TABLE campaign_log (
    id uuid PRIMARY KEY,
    campaign_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    at timestamptz NOT NULL,
    -- An API key (key_…), or the service that did it by itself.
    actor text NOT NULL,
    action text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX campaign_log_by_campaign ON campaign_log (campaign_id, id);

-- The ledger learns whose campaign a message belongs to.
ALTER TABLE outbound_messages
    ADD COLUMN campaign_id uuid,
    DROP CONSTRAINT outbound_state,
    -- held: its campaign is paused; nobody claims it.
    ADD CONSTRAINT outbound_state CHECK
        (state IN ('ready', 'held', 'sending', 'accepted', 'failed', 'unknown', 'cancelled'));
-- Each stream of work (a connection's bot, its agents, each of its campaigns) is looked at by itself.
DROP INDEX outbound_ready;
CREATE INDEX outbound_ready ON outbound_messages (connection_id, source, campaign_id, position) WHERE state = 'ready';
-- What a campaign has given to the ledger and what has not ended.
CREATE INDEX outbound_open_of_campaign ON outbound_messages (campaign_id, state)
    WHERE campaign_id IS NOT NULL AND state IN ('ready', 'held', 'sending', 'failed', 'unknown');
-- For the cap on campaign messages to one person.
CREATE INDEX outbound_campaigns_to ON outbound_messages (workspace_id, recipient, created_at) WHERE campaign_id IS NOT NULL;

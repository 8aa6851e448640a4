-- Templates as Meta lists them, kept per WhatsApp Business Account (WABA) within a workspace: several connections
-- may share one. A sync collects all pages first and changes the templates in one transaction at its end, so that a
-- sync that fails changes nothing.

-- Whoever changes the templates of an account locks its row first.
CREATE TABLE template_accounts (
    workspace_id uuid NOT NULL REFERENCES workspaces,
    waba_id text NOT NULL,
    -- When a sync last ended well.
    synced_at timestamptz,
    PRIMARY KEY (workspace_id, waba_id)
);

CREATE TABLE templates (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    waba_id text NOT NULL,
    -- Meta's id; a template that is made again gets another one.
    meta_id text NOT NULL,
    name text NOT NULL,
    language text NOT NULL,
    -- As Meta says it: APPROVED, PENDING, PAUSED, ... The moments below say as of when a value is known: news that
    -- are older change nothing.
    status text NOT NULL,
    rejected_reason text,
    status_at timestamptz NOT NULL,
    quality text NOT NULL,
    quality_at timestamptz NOT NULL,
    category text NOT NULL,
    previous_category text,
    -- What Meta holds to be right; it will be the category at `category_changes_at`.
    correct_category text,
    category_changes_at timestamptz,
    category_at timestamptz NOT NULL,
    parameter_format text NOT NULL,
    -- json, not jsonb: components of kinds we don't know survive byte for byte.
    components json NOT NULL,
    ttl_seconds bigint,
    content_at timestamptz NOT NULL,
    -- When Meta last showed or told of it; a sync marks deleted what it did not see since it began.
    seen_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    CONSTRAINT templates_once UNIQUE (workspace_id, waba_id, meta_id)
);
CREATE INDEX templates_by_workspace ON templates (workspace_id, id);
CREATE INDEX templates_by_name ON templates (workspace_id, waba_id, name, language);

-- Runs of the sync: the work, and its history.
CREATE TABLE template_syncs (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    connection_id uuid NOT NULL REFERENCES connections,
    waba_id text NOT NULL,
    -- request, schedule or webhook.
    trigger text NOT NULL,
    -- An API key (key_…), or template-sync.
    requested_by text NOT NULL,
    -- Lower ones first: somebody waits for a request.
    priority smallint NOT NULL,
    status text NOT NULL,
    -- A pass begins at the first page; an expired cursor begins another one. Whoever adds a page names the pass and
    -- the pages before it: of two workers one succeeds.
    pass integer NOT NULL DEFAULT 1,
    pass_began_at timestamptz,
    pages integer NOT NULL DEFAULT 0,
    -- Where the next page begins; null before the first one.
    after text,
    is_listed boolean NOT NULL DEFAULT false,
    page_size integer NOT NULL,
    found integer NOT NULL DEFAULT 0,
    calls integer NOT NULL DEFAULT 0,
    -- Calls in a row that failed.
    failures integer NOT NULL DEFAULT 0,
    -- Somebody works on it until this moment; what it waits for until then.
    next_look_at timestamptz NOT NULL,
    waits_for text,
    added integer,
    changed integer,
    removed integer,
    error_code text,
    error text,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT template_sync_status CHECK (status IN ('running', 'completed', 'failed')),
    CONSTRAINT template_sync_trigger CHECK (trigger IN ('request', 'schedule', 'webhook'))
);
-- One sync per connection, whatever becomes of locks.
CREATE UNIQUE INDEX template_syncs_running ON template_syncs (connection_id) WHERE status = 'running';
CREATE INDEX template_syncs_at_work ON template_syncs (priority, next_look_at) WHERE status = 'running';
CREATE INDEX template_syncs_by_workspace ON template_syncs (workspace_id, id);

-- What the pages of a running sync said; gone when it ends.
CREATE TABLE template_sync_items (
    sync_id uuid NOT NULL REFERENCES template_syncs ON DELETE CASCADE,
    meta_id text NOT NULL,
    -- The template's id, if it is new.
    id uuid NOT NULL,
    name text NOT NULL,
    language text NOT NULL,
    status text NOT NULL,
    rejected_reason text,
    quality text NOT NULL,
    category text NOT NULL,
    previous_category text,
    correct_category text,
    parameter_format text NOT NULL,
    components json NOT NULL,
    ttl_seconds bigint,
    -- When its page was asked for.
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (sync_id, meta_id)
);

-- Webhooks about templates that nobody has acted upon yet; what they say is in webhook_records.
CREATE TABLE template_news (
    event_id uuid PRIMARY KEY,
    waba_id text NOT NULL,
    -- The workspace whose own Meta app signed it: it speaks for no other. Null: the installation's app.
    app_workspace_id uuid
);

-- When each connection is due; a connection without a row has never been looked at.
CREATE TABLE template_schedules (
    connection_id uuid PRIMARY KEY REFERENCES connections,
    -- Its own interval; null: the installation's. 0: never by the clock.
    every_seconds integer,
    next_at timestamptz,
    -- News asked for a sync at this moment.
    asked_at timestamptz,
    CONSTRAINT template_schedule_every CHECK (every_seconds >= 0)
);

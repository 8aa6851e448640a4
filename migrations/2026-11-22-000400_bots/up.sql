-- Bots answer inbound messages by ordered rules.

CREATE TABLE bots (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL,
    is_enabled boolean NOT NULL DEFAULT true,
    -- Raised by every change of the bot or its rules, so that a cached copy knows it is old.
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX bots_by_workspace ON bots (workspace_id, id);

-- A connection has at most one bot: two would answer twice.
CREATE TABLE bot_connections (
    connection_id uuid PRIMARY KEY REFERENCES connections,
    bot_id uuid NOT NULL REFERENCES bots ON DELETE CASCADE
);
CREATE INDEX bot_connections_by_bot ON bot_connections (bot_id);

CREATE TABLE bot_rules (
    id uuid PRIMARY KEY,
    bot_id uuid NOT NULL REFERENCES bots ON DELETE CASCADE,
    position integer NOT NULL,
    match_kind text NOT NULL,
    match_value text NOT NULL,
    reply_text text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT bot_rules_ordered UNIQUE (bot_id, position) DEFERRABLE INITIALLY DEFERRED
);

-- What a bot decided about one inbound message; also the proof that it decided once.
CREATE TABLE bot_turns (
    message_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    bot_id uuid NOT NULL,
    rule_id uuid,
    outcome text NOT NULL,
    reply_message_id uuid,
    created_at timestamptz NOT NULL
);
CREATE INDEX bot_turns_by_conversation ON bot_turns (conversation_id, message_id);

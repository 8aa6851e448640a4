-- Sending by people and programs. The caller names a request (`Idempotency-Key`); the name, the answer and what the
-- request did commit together, so that it takes effect once however often it comes.
CREATE TABLE idempotency_keys (
    workspace_id uuid NOT NULL,
    key text NOT NULL,
    -- SHA-256 over method, path and body: another request under the same key is refused.
    fingerprint bytea NOT NULL,
    -- What was answered, for whoever asks again.
    status smallint NOT NULL,
    body text NOT NULL,
    -- What the request made or changed.
    resource_id uuid NOT NULL,
    -- How often it was answered again: duplicates that took no effect.
    replays integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (expires_at);
CREATE INDEX idempotency_keys_by_resource ON idempotency_keys (resource_id);

-- What a request to send said beside the message itself.
CREATE TABLE message_requests (
    message_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    -- The API key that asked.
    requested_by uuid NOT NULL,
    -- The caller's own data: an object, given back as it came.
    metadata jsonb
);

-- For lists of messages, and for the history of one.
CREATE INDEX messages_by_workspace ON messages (workspace_id, id);
CREATE INDEX outbound_bad ON outbound_messages (workspace_id, id) WHERE state IN ('failed', 'unknown');
CREATE INDEX events_by_message ON events (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX send_attempts_by_message ON send_attempts (message_id);

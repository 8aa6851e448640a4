-- Who uses the installation, and with which phone numbers and Meta apps.
-- Columns named *_sealed hold AES-256-GCM ciphertext bound to their workspace and column.

CREATE TABLE workspaces (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL
);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    role text NOT NULL,
    secret_sha256 bytea NOT NULL,
    last4 text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_by_workspace ON api_keys (workspace_id, id);

-- A Meta app signs the webhooks of many WABAs; its owner may speak only for its own connections.
CREATE TABLE meta_apps (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    slug text NOT NULL UNIQUE,
    verify_token_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX meta_apps_by_workspace ON meta_apps (workspace_id, id);

-- Several at once while a secret is rotated.
CREATE TABLE meta_app_secrets (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES meta_apps ON DELETE CASCADE,
    secret_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    retires_at timestamptz
);
CREATE INDEX meta_app_secrets_by_app ON meta_app_secrets (app_id);

CREATE TABLE connections (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    name text NOT NULL,
    phone_number_id text NOT NULL,
    waba_id text NOT NULL,
    display_phone_number text,
    access_token_sealed bytea NOT NULL,
    -- null: the installation's default
    whatsapp_api_per_minute integer,
    webhook_per_minute integer,
    webhook_over_limit text NOT NULL DEFAULT 'slow_lane',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    archived_at timestamptz
);
-- One living connection per number in the whole installation: a webhook names only the number.
CREATE UNIQUE INDEX connections_by_phone_number ON connections (phone_number_id) WHERE archived_at IS NULL;
CREATE INDEX connections_by_workspace ON connections (workspace_id, id);

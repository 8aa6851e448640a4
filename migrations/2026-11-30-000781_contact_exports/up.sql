-- Exports of contacts: what was asked for, and where its file is.
--
-- Each run writes a file of its own, whose name says workspace, time and run (D13); the run that ends the
-- export names its file here, in the same statement.
CREATE TABLE contact_exports (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    -- queued, running, completed, failed, expired (the file is gone).
    status text NOT NULL,
    filter jsonb NOT NULL,
    -- csv or xlsx.
    format text NOT NULL,
    -- Whether the CSV begins with a byte order mark.
    has_bom boolean NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    -- Contacts written so far.
    rows bigint NOT NULL DEFAULT 0,
    total bigint,
    file_name text,
    file_bytes bigint,
    -- Signs the links to the file.
    link_key bytea NOT NULL,
    error_code text,
    error text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    expires_at timestamptz,
    CONSTRAINT contact_export_status CHECK (
        status IN ('queued', 'running', 'completed', 'failed', 'expired'))
);
CREATE UNIQUE INDEX contact_exports_one_running ON contact_exports (workspace_id)
    WHERE status IN ('queued', 'running');
CREATE INDEX contact_exports_by_workspace ON contact_exports (workspace_id, id);

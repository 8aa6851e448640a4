-- Imports of contacts: what was asked for, how far it is, and what became of it.
--
-- The people of a file are nowhere here: they are read into a temporary table of the session that works
-- the import off, and merged into `contacts` in one transaction. A process that dies takes them with it,
-- and whoever goes on begins with the file again.
CREATE TABLE contact_imports (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces,
    -- queued, running (the file is read), writing (the transaction is under way), completed, failed, cancelled.
    status text NOT NULL,
    file_name text NOT NULL,
    file_bytes bigint NOT NULL,
    -- As given: mapping, on_conflict, tags, default_country, …
    options jsonb NOT NULL,
    -- How the file is read: format, encoding, what its columns mean.
    understood jsonb,
    -- The number of the lock (L7) under which it is worked off: an earlier holder changes nothing more.
    fence bigint NOT NULL DEFAULT 0,
    -- How often it was begun.
    attempts integer NOT NULL DEFAULT 0,
    read_bytes bigint NOT NULL DEFAULT 0,
    -- Records of the file: accepted ones and rejected ones.
    accepted bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    -- What was accepted: people who were given more than once, and what became of the others.
    duplicates bigint NOT NULL DEFAULT 0,
    created bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    error_code text,
    error text,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT contact_import_status CHECK (
        status IN ('queued', 'running', 'writing', 'completed', 'failed', 'cancelled'))
);
-- Decides which of two imports runs (D12); the lock only saves work.
CREATE UNIQUE INDEX contact_imports_one_running ON contact_imports (workspace_id)
    WHERE status IN ('queued', 'running', 'writing');
CREATE INDEX contact_imports_by_workspace ON contact_imports (workspace_id, id);

-- Records that were left out.
CREATE TABLE contact_import_rejects (
    import_id uuid NOT NULL REFERENCES contact_imports ON DELETE CASCADE,
    line bigint NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    -- Its beginning, as it was read.
    record text NOT NULL,
    PRIMARY KEY (import_id, line)
);

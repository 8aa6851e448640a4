-- Who changed what by hand, and why: written before or with the change, never changed, never deleted.

CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- An API key (key_…), or a person at a command line (name@host).
    actor text NOT NULL,
    -- The tenant whose thing it is; null: the installation's.
    workspace_id uuid,
    action text NOT NULL,
    -- What was acted upon; people's numbers and message ids are masked.
    target text NOT NULL,
    reason text NOT NULL,
    before jsonb,
    after jsonb,
    -- The request that asked for it, if it came by HTTP.
    request_id text,
    -- The entry that announced what this one reports.
    follows uuid,
    CONSTRAINT audit_says_why CHECK (reason <> '')
);
CREATE INDEX audit_log_by_workspace ON audit_log (workspace_id, id);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

-- Finds people among millions by whatever is known of them, newest first.
--
-- Names are found by the beginnings of their words, with what PostgreSQL brings along: pg_trgm would also
-- find what is inside a word, but not every user may install it, its index is several times as large, and
-- it slows imports down. Numbers are found by their beginning in contacts_one_per_number.

-- The order of lists, and spans of time.
CREATE INDEX contacts_by_age ON contacts (workspace_id, created_at, id);
CREATE INDEX contacts_by_source ON contacts (workspace_id, source, created_at, id);
-- Few have opted out.
CREATE INDEX contacts_opted_out ON contacts (workspace_id, created_at, id) WHERE opted_out_at IS NOT NULL;
CREATE INDEX contacts_by_attribute ON contacts USING gin (attributes jsonb_path_ops) WHERE attributes <> '{}';
-- Without its marks a name is words to the parser: never a host, a path or a number with a sign. Queries say
-- the same, character by character.
CREATE INDEX contacts_by_name ON contacts
    USING gin (to_tsvector('simple', translate(name, '.,-_@/:+&~''’', '            ')));

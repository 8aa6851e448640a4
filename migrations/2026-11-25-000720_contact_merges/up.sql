-- Two contacts that prove to be one person become one row. What was frozen for the row that goes (the recipients
-- of campaigns) still names it: here is who that is now.
CREATE TABLE contact_merges (
    gone uuid PRIMARY KEY,
    kept uuid NOT NULL REFERENCES contacts ON DELETE CASCADE
);
CREATE INDEX contact_merges_by_kept ON contact_merges (kept);

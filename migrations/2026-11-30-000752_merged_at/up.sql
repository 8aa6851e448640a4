-- While an audience is frozen in the order of its contacts' ids, a contact may prove to be one whose turn is over already:
-- freezing looks at those who were merged since it began.
ALTER TABLE contact_merges ADD COLUMN merged_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX contact_merges_by_time ON contact_merges (merged_at);

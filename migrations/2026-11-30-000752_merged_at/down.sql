ALTER TABLE contact_merges DROP COLUMN merged_at;

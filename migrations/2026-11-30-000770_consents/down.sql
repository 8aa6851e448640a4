DROP TABLE contact_notes;
ALTER TABLE connections DROP COLUMN heeds_stop_words;
DROP TABLE contact_consents;
ALTER TABLE contacts DROP COLUMN consent_said_at;

ALTER TABLE campaign_chunks DROP COLUMN first_n;
DROP INDEX campaign_uploads_by_number;

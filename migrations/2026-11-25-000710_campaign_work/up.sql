-- What freezing and feeding a campaign look for, at their size: a number of the list by itself, and the
-- recipients of a chunk without an index over all of them.
CREATE INDEX campaign_uploads_by_number ON campaign_uploads (campaign_id, wa_id);

-- The recipients of a chunk have the numbers first_n, first_n + 1, …, size of them.
ALTER TABLE campaign_chunks ADD COLUMN first_n integer NOT NULL DEFAULT 1;

DROP INDEX outbound_campaigns_to;
DROP INDEX outbound_open_of_campaign;
DROP INDEX outbound_ready;
CREATE INDEX outbound_ready ON outbound_messages (position) WHERE state = 'ready';
UPDATE outbound_messages SET state = 'cancelled' WHERE state = 'held';
ALTER TABLE outbound_messages
    DROP COLUMN campaign_id,
    DROP CONSTRAINT outbound_state,
    ADD CONSTRAINT outbound_state CHECK
        (state IN ('ready', 'sending', 'accepted', 'failed', 'unknown', 'cancelled'));
DROP TABLE campaign_log;
DROP TABLE campaign_minutes;
DROP TABLE campaign_counts;
DROP TABLE campaign_chunks;
DROP TABLE campaign_recipients;
DROP TABLE campaign_uploads;
DROP TABLE campaigns;
DROP INDEX contacts_by_tag;
ALTER TABLE contacts DROP COLUMN tags, DROP COLUMN attributes, DROP COLUMN opted_out_at;

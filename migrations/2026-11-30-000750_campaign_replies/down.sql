ALTER TABLE outbound_messages DROP COLUMN replied_at;
ALTER TABLE conversations DROP COLUMN campaign_message_id;

ALTER TABLE campaigns DROP COLUMN expired_at;
INSERT INTO campaign_counts AS c (campaign_id, state, reason, n)
    SELECT campaign_id, 'accepted', '', n FROM campaign_counts WHERE state = 'expired'
    ON CONFLICT (campaign_id, state, reason) DO UPDATE SET n = c.n + EXCLUDED.n;
DELETE FROM campaign_counts WHERE state = 'expired';
UPDATE outbound_messages SET state = 'accepted' WHERE state = 'expired';
ALTER TABLE outbound_messages
    DROP CONSTRAINT outbound_state,
    ADD CONSTRAINT outbound_state CHECK
        (state IN ('ready', 'held', 'sending', 'accepted', 'failed', 'unknown', 'cancelled'));

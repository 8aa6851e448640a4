-- Meta drops a message that it could not deliver within its template's time to live, and says nothing. Such a message
-- is `expired` by our own clock, until a status says better.
ALTER TABLE outbound_messages
    DROP CONSTRAINT outbound_state,
    ADD CONSTRAINT outbound_state CHECK
        (state IN ('ready', 'held', 'sending', 'accepted', 'failed', 'unknown', 'cancelled', 'expired'));
-- When the messages of a campaign that is over were looked at for that.
ALTER TABLE campaigns ADD COLUMN expired_at timestamptz;
CREATE INDEX campaigns_to_expire ON campaigns (finished_at) WHERE finished_at IS NOT NULL AND expired_at IS NULL;

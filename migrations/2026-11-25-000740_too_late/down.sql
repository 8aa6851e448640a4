UPDATE campaign_chunks SET state = 'cancelled' WHERE state = 'too_late';
ALTER TABLE campaign_chunks
    DROP CONSTRAINT campaign_chunk_state,
    ADD CONSTRAINT campaign_chunk_state CHECK (state IN ('waiting', 'fed', 'cancelled'));

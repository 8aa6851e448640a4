-- Why a chunk is not sent, so that each of its recipients can say it: somebody cancelled, or the end had passed.
ALTER TABLE campaign_chunks
    DROP CONSTRAINT campaign_chunk_state,
    ADD CONSTRAINT campaign_chunk_state CHECK (state IN ('waiting', 'fed', 'cancelled', 'too_late'));

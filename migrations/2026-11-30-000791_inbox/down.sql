ALTER TABLE conversations
    DROP COLUMN read_sequence,
    DROP COLUMN is_bot_on,
    DROP COLUMN closed_at,
    DROP COLUMN assignee;

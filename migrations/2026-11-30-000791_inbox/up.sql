-- What a team works with: who looks after a conversation, whether it is done, how far it was read, and whether a bot may
-- answer in it.
ALTER TABLE conversations
    -- Whoever looks after it, by the name that the team's own programs know them by.
    ADD COLUMN assignee text,
    -- Since when it is done; the person's next message opens it again.
    ADD COLUMN closed_at timestamptz,
    -- false: a person took over. What comes in meanwhile has had its bot turn.
    ADD COLUMN is_bot_on boolean NOT NULL DEFAULT true,
    -- Every message up to this place was read by the team.
    ADD COLUMN read_sequence bigint NOT NULL DEFAULT 0;

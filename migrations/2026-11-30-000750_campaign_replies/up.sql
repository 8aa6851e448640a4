-- Who answered a campaign's message. The thread knows the newest campaign message in it that may still be answered,
-- so a message of a person to whom no campaign wrote costs nothing, and nobody searches the ledger.
ALTER TABLE conversations ADD COLUMN campaign_message_id uuid;
-- When the person first wrote after the message had been accepted.
ALTER TABLE outbound_messages ADD COLUMN replied_at timestamptz;

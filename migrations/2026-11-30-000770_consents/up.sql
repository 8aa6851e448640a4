-- Whether people want to hear from us: what they said, where, and when; and what colleagues note about them.
--
-- A consent is a proof that may be asked for, so what was said is kept beside what holds now. Both tables
-- belong to their contact: they go with it when it is erased.

-- When the decision that holds was said. News that come late must not overrule what was said after them.
ALTER TABLE contacts ADD COLUMN consent_said_at timestamptz;

CREATE TABLE contact_consents (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL REFERENCES contacts ON DELETE CASCADE,
    decision text NOT NULL,
    -- How we know: api, keyword (they wrote STOP), meta (they told WhatsApp), import.
    source text NOT NULL,
    -- What they said, or where it is written down.
    text text,
    -- Who wrote it down: an API key (key_…); null when it was the person.
    actor text,
    -- Where it was said.
    connection_id uuid,
    -- By Meta's clock for what Meta told.
    said_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT consent_decision CHECK (decision IN ('given', 'withdrawn'))
);
CREATE INDEX contact_consents_by_contact ON contact_consents (contact_id, said_at, id);

-- Where nobody wants STOP to mean what it says: a bot may use the word for something else.
ALTER TABLE connections ADD COLUMN heeds_stop_words boolean NOT NULL DEFAULT true;

CREATE TABLE contact_notes (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL REFERENCES contacts ON DELETE CASCADE,
    -- An API key (key_…).
    author text NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX contact_notes_by_contact ON contact_notes (contact_id, id);

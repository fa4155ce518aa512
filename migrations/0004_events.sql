-- What SES says of sent emails, beyond the recipient's status.

-- One row per event that has an activity: SES delivers an event at least once, its activity is written once.
CREATE TABLE IF NOT EXISTS recipient_events (
    recipient_id uuid NOT NULL REFERENCES campaign_recipients (id) ON DELETE CASCADE,
    action       text NOT NULL,         -- the activity's
    occurred_at  timestamptz NOT NULL,
    key          uuid NOT NULL,         -- a hash of what else tells it from others: message, link, feedback id
    PRIMARY KEY (recipient_id, action, occurred_at, key)
);

-- When recipients in doubt of whom SES said nothing were last looked for.
ALTER TABLE campaign_cursors ADD COLUMN IF NOT EXISTS doubt_examined_at timestamptz;

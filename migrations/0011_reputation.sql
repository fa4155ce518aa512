-- What SES's events say of a campaign's emails, for the guard that stops one that harms the sender's reputation. Each
-- email counts once in each column.
-- The judged counts are those for which the guard has paused the campaign before: whoever sets it to `sending`
-- again has accepted them, and the guard counts anew.
CREATE TABLE IF NOT EXISTS campaign_feedback (
    campaign_id       uuid PRIMARY KEY REFERENCES campaigns (id) ON DELETE CASCADE,
    organization_id   uuid NOT NULL,
    first_at          timestamptz NOT NULL DEFAULT now(),
    delivered         int NOT NULL DEFAULT 0,
    bounced           int NOT NULL DEFAULT 0,
    complained        int NOT NULL DEFAULT 0,
    judged_delivered  int NOT NULL DEFAULT 0,
    judged_bounced    int NOT NULL DEFAULT 0,
    judged_complained int NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE INDEX IF NOT EXISTS campaign_feedback_recent ON campaign_feedback (organization_id, first_at);

-- Emails that SES rejected after it had accepted them (its events Reject and Rendering Failure).
ALTER TABLE campaign_feedback ADD COLUMN IF NOT EXISTS rejected int NOT NULL DEFAULT 0;
ALTER TABLE campaign_feedback ADD COLUMN IF NOT EXISTS judged_rejected int NOT NULL DEFAULT 0;

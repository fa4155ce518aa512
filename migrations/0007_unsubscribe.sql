-- Who unsubscribed by the link of which email.

-- When the recipient unsubscribed by this email's link; null again when it subscribed again by it.
ALTER TABLE campaign_recipients ADD COLUMN IF NOT EXISTS unsubscribed_at timestamptz;

-- Recipients of the campaign whose `unsubscribed_at` is set.
ALTER TABLE campaigns ADD COLUMN IF NOT EXISTS unsubscribed_count int NOT NULL DEFAULT 0;

-- What is in doubt, the oldest first: for the metric `OldestUncertainSeconds` and the alarm on it.
CREATE INDEX IF NOT EXISTS campaign_recipients_uncertain ON campaign_recipients (uncertain_since)
    WHERE status = 'uncertain';

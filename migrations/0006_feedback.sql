-- Emails delivered to providers that report no complaints, so that the rate of complaints can leave them out.
ALTER TABLE campaign_feedback
    ADD COLUMN without_feedback        int NOT NULL DEFAULT 0, -- of `delivered`: at a domain of GUARD_NO_FEEDBACK_DOMAINS
    ADD COLUMN judged_without_feedback int NOT NULL DEFAULT 0;

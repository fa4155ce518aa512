-- The life cycle of a recipient, which every statement asks that records outcomes or events. It is the same table as
-- `Status::may_become` in `src/domain/recipient.rs`; a test compares the two.
--
--   pending    -> sent, failed, suppressed, uncertain
--   uncertain  -> sent, failed                (by an event of SES, a late invocation, or by hand)
--   failed     -> sent                        (evidence from SES that it was sent outweighs everything else)
--   sent, suppressed                          final
--
-- If the CRM's table refuses the activity of an email that Amazon SES accepted, the recipient is `uncertain` with its
-- message id wherever it would become `sent`, and becomes `sent` when the table takes the activity.
--
-- Evidence never leads back to `pending`, only a decision: `campaign resolve`, `campaign retry-failed`, and the policy
-- `resend` for uncertain recipients.
CREATE OR REPLACE FUNCTION recipient_may_become(status text, next text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE next
    WHEN 'sent' THEN status IN ('pending', 'uncertain', 'failed')
    WHEN 'failed' THEN status IN ('pending', 'uncertain')
    WHEN 'suppressed' THEN status = 'pending'
    WHEN 'uncertain' THEN status = 'pending'
    ELSE false
END;

-- The `email_sent` activity of a recipient: its description and its metadata.
CREATE OR REPLACE FUNCTION email_sent_description(email text, name text, subject text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'Email sent to ' || coalesce(nullif(btrim(name), ''), email) || ': ' || coalesce(subject, '');

-- (All values are strings, for which jsonb_object takes half of the time of jsonb_build_object.)
CREATE OR REPLACE FUNCTION email_sent_metadata(
    id uuid, email text, name text, subject text, campaign_id uuid, campaign_name text, message_id text
) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_object(CASE WHEN btrim(name) <> ''
    THEN ARRAY['emailId', id::text, 'recipientEmail', email, 'recipientName', name, 'subject', subject,
               'campaignId', campaign_id::text, 'campaignName', campaign_name, 'messageId', message_id]
    ELSE ARRAY['emailId', id::text, 'recipientEmail', email, 'subject', subject,
               'campaignId', campaign_id::text, 'campaignName', campaign_name, 'messageId', message_id]
END);

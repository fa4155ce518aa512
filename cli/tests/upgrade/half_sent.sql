-- A campaign of 60 recipients, half sent, in a schema of before recorded versions: by its own functions.
INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html, created_by)
VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-0000-0000-00000000000a', 'Spring', 'sending',
        'News <news@example.com>', 'Hello', '<p>Dear</p>', '00000000-0000-0000-0000-00000000000c'),
       ('00000000-0000-4000-8000-000000000002', '00000000-0000-0000-0000-00000000000a', 'Autumn', 'draft',
        'News <news@example.com>', 'Hello', '<p>Dear</p>', NULL);
INSERT INTO campaign_recipients (campaign_id, organization_id, email)
SELECT '00000000-0000-4000-8000-000000000001', '00000000-0000-0000-0000-00000000000a', 'r' || n || '@example.com'
  FROM generate_series(1, 60) AS n;
-- One mailbox in two spellings: one is sent, the other is among the last.
INSERT INTO campaign_recipients (campaign_id, organization_id, email)
VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-0000-0000-00000000000a', E'r3@example.com\u200b');
INSERT INTO campaign_recipients (campaign_id, organization_id, email)
SELECT '00000000-0000-4000-8000-000000000002', '00000000-0000-0000-0000-00000000000a', 'a@münchen.example';
INSERT INTO suppressions (organization_id, email, reason, created_at) VALUES
    ('00000000-0000-0000-0000-00000000000a', 'b@münchen.example', 'complaint', '2020-01-01'),
    ('00000000-0000-0000-0000-00000000000a', 'b@xn--mnchen-3ya.example', 'bounce', '2021-01-01'),
    ('00000000-0000-0000-0000-00000000000a', 'r60@example.com', 'manual', '2021-01-01');
INSERT INTO campaign_recipients (campaign_id, organization_id, email)
VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-0000-0000-00000000000a', 'b@münchen.example');

-- Recipients 1 to 10 are sent, and recorded; 11 to 20 are in the batch of an invocation that did not come back: up to 14
-- it may have handed them to SES, of 11 it has noted the outcome; 21 to 30 are with an invocation that is at work.
DO $$
DECLARE
    v_first  bigint := (SELECT min(position) FROM campaign_recipients);
    v_token  uuid;
    v_batch  bigint;
    v_lost   bigint;
    v_number int;
    v_claim  text := CASE WHEN to_regprocedure('claim_batch(uuid, uuid, int, float8, boolean, bigint, int, text, float8, float8)') IS NULL
        THEN 'SELECT batch_id FROM claim_batch($1, $2, 10, 60, false, 1000000, 1000, ''us-east-1'', 1000, 60, 0.25)'
        ELSE 'SELECT batch_id FROM claim_batch($1, $2, 10, 60, false, 1000000, 1000, ''us-east-1'', 1000, 60)' END;
BEGIN
    FOR v_number IN 1..3 LOOP
        v_token := ('00000000-0000-4000-8000-0000000000f' || v_number)::uuid;
        EXECUTE v_claim INTO v_batch USING '00000000-0000-4000-8000-000000000001'::uuid, v_token;
        IF v_number = 1 THEN
            UPDATE campaign_recipients SET previous_status = 'pending', status = 'sent', message_id = 'm-' || id,
                   sent_at = now()
             WHERE position < v_first + 10;
            UPDATE campaigns SET sent_count = 10 WHERE id = '00000000-0000-4000-8000-000000000001';
            INSERT INTO activities (organization_id, entity_type, entity_id, action, source, source_ref)
            SELECT organization_id, 'email', id, 'email_sent', 'email', id::text FROM campaign_recipients
             WHERE position < v_first + 10;
            UPDATE campaign_batches SET closed_at = now(), claim_token = NULL, lease_ends_at = NULL, handed_by = NULL,
                   handed_through = NULL, sent_count = 10
             WHERE id = v_batch;
        ELSIF v_number = 2 THEN
            v_lost := v_batch;
            INSERT INTO campaign_batch_outcomes
            SELECT v_batch, 1, jsonb_build_array(jsonb_build_array(id, 'sent', 'm-' || id,
                                                                   (extract(epoch FROM now()) * 1000)::bigint))
              FROM campaign_recipients WHERE position = v_first + 10;
        ELSE
            UPDATE campaign_batches SET handed_through = v_first + 24 WHERE id = v_batch;
        END IF;
    END LOOP;
    UPDATE campaign_batches SET lease_ends_at = now() - interval '1 minute', handed_through = v_first + 13
     WHERE id = v_lost;
END
$$;
-- 31 and 32 are uncertain.
WITH uncertain AS (
    UPDATE campaign_recipients SET previous_status = 'pending', status = 'uncertain', uncertain_since = now(),
           error_code = 'unreadable_answer'
     WHERE email IN ('r31@example.com', 'r32@example.com') RETURNING 1
)
UPDATE campaigns SET uncertain_count = (SELECT count(*) FROM uncertain)
 WHERE id = '00000000-0000-4000-8000-000000000001';
-- Recipient 1 was opened three times, and clicked once.
INSERT INTO recipient_events (recipient_id, action, occurred_at, key)
SELECT id, 'email_opened', at, '00000000-0000-4000-8000-0000000000e1'
  FROM campaign_recipients, unnest(ARRAY['2026-11-02 09:20Z', '2026-11-02 10:00Z', '2026-11-03 10:00Z']::timestamptz[]) AS at
 WHERE email = 'r1@example.com';
INSERT INTO recipient_events (recipient_id, action, occurred_at, key)
SELECT id, 'email_clicked', '2026-11-02 10:01Z', '00000000-0000-4000-8000-0000000000e2'
  FROM campaign_recipients WHERE email = 'r1@example.com';

-- Records outcomes of campaign $1, all with one statement: recipients, activities, counters and the batch.
-- $2, $3: the batch and the claim under which it was worked on; null when only outcomes are owed.
-- $4 … $10: the outcomes, column by column: recipient, status, message id, error code, error, time, subject.
-- $11: what is pending in the batch's range is open to the next claim. $12: what its owner may have handed to
-- SES beyond the outcomes given is in doubt (the owner did not come back). $13: why the campaign is halted.
-- $14, $15: the refusal that every recipient of the campaign has met so far, and how many have.
-- $16, $17: the region whose SES said 'too fast', if it did, and the messages per second that it took in the end.
WITH campaign AS MATERIALIZED (
    SELECT created_by, name, status FROM campaigns WHERE id = $1
),
outcome AS MATERIALIZED (
    SELECT * FROM unnest($4, $5, $6, $7, $8, $9, $10)
        AS o (recipient_id, status, message_id, error_code, error, at, subject)
),
-- The fence: an outcome counts only where the life cycle allows it, so a replay changes nothing and `sent`
-- stays. Whatever follows looks at the rows that this very statement changed.
settled AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = o.status, message_id = coalesce(o.message_id, r.message_id),
           error_code = o.error_code, error = o.error,
           sent_at = CASE WHEN o.status = 'sent' THEN o.at END,
           uncertain_since = CASE WHEN o.status = 'uncertain' THEN now() END
      FROM outcome AS o
     WHERE r.id = o.recipient_id AND r.campaign_id = $1 AND recipient_may_become(r.status, o.status)
    RETURNING r.id, r.organization_id, r.customer_id, r.email, r.name, r.message_id, r.sent_at, o.subject,
              r.previous_status, r.status
),
-- What a lost invocation may have handed to SES and has no outcome for. Only what another one handed over: a
-- record of this that is repeated must not touch the batch when its new owner is sending it.
doubted AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = 'uncertain', uncertain_since = now(),
           error_code = 'lost_invocation',
           error = 'the invocation that was sending this email ended before it could record it'
      FROM campaign_batches AS b
     WHERE $12 AND b.id = $2 AND b.claim_token = $3 AND b.handed_by <> $3
       AND r.campaign_id = $1 AND r.position BETWEEN b.first_position AND b.handed_through
       AND r.status = 'pending' AND NOT EXISTS (SELECT FROM outcome AS o WHERE o.recipient_id = r.id)
    RETURNING r.previous_status, r.status
),
activity AS (
    -- The `email_sent` activities of the recipients that the statement's CTE `settled` made `sent`, of its `campaign`.
INSERT INTO activities (organization_id, user_id, entity_type, entity_id, action, description, metadata, source, source_ref, created_at)
SELECT s.organization_id::uuid, c.created_by::uuid,
       CASE WHEN s.customer_id IS NULL THEN 'email' ELSE 'customer' END::text,
       coalesce(s.customer_id, s.id)::uuid,
       'email_sent'::text,
       email_sent_description(s.email, s.name, s.subject)::text,
       email_sent_metadata(s.id, s.email, s.name, s.subject, $1, c.name,
                           s.message_id)::jsonb,
       'email'::text, s.id::text, s.sent_at
  FROM settled AS s CROSS JOIN campaign AS c
 WHERE s.status = 'sent'
),
change AS (
    SELECT count(*) FILTER (WHERE status = 'sent') - count(*) FILTER (WHERE previous_status = 'sent') AS sent,
           count(*) FILTER (WHERE status = 'failed') - count(*) FILTER (WHERE previous_status = 'failed') AS failed,
           count(*) FILTER (WHERE status = 'suppressed') AS suppressed,
           count(*) FILTER (WHERE status = 'uncertain')
               - count(*) FILTER (WHERE previous_status = 'uncertain') AS uncertain
      FROM (SELECT previous_status, status FROM settled
            UNION ALL SELECT previous_status, status FROM doubted) AS changed
),
batch AS (
    UPDATE campaign_batches AS b
       SET claim_token = NULL, lease_ends_at = NULL, handed_through = NULL, handed_by = NULL,
           closed_at = CASE WHEN $11 THEN NULL ELSE now() END,
           sent_count = b.sent_count + change.sent::int, failed_count = b.failed_count + change.failed::int
      FROM change
     WHERE b.id = $2 AND b.claim_token = $3 AND (b.handed_by <> $3 OR NOT $12)
    RETURNING b.id
),
noted AS (
    DELETE FROM campaign_batch_outcomes WHERE batch_id IN (SELECT id FROM batch)
),
slowed AS (
    UPDATE send_rates SET share = least(send_share(share, throttled_at), $17 / per_second), throttled_at = now()
     WHERE region = $16
),
streak AS (
    UPDATE campaign_cursors SET refusal = $14, refusal_count = $15
     WHERE campaign_id = $1 AND (refusal, refusal_count) IS DISTINCT FROM ($14, $15) AND $2 IS NOT NULL
    RETURNING 1
)
UPDATE campaigns AS c
   SET sent_count = c.sent_count + change.sent::int, failed_count = c.failed_count + change.failed::int,
       suppressed_count = c.suppressed_count + change.suppressed::int,
       uncertain_count = c.uncertain_count + change.uncertain::int,
       status = CASE WHEN halt.now THEN 'paused' ELSE c.status END,
       status_reason = CASE WHEN halt.now THEN $13 ELSE c.status_reason END
  FROM change, (SELECT $13 IS NOT NULL AND (status IN ('sending', 'scheduled') OR status = 'sent' AND $2 IS NULL) AS now
                  FROM campaign) AS halt
 -- Cursors are locked before campaigns everywhere, so that statements that meet do not deadlock.
 WHERE c.id = $1 AND (SELECT count(*) FROM streak) >= 0
RETURNING c.status, c.status_reason, c.total_count, c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count,
          -- Emails of these outcomes that are in the timeline: by this statement, or by an earlier one.
          (SELECT count(*) FROM settled WHERE status = 'sent')
          + (SELECT count(*) FROM outcome AS o JOIN campaign_recipients AS r ON r.id = o.recipient_id
              WHERE o.status = 'sent' AND r.status = 'sent'
                AND o.recipient_id NOT IN (SELECT id FROM settled)) AS activities

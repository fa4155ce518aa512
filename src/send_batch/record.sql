-- Records outcomes of campaign $1 with one statement: recipients, activities, counters and the batch.
-- $2, $3: the batch, and the token under which it was claimed; null if outcomes without a claim are recorded.
-- $4 … $10: the outcomes, column by column: recipient, status, message id, error code, error, time, subject.
-- $11: recipients of the batch's range that are still pending are open to the next claim.
-- $12: the owner is lost; with $18, recipients that it may have handed to SES and that have no outcome become uncertain.
-- $13: why the campaign is halted.
-- $14, $15: the refusal that every recipient of the campaign has met so far, and their number.
-- $16, $17: the region in which SES throttled, if it did, and the last rate in messages per second.
-- $18: these are all outcomes of the batch, and it is closed.
WITH campaign AS MATERIALIZED (
    SELECT created_by, name FROM campaigns WHERE id = $1
),
-- The batch of the outcomes. `held`: no other invocation has taken it over.
attempt AS MATERIALIZED (
    SELECT b.number, b.first_position, b.last_position, b.claim_token IS NOT DISTINCT FROM $3 AS held
      FROM campaign_batches AS b WHERE b.id = $2 AND b.campaign_id = $1
),
outcome AS MATERIALIZED (
    SELECT * FROM unnest($4, $5, $6, $7, $8, $9, $10)
        AS o (recipient_id, status, message_id, error_code, error, at, subject)
),
-- An outcome is recorded only if the life cycle allows it, so a replay changes nothing and `sent` stays. A message id is
-- evidence that SES accepted the message, and always counts: the recipient becomes `sent`, or `uncertain` with its message
-- id if the table refuses the activity. Any other outcome counts only if the recipient is still in the batch's range and
-- no newer batch has it too. The following CTEs look only at the rows that this statement changed.
updated AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = o.status, message_id = coalesce(o.message_id, r.message_id),
           error_code = o.error_code, error = o.error,
           sent_at = CASE WHEN o.status = 'sent' THEN o.at END,
           uncertain_since = CASE WHEN o.status <> 'uncertain' THEN NULL
                                  WHEN r.status = 'uncertain' THEN r.uncertain_since ELSE now() END
      FROM outcome AS o
     WHERE r.id = o.recipient_id AND r.campaign_id = $1
       AND recipient_may_become(r.status, CASE WHEN o.message_id IS NULL THEN o.status ELSE 'sent' END)
       AND (o.message_id IS NOT NULL
            OR r.position BETWEEN (SELECT first_position FROM attempt) AND (SELECT last_position FROM attempt)
               AND ((SELECT held FROM attempt)
                    OR NOT EXISTS (SELECT FROM campaign_batches AS n
                                    WHERE n.campaign_id = $1 AND n.number > (SELECT number FROM attempt)
                                      AND r.position BETWEEN n.first_position AND n.last_position)))
    RETURNING r.id, r.organization_id, r.customer_id, r.customer_ref, r.email, r.name, r.message_id, r.sent_at, o.subject,
              r.previous_status, r.status
),
-- Outcomes that changed no row, and why: the row is gone, it has that status already, or PostgreSQL discarded the
-- change of a row that is still `pending` (a trigger that returns NULL).
not_updated AS MATERIALIZED (
    SELECT o.status, r.status AS found, r.id IS NULL AS gone,
           r.status = 'pending'
           AND (o.message_id IS NOT NULL
                OR r.position BETWEEN (SELECT first_position FROM attempt) AND (SELECT last_position FROM attempt)
                   AND (SELECT held FROM attempt)) AS discarded
      FROM outcome AS o LEFT JOIN campaign_recipients AS r ON r.id = o.recipient_id AND r.campaign_id = $1
     WHERE o.status <> 'pending' AND NOT EXISTS (SELECT FROM updated AS s WHERE s.id = o.recipient_id)
),
-- Recipients that a lost invocation may have handed to SES and that have no outcome. Only the record of all outcomes ($18)
-- knows that they have none. `handed_by` is another invocation: a repeated record of a takeover must not touch the batch
-- while its new owner is sending it.
made_uncertain AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = 'uncertain', uncertain_since = now(),
           error_code = 'lost_invocation',
           error = 'the invocation that was sending this email ended before it could record it'
      FROM campaign_batches AS b
     WHERE $12 AND $18 AND b.id = $2 AND b.campaign_id = $1 AND b.claim_token = $3 AND b.handed_by <> $3
       AND r.campaign_id = $1 AND r.position BETWEEN b.first_position AND b.handed_through
       AND r.status = 'pending' AND NOT EXISTS (SELECT FROM outcome AS o WHERE o.recipient_id = r.id)
    RETURNING r.previous_status, r.status
),
-- Recipients that should have become uncertain, and whose change PostgreSQL discarded.
kept_pending AS MATERIALIZED (
    SELECT greatest(count(*) - (SELECT count(*) FROM made_uncertain), 0) AS count
      FROM campaign_batches AS b JOIN campaign_recipients AS r
           ON r.campaign_id = $1 AND r.position BETWEEN b.first_position AND b.handed_through AND r.status = 'pending'
     WHERE $12 AND $18 AND b.id = $2 AND b.campaign_id = $1 AND b.claim_token = $3 AND b.handed_by <> $3
       AND NOT EXISTS (SELECT FROM outcome AS o WHERE o.recipient_id = r.id)
),
discarded AS MATERIALIZED (
    SELECT (SELECT count(*) FROM not_updated WHERE discarded) + (SELECT count FROM kept_pending) AS count
),
activity AS (
    {email_sent}
),
change AS (
    SELECT count(*) FILTER (WHERE status = 'sent') - count(*) FILTER (WHERE previous_status = 'sent') AS sent,
           count(*) FILTER (WHERE status = 'failed') - count(*) FILTER (WHERE previous_status = 'failed') AS failed,
           count(*) FILTER (WHERE status = 'suppressed') AS suppressed,
           count(*) FILTER (WHERE status = 'uncertain')
               - count(*) FILTER (WHERE previous_status = 'uncertain') AS uncertain
      FROM (SELECT previous_status, status FROM updated
            UNION ALL SELECT previous_status, status FROM made_uncertain) AS changed
),
-- Only the holder of its claim closes the batch. If a change was discarded, the batch stays open with its mark, so that no
-- other invocation gets recipients that may be at SES. It also stays open if there are fewer outcomes than the claim had
-- recipients.
batch AS (
    UPDATE campaign_batches AS b
       SET claim_token = NULL, lease_ends_at = NULL, handed_through = NULL, handed_by = NULL,
           closed_at = CASE WHEN $11 THEN NULL ELSE now() END,
           sent_count = b.sent_count + change.sent::int, failed_count = b.failed_count + change.failed::int
      FROM change, discarded
     WHERE b.id = $2 AND b.campaign_id = $1 AND b.claim_token = $3 AND (b.handed_by <> $3 OR NOT $12)
       AND $18 AND discarded.count = 0
       AND ($12 OR b.claimed_count IS NULL
            OR b.claimed_count <= (SELECT count(DISTINCT recipient_id) FROM outcome))
    RETURNING b.id
),
noted AS (
    DELETE FROM campaign_batch_outcomes WHERE batch_id IN (SELECT id FROM batch)
),
slowed AS (
    UPDATE send_rates SET share = least(send_share(share, throttled_at), $17 / per_second), throttled_at = now()
     WHERE region = $16
),
-- The refusals in a row, and the lost invocations in a row.
streak AS (
    UPDATE campaign_cursors AS k
       SET refusal = CASE WHEN $12 THEN k.refusal ELSE $14 END, refusal_count = CASE WHEN $12 THEN k.refusal_count ELSE $15 END,
           lost_count = CASE WHEN $12 THEN k.lost_count + 1 ELSE 0 END, lost_at = CASE WHEN $12 THEN now() END
     WHERE k.campaign_id = $1 AND EXISTS (SELECT FROM batch)
       AND ($12 OR (k.refusal, k.refusal_count) IS DISTINCT FROM ($14, $15) OR k.lost_count > 0)
    RETURNING 1
)
-- (The update sees a status that another transaction changed a moment ago, so a person's `cancelled` outlasts a halt.)
UPDATE campaigns AS c
   SET sent_count = c.sent_count + change.sent::int, failed_count = c.failed_count + change.failed::int,
       suppressed_count = c.suppressed_count + change.suppressed::int,
       uncertain_count = c.uncertain_count + change.uncertain::int,
       status = CASE WHEN $13 IS NOT NULL AND (c.status IN ('sending', 'scheduled') OR c.status = 'sent' AND $2 IS NULL)
                     THEN 'paused' ELSE c.status END,
       status_reason = CASE WHEN $13 IS NOT NULL AND (c.status IN ('sending', 'scheduled') OR c.status = 'sent' AND $2 IS NULL)
                            THEN $13 ELSE c.status_reason END
  FROM change
 -- Cursors are locked before campaigns everywhere, so that concurrent statements do not deadlock.
 WHERE c.id = $1 AND (SELECT count(*) FROM streak) >= 0
RETURNING c.status, c.status_reason, c.total_count, c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count,
          -- Emails of these outcomes that are in the timeline, by this statement or by an earlier one.
          (SELECT count(*) FROM updated WHERE status = 'sent')
          + (SELECT count(*) FROM not_updated WHERE status = 'sent' AND found = 'sent') AS activities,
          (SELECT count FROM discarded) AS discarded,
          (SELECT count(*) FROM not_updated WHERE gone AND status = 'sent') AS gone

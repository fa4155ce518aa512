-- Records what SES says of recipients of any campaigns, all with one statement: recipients that it settles,
-- activities, suppressions and counters.
-- $1 … $15: the events, column by column; one row for each.
WITH event AS MATERIALIZED (
    SELECT e.recipient_id, e.campaign_id, e.status, e.message_id, e.accepted_at, e.occurred_at, e.subject,
           e.error_code, e.error, e.action, e.before, e.after, e.details, e.suppression,
           -- What tells the event from others of its recipient, action and time, in 16 bytes.
           encode(substr(sha256(convert_to(e.message_id || ' ' || e.key, 'UTF8')), 1, 16), 'hex')::uuid AS key
      FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        AS e (recipient_id, campaign_id, status, message_id, accepted_at, occurred_at, subject,
              error_code, error, action, key, before, after, details, suppression)
),
-- Both tags must fit: an event of a recipient that is gone, or of another sender's, finds nothing here.
known AS MATERIALIZED (
    SELECT e.*, r.organization_id, r.customer_id, r.email, r.name, c.name AS campaign_name, c.created_by,
           c.subject AS campaign_subject
      FROM event AS e
      JOIN campaign_recipients AS r ON r.id = e.recipient_id AND r.campaign_id = e.campaign_id
      JOIN campaigns AS c ON c.id = r.campaign_id
),
-- Rows are locked in one order everywhere, recipients first, then cursors, then campaigns: statements that meet
-- wait for each other and do not deadlock.
unsettled AS MATERIALIZED (
    SELECT r.id FROM campaign_recipients AS r
     WHERE r.id IN (SELECT recipient_id FROM known) AND r.status <> 'sent'
     ORDER BY r.campaign_id, r.position FOR NO KEY UPDATE
),
-- One word per recipient, whatever the order of its events: that it was sent outweighs that it failed.
word AS (
    SELECT DISTINCT ON (k.recipient_id) k.*
      FROM known AS k JOIN unsettled AS u ON u.id = k.recipient_id
     ORDER BY k.recipient_id, k.status = 'sent' DESC, k.subject IS NULL, k.accepted_at, k.message_id
),
-- The fence: a word counts only where the life cycle allows it, so what is repeated changes nothing and `sent`
-- stays. Whatever follows looks at the rows that this very statement changed.
settled AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = w.status,
           message_id = CASE WHEN w.status = 'sent' THEN w.message_id ELSE r.message_id END,
           error_code = w.error_code, error = w.error,
           sent_at = CASE WHEN w.status = 'sent' THEN w.accepted_at END, uncertain_since = NULL
      FROM word AS w
     WHERE r.id = w.recipient_id AND r.campaign_id = w.campaign_id AND recipient_may_become(r.status, w.status)
    RETURNING r.id, r.campaign_id, r.previous_status, r.status, r.sent_at,
              coalesce(w.subject, w.campaign_subject) AS subject
),
-- The events that were not recorded before. Two statements that bring the same one: the second waits for the
-- first, and has it then.
fresh AS (
    INSERT INTO recipient_events (recipient_id, action, occurred_at, key)
    SELECT DISTINCT k.recipient_id, k.action, k.occurred_at, k.key
      FROM known AS k WHERE k.action IS NOT NULL
     ORDER BY k.recipient_id, k.action, k.occurred_at, k.key
    ON CONFLICT DO NOTHING
    RETURNING recipient_id, action, occurred_at, key
),
entry AS (
    SELECT s.id, w.organization_id, w.created_by, w.customer_id, 'email_sent' AS action,
           email_sent_description(w.email, w.name, s.subject) AS description,
           email_sent_metadata(s.id, w.email, w.name, s.subject, w.campaign_id, w.campaign_name, w.message_id)
               AS metadata,
           s.sent_at AS at
      FROM settled AS s JOIN word AS w ON w.recipient_id = s.id
     WHERE s.status = 'sent'
    UNION ALL
    SELECT * FROM (
        SELECT DISTINCT ON (k.recipient_id, k.action, k.occurred_at, k.key)
               k.recipient_id, k.organization_id, k.created_by, k.customer_id, k.action,
               k.before || coalesce(nullif(btrim(k.name), ''), k.email) || k.after,
               jsonb_build_object(
                   'emailId', k.recipient_id, 'recipientEmail', k.email, 'campaignId', k.campaign_id,
                   'campaignName', k.campaign_name, 'messageId', k.message_id)
                   || CASE WHEN btrim(k.name) <> '' THEN jsonb_build_object('recipientName', k.name) ELSE '{}' END
                   || k.details,
               k.occurred_at
          FROM fresh AS f JOIN known AS k USING (recipient_id, action, occurred_at, key)
         ORDER BY k.recipient_id, k.action, k.occurred_at, k.key) AS of_events
),
activity AS (
    INSERT INTO {activities}
    SELECT e.organization_id::{type of organization_id}, e.created_by::{type of user_id},
           CASE WHEN e.customer_id IS NULL THEN 'email' ELSE 'customer' END::{type of entity_type},
           coalesce(e.customer_id, e.id)::{type of entity_id}, e.action::{type of action},
           e.description::{type of description}, e.metadata::{type of metadata},
           'email'::{type of source}, e.id::{type of source_ref}{activity_time: e.at}
      FROM entry AS e ORDER BY e.at
),
-- A reason only gets stronger; `manual` is a person's, and stays.
suppressed AS (
    INSERT INTO suppressions (organization_id, email, reason)
    SELECT DISTINCT ON (k.organization_id, lower(btrim(k.email)))
           k.organization_id, lower(btrim(k.email)), k.suppression
      FROM known AS k WHERE k.suppression IS NOT NULL
     ORDER BY k.organization_id, lower(btrim(k.email)), k.suppression = 'complaint' DESC
    ON CONFLICT (organization_id, email) DO UPDATE SET reason = excluded.reason
     WHERE excluded.reason = 'complaint' AND suppressions.reason IN ('bounce', 'unsubscribe')
    RETURNING 1
),
-- How far SES's word has come, by its own clock; an event from the future has come now.
hearing AS MATERIALIZED (
    SELECT c.campaign_id, least(h.at, now()) AS at
      FROM campaign_cursors AS c
      JOIN (SELECT campaign_id, max(occurred_at) AS at FROM known GROUP BY campaign_id) AS h
        ON h.campaign_id = c.campaign_id AND (c.last_event_at < least(h.at, now()) OR c.last_event_at IS NULL)
     WHERE (SELECT count(*) FROM settled) >= 0
     ORDER BY c.campaign_id FOR NO KEY UPDATE OF c
),
heard AS (
    UPDATE campaign_cursors AS c SET last_event_at = greatest(c.last_event_at, h.at)
      FROM hearing AS h WHERE h.campaign_id = c.campaign_id
    RETURNING 1
),
change AS MATERIALIZED (
    SELECT campaign_id,
           count(*) FILTER (WHERE status = 'sent') AS sent,
           count(*) FILTER (WHERE status = 'failed') - count(*) FILTER (WHERE previous_status = 'failed') AS failed,
           -count(*) FILTER (WHERE previous_status = 'uncertain') AS uncertain
      FROM settled GROUP BY campaign_id
),
counting AS MATERIALIZED (
    SELECT c.id FROM campaigns AS c
     WHERE c.id IN (SELECT campaign_id FROM change) AND (SELECT count(*) FROM heard) >= 0
     ORDER BY c.id FOR NO KEY UPDATE
),
counted AS (
    UPDATE campaigns AS c
       SET sent_count = c.sent_count + change.sent::int, failed_count = c.failed_count + change.failed::int,
           uncertain_count = c.uncertain_count + change.uncertain::int
      FROM counting JOIN change ON change.campaign_id = counting.id
     WHERE c.id = counting.id
)
SELECT (SELECT count(*) FROM known) AS known,
       (SELECT count(*) FROM settled WHERE status = 'sent') AS sent,
       (SELECT count(*) FROM settled WHERE status = 'failed') AS failed,
       (SELECT count(*) FROM entry) AS activities,
       (SELECT count(*) FROM suppressed) AS suppressed

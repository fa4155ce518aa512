-- Records what SES says of recipients of any campaigns, all with one statement: recipients that it settles,
-- activities, suppressions and counters.
-- $1 … $17: the events, column by column; one row for each.
WITH event AS MATERIALIZED (
    SELECT e.recipient_id, e.campaign_id, e.status, e.message_id, e.accepted_at, e.occurred_at, e.subject,
           e.error_code, e.error, e.action, e.in_timeline, e.before, e.after, e.details, e.suppression, e.feedback,
           -- What tells the event from others of its recipient, action and time, in 16 bytes.
           encode(substr(sha256(convert_to(e.message_id || ' ' || e.key, 'UTF8')), 1, 16), 'hex')::uuid AS key
      FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        AS e (recipient_id, campaign_id, status, message_id, accepted_at, occurred_at, subject,
              error_code, error, action, in_timeline, key, before, after, details, suppression, feedback)
),
-- Both tags must fit: an event of a recipient that is gone, or of another sender's, finds nothing here.
known AS MATERIALIZED (
    SELECT e.*, r.organization_id, r.customer_id, r.email, r.name, normalized_address(r.email) AS address,
           c.name AS campaign_name, c.created_by, c.subject AS campaign_subject
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
-- Joined once, before anything is asked of the columns: so PostgreSQL takes a hash join, however many there are.
told AS MATERIALIZED (
    SELECT k.* FROM fresh AS f JOIN known AS k USING (recipient_id, action, occurred_at, key)
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
          FROM told AS k WHERE k.in_timeline
         ORDER BY k.recipient_id, k.action, k.occurred_at, k.key) AS of_events
),
activity AS (
    INSERT INTO activities (organization_id, user_id, entity_type, entity_id, action, description, metadata, source, source_ref, created_at)
    SELECT e.organization_id::uuid, e.created_by::uuid,
           CASE WHEN e.customer_id IS NULL THEN 'email' ELSE 'customer' END::text,
           coalesce(e.customer_id, e.id)::uuid, e.action::text,
           e.description::text, e.metadata::jsonb,
           'email'::text, e.id::text, e.at
      FROM entry AS e ORDER BY e.at
),
-- What befell each address: messages that bounced transiently, and the last delivery.
address AS MATERIALIZED (
    SELECT k.organization_id, k.address AS email,
           coalesce(jsonb_object_agg(k.message_id, extract(epoch FROM k.occurred_at))
                    FILTER (WHERE k.feedback = 'soft_bounced'), '{}') AS bounces,
           max(k.occurred_at) FILTER (WHERE k.feedback = 'delivered') AS delivered_at
      FROM known AS k WHERE k.feedback IN ('soft_bounced', 'delivered') GROUP BY 1, 2
),
-- A delivery is noted only where there are bounces to outweigh. Two statements that bring bounces of one address:
-- the second waits for the first, and counts with its bounces.
soft_bounced AS (
    INSERT INTO soft_bounces AS b (organization_id, email, bounces, delivered_at)
    SELECT * FROM address AS a
     WHERE a.bounces <> '{}' OR EXISTS (
               SELECT FROM soft_bounces AS b WHERE b.organization_id = a.organization_id AND b.email = a.email)
     ORDER BY a.organization_id, a.email
    ON CONFLICT (organization_id, email) DO UPDATE
       SET bounces = newest_soft_bounces(b.bounces || excluded.bounces),
           delivered_at = greatest(b.delivered_at, excluded.delivered_at)
    RETURNING b.organization_id, b.email, b.bounces, b.delivered_at
),
unwanted AS (
    SELECT organization_id, address AS email, suppression AS reason FROM known WHERE suppression IS NOT NULL
    UNION ALL
    SELECT s.organization_id, s.email, 'bounce'
      FROM soft_bounced AS s JOIN address AS a USING (organization_id, email)
     WHERE a.bounces <> '{}' AND keeps_bouncing(s.bounces, s.delivered_at)
),
-- A reason only gets stronger.
suppressed AS (
    INSERT INTO suppressions AS s (organization_id, email, reason)
    SELECT DISTINCT ON (u.organization_id, u.email) u.organization_id, u.email, u.reason
      FROM unwanted AS u ORDER BY u.organization_id, u.email, suppression_strength(u.reason) DESC
    ON CONFLICT (organization_id, email) DO UPDATE SET reason = excluded.reason
     WHERE suppression_strength(excluded.reason) > suppression_strength(s.reason)
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
    RETURNING 1
),
-- What the guard counts of each campaign; an event counts once, however often it comes.
feedback AS (
    SELECT k.campaign_id, k.organization_id,
           count(DISTINCT k.recipient_id) FILTER (WHERE k.feedback = 'delivered') AS delivered,
           count(DISTINCT k.recipient_id) FILTER (WHERE k.feedback = 'bounced') AS bounced,
           count(DISTINCT k.recipient_id) FILTER (WHERE k.feedback = 'complained') AS complained
      FROM told AS k
     WHERE k.feedback IN ('delivered', 'bounced', 'complained')
     GROUP BY 1, 2
),
tally AS (
    INSERT INTO campaign_feedback AS t (campaign_id, organization_id, delivered, bounced, complained)
    SELECT f.campaign_id, f.organization_id, f.delivered, f.bounced, f.complained FROM feedback AS f
     WHERE (SELECT count(*) FROM counted) >= 0
     ORDER BY f.campaign_id
    ON CONFLICT (campaign_id) DO UPDATE
       SET delivered = t.delivered + excluded.delivered, bounced = t.bounced + excluded.bounced,
           complained = t.complained + excluded.complained
    RETURNING t.*
),
-- Whose rates may have risen: also when the events are repeated, for the guard may not have come to it then.
suspect AS (
    SELECT DISTINCT organization_id FROM known WHERE feedback IN ('bounced', 'complained')
),
-- The feedback of their campaigns of the last seven days that the guard has not judged yet.
unjudged AS (
    SELECT t.campaign_id, t.organization_id, t.first_at, t.delivered - t.judged_delivered AS delivered,
           t.bounced - t.judged_bounced AS bounced, t.complained - t.judged_complained AS complained
      FROM (SELECT * FROM tally
            UNION ALL
            SELECT * FROM campaign_feedback AS t WHERE t.campaign_id NOT IN (SELECT campaign_id FROM tally)) AS t
     WHERE t.organization_id IN (SELECT organization_id FROM suspect)
),
watched AS (
    SELECT jsonb_agg(jsonb_build_object(
               'campaignId', u.campaign_id, 'organizationId', u.organization_id, 'sending', c.status = 'sending',
               'recent', u.first_at > now() - interval '7 days',
               'delivered', u.delivered, 'bounced', u.bounced, 'complained', u.complained)) AS list
      FROM unjudged AS u JOIN campaigns AS c ON c.id = u.campaign_id
     WHERE u.first_at > now() - interval '7 days' OR c.status = 'sending'
)
SELECT (SELECT count(*) FROM known) AS known,
       (SELECT count(*) FROM settled WHERE status = 'sent') AS sent,
       (SELECT count(*) FROM settled WHERE status = 'failed') AS failed,
       (SELECT count(*) FROM entry) AS activities,
       (SELECT count(*) FROM suppressed) AS suppressed,
       (SELECT list::text FROM watched) AS watched

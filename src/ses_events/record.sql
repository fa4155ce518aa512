-- Records what SES says of recipients of any campaigns, all with one statement: recipients that it settles,
-- activities, suppressions and counters.
-- $1 … $20: the events, column by column; one row for each.
WITH event AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
        AS e (recipient_id, campaign_id, tagged_organization, destination, status, message_id, accepted_at,
              occurred_at, subject, error_code, error, action, in_timeline, key, made_by, before, after, details,
              suppression, feedback)
),
-- The recipient that the tags name, and whether the event fits it. What the event does not say (a tag, a
-- destination), or is not known of the recipient (the message id of one in doubt), contradicts nothing.
found AS MATERIALIZED (
    SELECT e.*, r.organization_id, r.customer_id, r.customer_ref, r.email, r.name, canonical_address(r.email) AS address,
           c.name AS campaign_name, c.created_by, c.subject AS campaign_subject,
           coalesce(e.tagged_organization = r.organization_id, true)
           AND coalesce(e.message_id = r.message_id, true)
           AND coalesce(e.destination = r.email OR canonical_address(r.email) IN (
                   SELECT canonical_address(d) FROM unnest(string_to_array(e.destination, E'\n')) AS d), true) AS fits
      FROM event AS e
      JOIN campaign_recipients AS r ON r.id = e.recipient_id AND r.campaign_id = e.campaign_id
      JOIN campaigns AS c ON c.id = r.campaign_id
),
-- The fence: what does not fit its recipient changes nothing.
known AS MATERIALIZED (
    SELECT * FROM found WHERE fits
),
-- Rows are locked in one order everywhere, recipients first, then cursors, then campaigns: statements that meet
-- wait for each other and do not deadlock.
unsettled AS MATERIALIZED (
    SELECT r.id, r.position, r.status = 'pending' AND r.previous_status IS NULL AS untouched
      FROM campaign_recipients AS r
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
-- Emails of which SES speaks and the database knows nothing: nobody has decided anything of the recipient since it was
-- added, and no batch that is open has handed it over. (A batch that is closed has left an outcome.) So the database has
-- lost what it had committed: a standby that was behind was promoted, a backup restored, or this is a copy.
lost AS MATERIALIZED (
    SELECT s.campaign_id, count(*) AS count
      FROM settled AS s JOIN unsettled AS u ON u.id = s.id
     WHERE u.untouched
       AND NOT EXISTS (SELECT FROM campaign_batches AS b
                        WHERE b.campaign_id = s.campaign_id AND b.closed_at IS NULL AND b.handed_by IS NOT NULL
                          AND b.first_position <= u.position AND u.position <= b.handed_through)
     GROUP BY s.campaign_id
),
-- The events of each kind of a recipient, without those that an earlier version has recorded.
kind AS (
    SELECT k.recipient_id, k.action, k.key, k.made_by, min(k.occurred_at) AS first,
           array_agg(DISTINCT k.occurred_at) AS times
      FROM known AS k
     WHERE k.action IS NOT NULL AND NOT EXISTS (
               SELECT FROM recipient_events AS e
                WHERE e.recipient_id = k.recipient_id AND e.action = k.action
                  AND e.occurred_at = k.occurred_at AND e.newest IS NULL)
     GROUP BY 1, 2, 3, 4
),
-- The first event of a kind is noted, further ones are counted, repeated ones change nothing. Two statements that
-- bring the same one: the second waits for the first, and has it then. (Of a row that was inserted xmax is 0.)
noted AS (
    INSERT INTO recipient_events AS e (recipient_id, action, key, made_by, occurred_at, count, newest)
    SELECT k.recipient_id, k.action, k.key, k.made_by, k.first, cardinality(k.times),
           CASE WHEN cardinality(k.times) = 1 THEN k.times ELSE newest_times(k.times) END
      FROM kind AS k ORDER BY k.recipient_id, k.action, k.key
    ON CONFLICT (recipient_id, action, key) DO UPDATE
       SET count = e.count + further_events(coalesce(e.newest, ARRAY[e.occurred_at]), excluded.occurred_at,
                                            excluded.newest, excluded.count),
           newest = newest_times(coalesce(e.newest, ARRAY[e.occurred_at]) || excluded.newest)
     WHERE further_events(coalesce(e.newest, ARRAY[e.occurred_at]), excluded.occurred_at,
                          excluded.newest, excluded.count) > 0
    RETURNING e.recipient_id, e.action, e.key, e.occurred_at, e.xmax = 0 AS is_first
),
-- The event of each new kind. Joined once, before anything is asked of the columns: so PostgreSQL takes a hash join,
-- however many there are.
told AS MATERIALIZED (
    SELECT DISTINCT ON (k.recipient_id, k.action, k.key) k.*
      FROM noted AS n JOIN known AS k USING (recipient_id, action, key, occurred_at)
     WHERE n.is_first
     ORDER BY k.recipient_id, k.action, k.key
),
entry AS (
    SELECT s.id, w.organization_id, w.created_by, w.customer_id, w.customer_ref, 'email_sent' AS action,
           email_sent_description(w.email, w.name, s.subject) AS description,
           email_sent_metadata(s.id, w.email, w.name, s.subject, w.campaign_id, w.campaign_name, w.message_id)
               AS metadata,
           s.sent_at AS at
      FROM settled AS s JOIN word AS w ON w.recipient_id = s.id
     WHERE s.status = 'sent'
    UNION ALL
    SELECT k.recipient_id, k.organization_id, k.created_by, k.customer_id, k.customer_ref, k.action,
           k.before || coalesce(nullif(btrim(k.name), ''), k.email) || k.after,
           jsonb_build_object(
               'emailId', k.recipient_id, 'recipientEmail', k.email, 'campaignId', k.campaign_id,
               'campaignName', k.campaign_name, 'messageId', k.message_id)
               || CASE WHEN btrim(k.name) <> '' THEN jsonb_build_object('recipientName', k.name) ELSE '{}' END
               || k.details,
           k.occurred_at
      FROM told AS k WHERE k.in_timeline
),
activity AS (
    INSERT INTO {activities}
    SELECT e.organization_id::{type of organization_id}, e.created_by::{type of user_id},
           CASE WHEN e.customer_id IS NULL THEN 'email' ELSE 'customer' END::{type of entity_type},
           coalesce(e.customer_id, e.id)::{type of entity_id}, e.action::{type of action},
           {description: e.description}::{type of description},
           (e.metadata
            || CASE WHEN e.customer_ref IS NULL THEN '{}' ELSE jsonb_build_object('customerRef', e.customer_ref) END
           )::{type of metadata},
           'email'::{type of source}, e.id::{type of source_ref}{activity_time: e.at}{entity_ref: e.customer_ref}
      FROM entry AS e ORDER BY e.at
),
-- Recipients whose email was delivered, by this batch or an earlier one: a transient bounce of such an email is an
-- automatic reply.
delivered AS MATERIALIZED (
    SELECT k.recipient_id FROM known AS k WHERE k.feedback = 'delivered'
    UNION
    SELECT e.recipient_id FROM recipient_events AS e
     WHERE e.action = 'email_delivered'
       AND e.recipient_id IN (SELECT recipient_id FROM known WHERE feedback = 'soft_bounced')
),
-- What befell each address: messages that bounced transiently (null: and were delivered), the last delivery, and
-- whether it is suppressed for something else in this batch.
address AS MATERIALIZED (
    SELECT k.organization_id, k.address AS email,
           coalesce(jsonb_object_agg(k.message_id, CASE WHEN d.recipient_id IS NULL
                                                        THEN extract(epoch FROM k.occurred_at) END)
                    FILTER (WHERE k.feedback IN ('soft_bounced', 'delivered')), '{}') AS bounces,
           coalesce(bool_or(k.feedback = 'soft_bounced' AND d.recipient_id IS NULL), false) AS bounced,
           max(k.occurred_at) FILTER (WHERE k.feedback = 'delivered') AS delivered_at,
           bool_or(k.suppression IS NOT NULL) AS is_unwanted
      FROM known AS k LEFT JOIN delivered AS d ON d.recipient_id = k.recipient_id
     WHERE k.feedback IN ('soft_bounced', 'delivered') OR k.suppression IS NOT NULL
     GROUP BY 1, 2
),
-- Deliveries are noted only where there are bounces to outweigh. Two statements that bring bounces of one address:
-- the second waits for the first, and counts with its bounces.
soft_bounced AS (
    INSERT INTO soft_bounces AS b (organization_id, email, bounces, delivered_at, suppressed_at)
    SELECT a.organization_id, a.email, a.bounces, a.delivered_at,
           CASE WHEN a.is_unwanted THEN 'infinity'
                WHEN keeps_bouncing(a.bounces, a.delivered_at) AND s.email IS NULL THEN now() END
      FROM address AS a
      LEFT JOIN suppressions AS s ON s.organization_id = a.organization_id AND s.email = a.email
     WHERE a.bounced OR EXISTS (
               SELECT FROM soft_bounces AS b WHERE b.organization_id = a.organization_id AND b.email = a.email)
     ORDER BY a.organization_id, a.email
    ON CONFLICT (organization_id, email) DO UPDATE
       SET bounces = newest_soft_bounces(b.bounces || excluded.bounces),
           delivered_at = greatest(b.delivered_at, excluded.delivered_at),
           suppressed_at = CASE
               WHEN excluded.suppressed_at = 'infinity' THEN excluded.suppressed_at
               WHEN keeps_bouncing(newest_soft_bounces(b.bounces || excluded.bounces),
                                   greatest(b.delivered_at, excluded.delivered_at))
                    AND NOT EXISTS (SELECT FROM suppressions AS s
                                     WHERE s.organization_id = b.organization_id AND s.email = b.email) THEN now()
               ELSE b.suppressed_at END
    RETURNING b.organization_id, b.email, b.bounces, b.delivered_at, b.suppressed_at
),
unwanted AS (
    SELECT organization_id, address AS email, suppression AS reason FROM known WHERE suppression IS NOT NULL
    UNION ALL
    SELECT s.organization_id, s.email, 'bounce'
      FROM soft_bounced AS s JOIN address AS a USING (organization_id, email)
     WHERE a.bounced AND keeps_bouncing(s.bounces, s.delivered_at)
),
-- Deliveries that are reported after the bounces take back what these have done.
taken_back AS MATERIALIZED (
    SELECT take_back_soft_suppression(s.organization_id, s.email) AS done
      FROM soft_bounced AS s JOIN address AS a USING (organization_id, email)
     WHERE a.delivered_at IS NOT NULL AND s.suppressed_at < 'infinity'
       AND NOT keeps_bouncing(s.bounces, s.delivered_at)
),
-- A reason only gets stronger. A bounce after an unsubscription is noted beside it, and holds when that is taken back.
suppressed AS (
    INSERT INTO suppressions AS s (organization_id, email, reason)
    SELECT DISTINCT ON (u.organization_id, u.email) u.organization_id, u.email, u.reason
      FROM unwanted AS u ORDER BY u.organization_id, u.email, suppression_strength(u.reason) DESC
    ON CONFLICT (organization_id, email) DO UPDATE
       SET reason = CASE WHEN excluded.reason = 'bounce' THEN s.reason ELSE excluded.reason END,
           outweighs_bounce = excluded.reason = 'bounce'
     WHERE suppression_strength(excluded.reason) > suppression_strength(s.reason)
        OR excluded.reason = 'bounce' AND s.reason = 'unsubscribe' AND NOT s.outweighs_bounce
    RETURNING NOT s.outweighs_bounce AS is_new
),
-- How far SES's reports of what it accepts have come, by its own clock; an event from the future has come now. Only
-- Send and Delivery show that: a configuration set that publishes bounces or opens alone says nothing of most emails.
hearing AS MATERIALIZED (
    SELECT c.campaign_id, least(h.at, now()) AS at
      FROM campaign_cursors AS c
      JOIN (SELECT campaign_id, max(occurred_at) AS at FROM known
             WHERE feedback IN ('accepted', 'delivered') GROUP BY campaign_id) AS h
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
           uncertain_count = c.uncertain_count + change.uncertain::int,
           -- What else the database has lost nobody knows: it is not sent again before a person has looked.
           (status, status_reason) = (
               SELECT CASE WHEN stops THEN 'paused' ELSE c.status END,
                      CASE WHEN stops OR lost.count > 0 AND c.status = 'paused' AND c.status_reason IS NULL
                           THEN format('the database has lost what it had committed: Amazon SES reports %s emails that '
                                       'it never handed over. Follow docs/restore.md before you resume', lost.count)
                           ELSE c.status_reason END
                 FROM (SELECT lost.count > 0 AND c.status IN ('scheduled', 'sending') AS stops) AS stop)
      FROM counting JOIN change ON change.campaign_id = counting.id
      LEFT JOIN lost ON lost.campaign_id = counting.id
     WHERE c.id = counting.id
    RETURNING 1
),
-- What the guard counts of each campaign: each email once for each of these, for all events of one of them are of one
-- kind.
feedback AS (
    SELECT k.campaign_id, k.organization_id,
           count(*) FILTER (WHERE k.feedback = 'delivered') AS delivered,
           count(*) FILTER (WHERE k.feedback = 'bounced') AS bounced,
           count(*) FILTER (WHERE k.feedback = 'complained') AS complained,
           count(*) FILTER (WHERE k.feedback = 'rejected') AS rejected
      FROM told AS k
     WHERE k.feedback IN ('delivered', 'bounced', 'complained', 'rejected')
     GROUP BY 1, 2
),
tally AS (
    INSERT INTO campaign_feedback AS t (campaign_id, organization_id, delivered, bounced, complained, rejected)
    SELECT f.campaign_id, f.organization_id, f.delivered, f.bounced, f.complained, f.rejected FROM feedback AS f
     WHERE (SELECT count(*) FROM counted) >= 0
     ORDER BY f.campaign_id
    ON CONFLICT (campaign_id) DO UPDATE
       SET delivered = t.delivered + excluded.delivered, bounced = t.bounced + excluded.bounced,
           complained = t.complained + excluded.complained, rejected = t.rejected + excluded.rejected
    RETURNING t.*
),
-- Whose rates may have risen: also when the events are repeated, for the guard may not have come to it then.
suspect AS (
    SELECT DISTINCT organization_id FROM known WHERE feedback IN ('bounced', 'complained', 'rejected')
),
-- The feedback of their campaigns of the last seven days that the guard has not judged yet.
unjudged AS (
    SELECT t.campaign_id, t.organization_id, t.first_at, t.delivered - t.judged_delivered AS delivered,
           t.bounced - t.judged_bounced AS bounced, t.complained - t.judged_complained AS complained,
           t.rejected - t.judged_rejected AS rejected
      FROM (SELECT * FROM tally
            UNION ALL
            SELECT * FROM campaign_feedback AS t WHERE t.campaign_id NOT IN (SELECT campaign_id FROM tally)) AS t
     WHERE t.organization_id IN (SELECT organization_id FROM suspect)
),
watched AS (
    SELECT jsonb_agg(jsonb_build_object(
               'campaignId', u.campaign_id, 'organizationId', u.organization_id, 'sending', c.status = 'sending',
               'recent', u.first_at > now() - interval '7 days',
               'delivered', u.delivered, 'bounced', u.bounced, 'complained', u.complained,
               'rejected', u.rejected)) AS list
      FROM unjudged AS u JOIN campaigns AS c ON c.id = u.campaign_id
     WHERE u.first_at > now() - interval '7 days' OR c.status = 'sending'
),
-- The campaigns of which emails were rejected, for the log.
rejected AS (
    SELECT jsonb_agg(jsonb_build_object(
               'campaignId', f.campaign_id, 'count', f.rejected, 'total', t.rejected, 'reason', e.error)) AS list
      FROM feedback AS f JOIN tally AS t USING (campaign_id)
      JOIN (SELECT campaign_id, min(error) AS error FROM told WHERE feedback = 'rejected' GROUP BY 1) AS e
           USING (campaign_id)
)
SELECT (SELECT count(*) FROM found) AS found,
       (SELECT count(*) FROM known) AS known,
       (SELECT count(*) FROM settled WHERE status = 'sent') AS sent,
       (SELECT count(*) FROM settled WHERE status = 'failed') AS failed,
       (SELECT count(*) FROM entry) AS activities,
       (SELECT count(*) FROM suppressed WHERE is_new) AS suppressed,
       (SELECT count(*) FROM taken_back WHERE done) AS taken_back,
       (SELECT jsonb_agg(jsonb_build_object('campaignId', campaign_id, 'count', count))::text FROM lost) AS lost,
       (SELECT list::text FROM watched) AS watched,
       (SELECT list::text FROM rejected) AS rejected

-- Records SES's events of recipients of any campaigns with one statement: recipients that they settle, activities,
-- suppressions and counters. $1 … $20: the events, column by column; one row for each. $21: domains whose provider reports
-- no complaints.
WITH event AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
        AS e (recipient_id, campaign_id, tagged_organization, destination, status, message_id, accepted_at,
              occurred_at, subject, error_code, error, action, in_timeline, key, made_by, before, after, details,
              suppression, feedback)
),
-- The recipient that the tags name, and whether the event fits it. A value that the event lacks (a tag, a
-- destination) or the recipient lacks (the message id of an uncertain one) is no contradiction.
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
-- An event that does not fit its recipient changes nothing.
known AS MATERIALIZED (
    SELECT * FROM found WHERE fits
),
-- Rows are locked in one order everywhere, recipients first, then cursors, then campaigns: statements that meet
-- wait for each other and do not deadlock.
unsent AS MATERIALIZED (
    SELECT r.id, r.position, r.status = 'pending' AND r.previous_status IS NULL AS untouched
      FROM campaign_recipients AS r
     WHERE r.id IN (SELECT recipient_id FROM known) AND r.status <> 'sent'
     ORDER BY r.campaign_id, r.position FOR NO KEY UPDATE
),
-- One status per recipient, whatever the order of its events: `sent` outweighs `failed`.
new_status AS (
    SELECT DISTINCT ON (k.recipient_id) k.*
      FROM known AS k JOIN unsent AS u ON u.id = k.recipient_id
     ORDER BY k.recipient_id, k.status = 'sent' DESC, k.subject IS NULL, k.accepted_at, k.message_id
),
-- A status is set only where the life cycle allows it, so repeated events change nothing and `sent` stays. The
-- following CTEs look at the rows that this statement changed.
updated AS (
    UPDATE campaign_recipients AS r
       SET previous_status = r.status, status = w.status,
           message_id = CASE WHEN w.status = 'sent' THEN w.message_id ELSE r.message_id END,
           error_code = w.error_code, error = w.error,
           sent_at = CASE WHEN w.status = 'sent' THEN w.accepted_at END, uncertain_since = NULL
      FROM new_status AS w
     WHERE r.id = w.recipient_id AND r.campaign_id = w.campaign_id AND recipient_may_become(r.status, w.status)
    RETURNING r.id, r.campaign_id, r.previous_status, r.status, r.sent_at,
              coalesce(w.subject, w.campaign_subject) AS subject
),
-- Emails that SES reports and the database does not know: no decision has touched the recipient since it was added,
-- and no open batch has handed it over. (A closed batch has left an outcome.) So the database has lost data: a
-- standby that was behind was promoted, a backup was restored, or this is a copy.
lost AS MATERIALIZED (
    SELECT s.campaign_id, count(*) AS count
      FROM updated AS s JOIN unsent AS u ON u.id = s.id
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
-- The first event of a kind is inserted, further events are counted, repeated events change nothing. If two
-- statements bring the same event, the second waits for the first and then finds its row. (xmax is 0 in an inserted
-- row.)
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
-- The event of each new kind. It is joined once, before any condition on its columns, so that PostgreSQL uses a hash
-- join for any number of events.
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
      FROM updated AS s JOIN new_status AS w ON w.recipient_id = s.id
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
      FROM entry AS e ORDER BY e.at, e.action <> 'email_sent'
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
-- The feedback of each address: messages that bounced transiently (null: and were delivered), the last delivery, and
-- whether this batch suppresses it for another reason.
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
-- Deliveries are stored only if there are bounces to outweigh. If two statements bring bounces of one address, the
-- second waits for the first and counts its bounces too.
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
-- Deliveries that are reported after the bounces take back the suppressions that these have caused.
taken_back AS MATERIALIZED (
    SELECT take_back_soft_suppression(s.organization_id, s.email) AS done
      FROM soft_bounced AS s JOIN address AS a USING (organization_id, email)
     WHERE a.delivered_at IS NOT NULL AND s.suppressed_at < 'infinity'
       AND NOT keeps_bouncing(s.bounces, s.delivered_at)
),
-- A reason is only replaced by a stronger one. A bounce after an unsubscription is noted beside it, and holds when the
-- unsubscription is taken back.
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
-- The time up to which SES has reported on emails that it accepted, by SES's own clock; an event from the future
-- counts as now. Only Send and Delivery count, because a configuration set that publishes only bounces or opens
-- reports nothing on most emails.
older AS MATERIALIZED (
    SELECT c.campaign_id, least(h.at, now()) AS at
      FROM campaign_cursors AS c
      JOIN (SELECT campaign_id, max(occurred_at) AS at FROM known
             WHERE feedback IN ('accepted', 'delivered') GROUP BY campaign_id) AS h
        ON h.campaign_id = c.campaign_id AND (c.last_event_at < least(h.at, now()) OR c.last_event_at IS NULL)
     WHERE (SELECT count(*) FROM updated) >= 0
     ORDER BY c.campaign_id FOR NO KEY UPDATE OF c
),
reported AS (
    UPDATE campaign_cursors AS c SET last_event_at = greatest(c.last_event_at, h.at)
      FROM older AS h WHERE h.campaign_id = c.campaign_id
    RETURNING 1
),
change AS MATERIALIZED (
    SELECT campaign_id,
           count(*) FILTER (WHERE status = 'sent') AS sent,
           count(*) FILTER (WHERE status = 'failed') - count(*) FILTER (WHERE previous_status = 'failed') AS failed,
           -count(*) FILTER (WHERE previous_status = 'uncertain') AS uncertain
      FROM updated GROUP BY campaign_id
),
counting AS MATERIALIZED (
    SELECT c.id FROM campaigns AS c
     WHERE c.id IN (SELECT campaign_id FROM change) AND (SELECT count(*) FROM reported) >= 0
     ORDER BY c.id FOR NO KEY UPDATE
),
counted AS (
    UPDATE campaigns AS c
       SET sent_count = c.sent_count + change.sent::int, failed_count = c.failed_count + change.failed::int,
           uncertain_count = c.uncertain_count + change.uncertain::int,
           -- Nobody knows what else the database has lost, so nothing is sent again before a person has looked.
           (status, status_reason) = (
               SELECT CASE WHEN stops THEN 'paused' ELSE c.status END,
                      CASE WHEN stops OR lost.count > 0 AND c.status = 'paused' AND c.status_reason IS NULL
                           THEN format('the database has lost what it had committed: Amazon SES reports %s that it never '
                                       'handed over. Follow docs/restore.md before you resume',
                                       lost.count || CASE lost.count WHEN 1 THEN ' email' ELSE ' emails' END)
                           ELSE c.status_reason END
                 FROM (SELECT lost.count > 0 AND c.status IN ('scheduled', 'sending') AS stops) AS stop)
      FROM counting JOIN change ON change.campaign_id = counting.id
      LEFT JOIN lost ON lost.campaign_id = counting.id
     WHERE c.id = counting.id
    RETURNING 1
),
-- What a recipient has done for the first time, if there are several kinds of events for it. If two statements bring
-- such events, the second waits for the first and finds it done.
firsts AS (
    INSERT INTO recipient_firsts (recipient_id, what)
    SELECT DISTINCT t.recipient_id,
           CASE WHEN t.action = 'email_bounced' THEN 'bounced_softly'
                WHEN t.made_by = 'machine' THEN 'clicked_by_machines' ELSE 'clicked_by_people' END AS what
      FROM told AS t
     WHERE t.action = 'email_bounced' AND t.made_by IS NULL AND t.feedback IS DISTINCT FROM 'bounced'
        OR t.action = 'email_clicked' AND (t.made_by = 'machine' OR t.made_by IS NULL)
     ORDER BY t.recipient_id, what
    ON CONFLICT DO NOTHING
    RETURNING recipient_id, what
),
-- The counts of each campaign; each email counts once in each of them. All events of a kind count once, and a kind
-- that is not among the firsts is the only one of its count.
happened AS (
    SELECT t.campaign_id, t.organization_id,
           t.feedback = 'delivered' AND substring(t.address FROM '[^@]*$') = ANY ($21) AS without_feedback,
           CASE WHEN t.feedback IN ('delivered', 'bounced', 'complained', 'rejected') THEN t.feedback
                WHEN t.made_by = 'ses' THEN 'withheld'
                WHEN t.action = 'email_opened'
                THEN CASE t.made_by WHEN 'machine' THEN 'opened_by_machines' WHEN 'apple' THEN 'opened_by_apple'
                                    ELSE 'opened_by_people' END END AS what
      FROM told AS t
    UNION ALL
    SELECT k.campaign_id, k.organization_id, false, f.what
      FROM firsts AS f
      JOIN (SELECT DISTINCT recipient_id, campaign_id, organization_id FROM told) AS k USING (recipient_id)
),
feedback AS (
    SELECT h.campaign_id, h.organization_id,
           count(*) FILTER (WHERE h.what = 'delivered') AS delivered,
           count(*) FILTER (WHERE h.without_feedback) AS without_feedback,
           count(*) FILTER (WHERE h.what = 'bounced') AS bounced,
           count(*) FILTER (WHERE h.what = 'bounced_softly') AS bounced_softly,
           count(*) FILTER (WHERE h.what = 'withheld') AS withheld,
           count(*) FILTER (WHERE h.what = 'complained') AS complained,
           count(*) FILTER (WHERE h.what = 'rejected') AS rejected,
           count(*) FILTER (WHERE h.what = 'opened_by_people') AS opened_by_people,
           count(*) FILTER (WHERE h.what = 'opened_by_machines') AS opened_by_machines,
           count(*) FILTER (WHERE h.what = 'opened_by_apple') AS opened_by_apple,
           count(*) FILTER (WHERE h.what = 'clicked_by_people') AS clicked_by_people,
           count(*) FILTER (WHERE h.what = 'clicked_by_machines') AS clicked_by_machines
      FROM happened AS h
     WHERE h.what IS NOT NULL
     GROUP BY 1, 2
),
tally AS (
    INSERT INTO campaign_feedback AS t (
        campaign_id, organization_id, delivered, without_feedback, bounced, bounced_softly, withheld, complained, rejected,
        opened_by_people, opened_by_machines, opened_by_apple, clicked_by_people, clicked_by_machines)
    SELECT f.campaign_id, f.organization_id, f.delivered, f.without_feedback, f.bounced, f.bounced_softly, f.withheld, f.complained,
           f.rejected, f.opened_by_people, f.opened_by_machines, f.opened_by_apple, f.clicked_by_people,
           f.clicked_by_machines
      FROM feedback AS f
     WHERE (SELECT count(*) FROM counted) >= 0
     ORDER BY f.campaign_id
    ON CONFLICT (campaign_id) DO UPDATE
       SET delivered = t.delivered + excluded.delivered,
           without_feedback = t.without_feedback + excluded.without_feedback, bounced = t.bounced + excluded.bounced,
           bounced_softly = t.bounced_softly + excluded.bounced_softly, withheld = t.withheld + excluded.withheld,
           complained = t.complained + excluded.complained, rejected = t.rejected + excluded.rejected,
           opened_by_people = t.opened_by_people + excluded.opened_by_people,
           opened_by_machines = t.opened_by_machines + excluded.opened_by_machines,
           opened_by_apple = t.opened_by_apple + excluded.opened_by_apple,
           clicked_by_people = t.clicked_by_people + excluded.clicked_by_people,
           clicked_by_machines = t.clicked_by_machines + excluded.clicked_by_machines
    RETURNING t.*
),
-- The clicks by link: each recipient once for people, and once for machines.
clicked AS (
    SELECT t.campaign_id, coalesce(t.details->>'link', '') AS link,
           count(*) FILTER (WHERE t.made_by IS NULL) AS by_people,
           count(*) FILTER (WHERE t.made_by = 'machine') AS by_machines
      FROM told AS t WHERE t.action = 'email_clicked' AND (t.made_by = 'machine' OR t.made_by IS NULL)
     GROUP BY 1, 2
),
-- A campaign has 1,000 links at most. Further ones are counted together.
bounded AS (
    SELECT c.campaign_id, CASE WHEN l.key IS NOT NULL
                                    OR row_number() OVER (PARTITION BY c.campaign_id, l.key IS NULL ORDER BY c.link) <=
                                       1000 - (SELECT count(*) FROM campaign_links AS n WHERE n.campaign_id = c.campaign_id)
                               THEN c.link ELSE '' END AS link, c.by_people, c.by_machines
      FROM clicked AS c
      LEFT JOIN campaign_links AS l ON l.campaign_id = c.campaign_id AND l.key = md5(c.link)::uuid
),
linked AS (
    INSERT INTO campaign_links AS l (campaign_id, key, link, clicked_by_people, clicked_by_machines)
    SELECT b.campaign_id, md5(b.link)::uuid, b.link, sum(b.by_people), sum(b.by_machines)
      FROM bounded AS b WHERE (SELECT count(*) FROM tally) >= 0
     GROUP BY b.campaign_id, b.link ORDER BY b.campaign_id, b.link
    ON CONFLICT (campaign_id, key) DO UPDATE
       SET clicked_by_people = l.clicked_by_people + excluded.clicked_by_people,
           clicked_by_machines = l.clicked_by_machines + excluded.clicked_by_machines
),
-- The campaigns whose rates may have risen, also by repeated events, because the guard may not have judged them the
-- first time.
suspect AS (
    SELECT DISTINCT organization_id FROM known WHERE feedback IN ('bounced', 'complained', 'rejected')
),
-- The feedback of their campaigns of the last seven days that the guard has not judged yet.
unjudged AS (
    SELECT t.campaign_id, t.organization_id, t.first_at, t.delivered - t.judged_delivered AS delivered,
           t.without_feedback - t.judged_without_feedback AS without_feedback,
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
               'delivered', u.delivered, 'withoutFeedback', u.without_feedback, 'bounced', u.bounced, 'complained', u.complained,
               'rejected', u.rejected)) AS list
      FROM unjudged AS u JOIN campaigns AS c ON c.id = u.campaign_id
     WHERE u.first_at > now() - interval '7 days' OR c.status = 'sending'
),
-- The campaigns with rejected emails, for the log.
rejected AS (
    SELECT jsonb_agg(jsonb_build_object(
               'campaignId', f.campaign_id, 'count', f.rejected, 'total', t.rejected, 'reason', e.error)) AS list
      FROM feedback AS f JOIN tally AS t USING (campaign_id)
      JOIN (SELECT campaign_id, min(error) AS error FROM told WHERE feedback = 'rejected' GROUP BY 1) AS e
           USING (campaign_id)
)
SELECT (SELECT count(*) FROM found) AS found,
       (SELECT count(*) FROM known) AS known,
       (SELECT count(*) FROM updated WHERE status = 'sent') AS sent,
       (SELECT count(*) FROM updated WHERE status = 'failed') AS failed,
       (SELECT count(*) FROM entry) AS activities,
       (SELECT count(*) FROM suppressed WHERE is_new) AS suppressed,
       (SELECT count(*) FROM taken_back WHERE done) AS taken_back,
       (SELECT jsonb_agg(jsonb_build_object('campaignId', campaign_id, 'count', count))::text FROM lost) AS lost,
       (SELECT list::text FROM watched) AS watched,
       (SELECT list::text FROM rejected) AS rejected

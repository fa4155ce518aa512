-- One campaign with its templates: $1, or the one that is most due and not in $2. $3: the activities table to
-- describe, or null if it is known already.
WITH due AS MATERIALIZED (
    SELECT * FROM ({due}) AS due WHERE $1 IS NULL
),
chosen AS MATERIALIZED (
    SELECT c.id FROM campaigns AS c WHERE c.id = $1
    UNION ALL
    -- The campaign that has been due longest comes first.
    (SELECT id FROM due WHERE NOT rests ORDER BY later, since, id LIMIT 1)
),
campaign AS MATERIALIZED (
    SELECT c.*, templates_hash(c.subject, c.html, c.text, c.variables) AS hash
      FROM chosen JOIN campaigns AS c ON c.id = chosen.id
),
-- Reading templates that no invocation has survived yet is an attempt: if this invocation is lost, ticks skip the
-- campaign for a while.
attempt AS (
    INSERT INTO campaign_attempts AS a (campaign_id, attempts, retry_at)
    SELECT c.id, 1, now() + interval '1 minute'
      FROM campaign AS c LEFT JOIN campaign_cursors AS k ON k.campaign_id = c.id
     WHERE $1 IS NULL AND c.status IN ('scheduled', 'sending') AND k.templates_hash IS DISTINCT FROM c.hash
    ON CONFLICT (campaign_id) DO UPDATE
       SET attempts = a.attempts + 1, retry_at = now() + rest_after(a.attempts + 2)
    RETURNING campaign_id
)
SELECT c.id, c.organization_id, c.name, c.status, c.from_address,
       -- The array may have any dimensions; null elements are left out.
       ARRAY(SELECT address FROM unnest(c.reply_to) AS address WHERE address IS NOT NULL) AS reply_to,
       c.subject, c.html, c.text,
       c.variables::text AS variables, c.configuration_set, c.transactional, c.hash,
       c.link_parameters::text AS link_parameters, c.track_opens, c.track_clicks,
       (SELECT o.ses_tenant FROM organization_settings AS o WHERE o.organization_id = c.organization_id) AS ses_tenant,
       -- A hash of the files, made from the versions of their rows.
       (SELECT md5(string_agg(f.file_name || f.ctid::text || f.xmin::text, ' ' ORDER BY f.file_name))
          FROM campaign_attachments AS f WHERE f.campaign_id = c.id) AS attachments,
       c.status = 'sending' OR c.status = 'scheduled' AND coalesce(c.scheduled_at <= now(), false)
           OR c.status = 'sent'
              AND coalesce((SELECT r.position FROM campaign_recipients AS r WHERE r.campaign_id = c.id
                             ORDER BY r.position DESC LIMIT 1)
                           > (SELECT k.completed_through FROM campaign_cursors AS k WHERE k.campaign_id = c.id), false)
              AS sendable,
       c.status = 'scheduled' AND c.scheduled_at IS NULL AS unscheduled,
       -- A reason stays until the first claim after a person has set the status.
       c.status = 'sending' AND c.status_reason IS NOT NULL AND c.uncertain_count > 0 AS resumed_with_uncertain,
       c.status_reason, c.total_count, c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count,
       CASE WHEN $3 IS NOT NULL THEN ({catalogue})::text END AS activities,
       EXISTS (SELECT FROM attempt) AS attempted,
       due.resting
  FROM (SELECT array_agg(id ORDER BY id) AS resting FROM due WHERE rests) AS due
  LEFT JOIN campaign AS c ON true

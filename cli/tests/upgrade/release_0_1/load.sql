-- One campaign with its templates: $1, or the one that is most due, which is none of $2.
-- $3: the activities table to describe, or null when that is known already.
WITH chosen AS (
    SELECT c.id FROM campaigns AS c WHERE c.id = $1
    UNION ALL
    -- Due: scheduled and its time has come; sending, and no invocation holds a lease; or sent, and recipients
    -- were added in the day since. The longest due goes first.
    (SELECT c.id
       FROM campaigns AS c LEFT JOIN campaign_cursors AS k ON k.campaign_id = c.id
      WHERE $1 IS NULL AND c.id <> ALL ($2)
        AND (c.status = 'scheduled' AND c.scheduled_at <= now()
          OR c.status = 'sending' AND NOT EXISTS (
                 SELECT FROM campaign_batches AS b
                  WHERE b.campaign_id = c.id AND b.closed_at IS NULL
                    AND b.first_position > (campaign_cursor(c.id)).closed_through AND b.lease_ends_at >= clock_timestamp())
          OR c.status = 'sent' AND c.completed_at > now() - interval '1 day'
             AND (SELECT r.position FROM campaign_recipients AS r WHERE r.campaign_id = c.id
                   ORDER BY r.position DESC LIMIT 1) > k.completed_through)
      ORDER BY coalesce(c.scheduled_at, c.started_at, '-infinity'), c.id
      LIMIT 1)
)
SELECT c.id, c.organization_id, c.name, c.status, c.from_address, c.reply_to, c.subject, c.html, c.text,
       c.variables::text AS variables, c.configuration_set, c.transactional,
       c.status = 'sending' OR c.status = 'scheduled' AND coalesce(c.scheduled_at <= now(), false)
           OR c.status = 'sent'
              AND coalesce((SELECT r.position FROM campaign_recipients AS r WHERE r.campaign_id = c.id
                             ORDER BY r.position DESC LIMIT 1)
                           > (SELECT k.completed_through FROM campaign_cursors AS k WHERE k.campaign_id = c.id), false)
              AS sendable,
       c.status = 'scheduled' AND c.scheduled_at IS NULL AS unscheduled,
       c.status_reason, c.total_count, c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count,
       CASE WHEN $3 IS NOT NULL THEN (-- What PostgreSQL's catalogue says about the activities table $3, as `activities::Catalogue`.
SELECT jsonb_build_object(
    'table', (SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.oid = to_regclass($3)),
    'own', coalesce(obj_description(to_regclass($3), 'pg_class') = 'made by campaign-sender', false),
    'insertable', coalesce((
        SELECT bool_and(has_column_privilege(to_regclass($3)::oid, a.attname, 'INSERT'))
          FROM pg_attribute AS a
         WHERE a.attrelid = to_regclass($3)
           AND a.attname IN ('organization_id', 'user_id', 'entity_type', 'entity_id', 'action', 'description',
                             'metadata', 'source', 'source_ref')), false),
    'columns', coalesce((
        SELECT jsonb_object_agg(a.attname, jsonb_build_object(
                   'type', format_type(a.atttypid, a.atttypmod),
                   'labels', (SELECT jsonb_agg(e.enumlabel) FROM pg_enum AS e WHERE e.enumtypid = a.atttypid),
                   'required', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''))
          FROM pg_attribute AS a
         WHERE a.attrelid = to_regclass($3) AND a.attnum > 0 AND NOT a.attisdropped), '{}')
))::text END AS activities
  FROM chosen JOIN campaigns AS c ON c.id = chosen.id

-- Deletes rows that belong to no campaign and are $1 days old: addresses whose transient bounces are all that old,
-- and reservations of the rate.
WITH bounces AS (
    DELETE FROM soft_bounces AS s
     WHERE NOT EXISTS (SELECT FROM jsonb_each_text(s.bounces) AS b
                        WHERE to_timestamp(b.value::float8) > now() - make_interval(days => $1))
       AND coalesce(s.delivered_at, '-infinity') < now() - make_interval(days => $1)
       AND (s.suppressed_at IS NULL OR s.suppressed_at < now() - make_interval(days => $1))
    RETURNING 1
),
shares AS (
    DELETE FROM send_shares WHERE wants_until < now() - make_interval(days => $1)
    RETURNING 1
)
SELECT (SELECT count(*) FROM bounces) + (SELECT count(*) FROM shares) AS rest

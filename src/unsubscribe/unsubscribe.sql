-- Unsubscribes recipient $1 of organization $2, all with one statement: what `unsubscribe_by_link` writes, and the activity.
-- Running it again changes nothing.
WITH entry AS MATERIALIZED (
    SELECT u.*, 'email_unsubscribed' AS action,
           'Unsubscribed from emails: ' || coalesce(nullif(btrim(u.name), ''), u.email) AS description
      FROM unsubscribe_by_link($1, $2) AS u
),
activity AS (
    {activity}
)
SELECT email, from_address, reason, changed, revocable FROM entry

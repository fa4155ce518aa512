-- Takes back that recipient $1 of organization $2 unsubscribed, all with one statement: what `subscribe_again_by_link`
-- writes, and the activity. Where there is nothing that this link may take back, nothing changes.
WITH entry AS MATERIALIZED (
    SELECT u.*, 'email_resubscribed' AS action,
           'Subscribed to emails again: ' || coalesce(nullif(btrim(u.name), ''), u.email) AS description
      FROM subscribe_again_by_link($1, $2) AS u
),
activity AS (
    {activity}
)
SELECT email, from_address, reason, changed, revocable FROM entry

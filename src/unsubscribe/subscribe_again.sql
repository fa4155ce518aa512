-- Subscribes recipient $1 of organization $2 again with one statement: the changes of `subscribe_again_by_link`, and
-- the activity. If this link may take nothing back, nothing changes.
WITH entry AS MATERIALIZED (
    SELECT u.*, 'email_resubscribed' AS action,
           'Subscribed to emails again: ' || coalesce(nullif(btrim(u.name), ''), u.email) AS description
      FROM subscribe_again_by_link($1, $2) AS u
),
activity AS (
    {activity}
)
SELECT email, from_address, reason, changed, revocable FROM entry

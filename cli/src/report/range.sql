-- The first and the last time at which SES accepted emails of campaign $1, and the last time at which people
-- opened or clicked them (null if nobody did), at most 30 days later; in seconds since 1970.
SELECT extract(epoch FROM min(r.sent_at))::float8 AS first, extract(epoch FROM max(r.sent_at))::float8 AS last,
       (SELECT extract(epoch FROM least(max(e.occurred_at), min(r.sent_at) + interval '30 days'))::float8
          FROM recipient_events AS e JOIN campaign_recipients AS of ON of.id = e.recipient_id
         WHERE of.campaign_id = $1 AND e.action IN ('email_opened', 'email_clicked') AND e.made_by IS NULL
        -- LEAST passes over a null.
        HAVING count(*) > 0) AS last_reaction
  FROM campaign_recipients AS r
 WHERE r.campaign_id = $1 AND r.status = 'sent'

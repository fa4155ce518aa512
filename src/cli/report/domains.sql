-- What became of the sent emails of campaign $1 by the recipients' domains, the largest first; all but the first
-- eleven together. Each email counts once: bounced, complained of, delivered, or nothing known.
WITH word AS (
    SELECT e.recipient_id, bool_or(e.action = 'email_bounced') AS bounced,
           bool_or(e.action = 'email_complained') AS complained,
           bool_or(e.action IN ('email_delivered', 'email_opened', 'email_clicked')) AS delivered
      FROM recipient_events AS e JOIN campaign_recipients AS r ON r.id = e.recipient_id
     WHERE r.campaign_id = $1 GROUP BY e.recipient_id
),
domain AS (
    SELECT lower(split_part(btrim(r.email), '@', -1)) AS domain, count(*) AS sent,
           count(*) FILTER (WHERE w.bounced) AS bounced,
           count(*) FILTER (WHERE w.complained AND NOT w.bounced) AS complained,
           count(*) FILTER (WHERE w.delivered AND NOT w.bounced AND NOT w.complained) AS delivered
      FROM campaign_recipients AS r LEFT JOIN word AS w ON w.recipient_id = r.id
     WHERE r.campaign_id = $1 AND r.status = 'sent'
     GROUP BY 1
),
ranked AS (
    SELECT *, row_number() OVER (ORDER BY sent DESC, domain) AS rank, count(*) OVER () AS domains FROM domain
),
named AS (
    SELECT CASE WHEN rank <= 11 OR domains = 12 THEN domain ELSE (domains - 11) || ' others' END AS domain,
           least(rank, 12) AS rank, sent, delivered, bounced, complained
      FROM ranked
)
SELECT domain, sum(sent)::bigint AS sent, sum(delivered)::bigint AS delivered, sum(bounced)::bigint AS bounced,
       sum(complained)::bigint AS complained
  FROM named
 GROUP BY rank, domain
 ORDER BY rank

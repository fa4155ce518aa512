-- The results of the sent emails of campaign $1 by the recipients' domains, the largest first; domains after the
-- first eleven are one row. Each email counts once: bounced (or withheld by SES itself), complained of, delivered, or
-- no delivery known.

-- The result of each email. This is one join that uses an index. Without statistics, as after a large import, an
-- aggregation before the join would make the planner read all events again for each recipient.
WITH email AS (
    SELECT split_part(canonical_address(r.email), '@', -1) AS domain,
           coalesce(bool_or(e.action = 'email_bounced'
                            OR e.action = 'email_complained' AND e.made_by = 'ses'), false) AS bounced,
           coalesce(bool_or(e.action = 'email_complained' AND e.made_by IS DISTINCT FROM 'ses'), false) AS complained,
           coalesce(bool_or(e.action IN ('email_delivered', 'email_opened', 'email_clicked')), false) AS delivered
      FROM campaign_recipients AS r LEFT JOIN recipient_events AS e ON e.recipient_id = r.id
     WHERE r.campaign_id = $1 AND r.status = 'sent'
     GROUP BY r.id
),
domain AS (
    SELECT domain, count(*) AS sent, count(*) FILTER (WHERE bounced) AS bounced,
           count(*) FILTER (WHERE complained AND NOT bounced) AS complained,
           count(*) FILTER (WHERE delivered AND NOT bounced AND NOT complained) AS delivered
      FROM email GROUP BY domain
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

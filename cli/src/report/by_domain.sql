-- The results of campaign $1 by domain: the 1,000 largest, and all others together under an empty name.
WITH ranked AS (
    SELECT d.*, row_number() OVER (ORDER BY d.sent DESC, d.domain) > 1000 AS is_small
      FROM campaign_domain_results($1) AS d
),
named AS (
    SELECT CASE WHEN is_small THEN '' ELSE domain END AS domain, is_small,
           sum(sent) AS sent, sum(delivered) AS delivered, sum(bounced) AS bounced, sum(bounced_softly) AS bounced_softly,
           sum(withheld) AS withheld, sum(complained) AS complained, sum(rejected) AS rejected,
           sum(opened_by_people) AS opened_by_people, sum(opened_by_machines) AS opened_by_machines,
           sum(opened_by_apple) AS opened_by_apple, sum(clicked_by_people) AS clicked_by_people,
           sum(clicked_by_machines) AS clicked_by_machines, sum(unsubscribed) AS unsubscribed
      FROM ranked GROUP BY 1, 2
)
SELECT coalesce(jsonb_agg(to_jsonb(n) - 'is_small' ORDER BY is_small, sent DESC, domain), '[]')::text AS rows
  FROM named AS n

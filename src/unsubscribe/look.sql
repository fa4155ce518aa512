-- What the page shows of recipient $1 of organization $2.
SELECT r.email, c.from_address, s.reason, false AS changed
  FROM campaign_recipients AS r
  JOIN campaigns AS c ON c.id = r.campaign_id
  LEFT JOIN suppressions AS s ON s.organization_id = r.organization_id AND s.email = lower(btrim(r.email))
 WHERE r.id = $1 AND c.organization_id = $2

-- What the page shows of recipient $1 of organization $2. That an address is off the list for all organizations is
-- nothing that one of them takes back.
SELECT r.email, c.from_address, CASE WHEN a.reason <> 'bounce' THEN 'manual' ELSE s.reason END AS reason,
       false AS changed
  FROM campaign_recipients AS r
  JOIN campaigns AS c ON c.id = r.campaign_id
  LEFT JOIN suppressions AS s ON s.organization_id = r.organization_id AND s.email = normalized_address(r.email)
  LEFT JOIN suppressions AS a
         ON a.organization_id = '00000000-0000-0000-0000-000000000000' AND a.email = normalized_address(r.email)
 WHERE r.id = $1 AND c.organization_id = $2

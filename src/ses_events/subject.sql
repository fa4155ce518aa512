-- The data from which subjects are rendered, for those of the recipients $1 that are not yet `sent`.
SELECT r.id, r.email, r.name, r.variables::text AS variables, r.campaign_id, c.name AS campaign_name, c.subject,
       c.html, c.text, c.variables::text AS campaign_variables
  FROM campaign_recipients AS r JOIN campaigns AS c ON c.id = r.campaign_id
 WHERE r.id = ANY ($1) AND r.status <> 'sent'
 ORDER BY r.campaign_id

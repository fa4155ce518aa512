-- What the subjects of these recipients' emails are rendered from.
SELECT r.id, r.email, r.name, r.variables::text AS variables
  FROM campaign_recipients AS r
 WHERE r.campaign_id = $1 AND r.id = ANY ($2) AND r.status <> 'sent'

-- The rows that did not become recipients of campaign $1, for it has their address.
UPDATE imported AS i SET reason = 'in_campaign', detail = 'the campaign has this address'
 WHERE i.reason IS NULL
   AND NOT EXISTS (SELECT FROM campaign_recipients AS r WHERE r.id = i.id AND r.campaign_id = $1)

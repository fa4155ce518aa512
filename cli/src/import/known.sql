-- The rows whose address campaign $1 already has in another row.
UPDATE pg_temp.imported AS i SET reason = 'in_campaign', detail = 'the campaign has this address'
  FROM campaign_recipients AS r
 WHERE r.campaign_id = $1 AND canonical_address(r.email) COLLATE "C" = i.address
   AND r.duplicate_of IS NULL AND r.id <> i.id AND i.reason IS NULL

-- The HTML $3 in place of $2, of the campaign $1, unless some have got that already. Repeating it changes nothing.
UPDATE campaigns SET html = $3
 WHERE id = $1 AND (html = $2 OR html = $3) AND status IN ('draft', 'scheduled', 'paused')
   AND NOT EXISTS (SELECT FROM campaign_recipients AS r
                    WHERE r.campaign_id = $1 AND r.status IN ('sent', 'uncertain'))
RETURNING id

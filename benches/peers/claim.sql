-- The next $2 recipients of campaign $1, and the cursor moved past them: the same idea as `claim_batch`, a range
-- and no row locks, without its leases, suppressions and rates.
WITH cursor AS (
    SELECT claimed_through FROM peer_cursors WHERE campaign_id = $1 FOR UPDATE
), batch AS (
    SELECT r.id, r.position, r.email, r.name, r.variables
      FROM campaign_recipients AS r, cursor
     WHERE r.campaign_id = $1 AND r.position > cursor.claimed_through AND r.status = 'pending'
     ORDER BY r.position LIMIT $2
), moved AS (
    UPDATE peer_cursors SET claimed_through = (SELECT max(position) FROM batch)
     WHERE campaign_id = $1 AND EXISTS (SELECT FROM batch)
)
SELECT id, email, name, variables FROM batch ORDER BY position

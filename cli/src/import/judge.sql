-- Checks of the rows that need the tables: duplicate and suppressed addresses.

-- Imports into one campaign take turns from here on, because two imports with the same addresses would wait for each
-- other.
SELECT pg_advisory_xact_lock(hashtextextended('campaign import ' || {campaign}, 0));

ANALYZE pg_temp.imported;

UPDATE pg_temp.imported AS i SET reason = 'duplicate', detail = 'the same address as in {line} ' || d.first
  FROM (SELECT address, min(line) AS first FROM pg_temp.imported WHERE reason IS NULL
         GROUP BY address HAVING count(*) > 1) AS d
 WHERE i.address = d.address AND i.line > d.first AND i.reason IS NULL;

-- The same checks as in a claim: the organization's suppressions, those of all organizations, and the CRM's own
-- opt-outs. They are separate conditions, so that each uses its index when few rows are imported.
UPDATE pg_temp.imported AS i SET reason = 'suppressed', detail = 'on the suppression list: ' || s.reason
  FROM suppressions AS s
 WHERE s.organization_id = {organization} AND s.email = i.address AND i.reason IS NULL;

UPDATE pg_temp.imported AS i SET reason = 'suppressed', detail = 'on the suppression list of all organizations: ' || s.reason
  FROM suppressions AS s
 WHERE s.organization_id = '00000000-0000-0000-0000-000000000000' AND s.email = i.address
   AND i.reason IS NULL;

UPDATE pg_temp.imported AS i SET reason = 'suppressed', detail = 'opted out in the CRM'
  FROM opted_out AS o
 WHERE o.organization_id = {organization} AND o.email = i.address AND i.reason IS NULL;

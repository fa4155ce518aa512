-- For how many seconds the oldest uncertain recipient has been uncertain; 0 if there is none. It reads the campaigns
-- that have uncertain recipients, because every record of an outcome would have to update an index on them.
SELECT coalesce(max(extract(epoch FROM now() - oldest.since)), 0)::float8
  FROM campaigns AS c
 CROSS JOIN LATERAL (SELECT min(r.uncertain_since) AS since FROM campaign_recipients AS r
                      WHERE r.campaign_id = c.id AND r.status = 'uncertain') AS oldest
 WHERE c.uncertain_count > 0

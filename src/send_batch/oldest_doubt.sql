-- How many seconds ago the oldest recipient that is in doubt came into it; 0 if there is none. It looks through the
-- campaigns that have some: an index on what is in doubt would have to be kept up by every record of an outcome.
SELECT coalesce(max(extract(epoch FROM now() - oldest.since)), 0)::float8
  FROM campaigns AS c
 CROSS JOIN LATERAL (SELECT min(r.uncertain_since) AS since FROM campaign_recipients AS r
                      WHERE r.campaign_id = c.id AND r.status = 'uncertain') AS oldest
 WHERE c.uncertain_count > 0

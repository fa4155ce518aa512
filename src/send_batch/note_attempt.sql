-- Notes a failed attempt on campaign $1. Ticks skip it for a minute, then two, four, … minutes, an hour at most.
INSERT INTO campaign_attempts AS a (campaign_id, attempts, retry_at) VALUES ($1, 1, now() + interval '1 minute')
ON CONFLICT (campaign_id) DO UPDATE SET attempts = a.attempts + 1, retry_at = now() + rest_after(a.attempts + 2)

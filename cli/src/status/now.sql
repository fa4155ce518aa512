-- What is known of why nothing of campaign $1 is being sent now. No row: it is not `sending`, nor scheduled and due.
WITH campaign AS MATERIALIZED (
    SELECT c.id, CASE WHEN isfinite(d.since) THEN d.since END AS since
      FROM campaigns AS c
     CROSS JOIN LATERAL (SELECT CASE c.status WHEN 'scheduled' THEN c.scheduled_at ELSE c.started_at END AS since) AS d
     WHERE c.id = $1 AND (c.status = 'sending' OR c.status = 'scheduled' AND c.scheduled_at <= now())
),
-- The newest batch, by the last column of an index.
newest AS MATERIALIZED (
    SELECT b.opened_at, greatest(b.opened_at, b.closed_at) AS touched_at
      FROM campaign_batches AS b JOIN campaign ON b.campaign_id = campaign.id ORDER BY b.number DESC LIMIT 1
),
open AS MATERIALIZED (
    SELECT max(extract(epoch FROM b.lease_ends_at - clock_timestamp()))
               FILTER (WHERE b.claim_token IS NOT NULL AND lease_holds(b.lease_ends_at)) AS lease_seconds,
           coalesce(bool_or(b.claim_token IS NOT NULL AND NOT lease_holds(b.lease_ends_at)), false) AS lost
      FROM campaign_batches AS b JOIN campaign ON b.campaign_id = campaign.id
     WHERE b.closed_at IS NULL
),
-- What an invocation noted counts until a batch is claimed after it.
last AS MATERIALIZED (
    SELECT l.* FROM campaign_last_invocations AS l JOIN campaign ON l.campaign_id = campaign.id
     WHERE l.at >= coalesce((SELECT opened_at FROM newest), '-infinity')
),
elsewhere AS MATERIALIZED (
    SELECT l.* FROM campaign_last_invocations AS l WHERE l.campaign_id <> $1 ORDER BY l.at DESC LIMIT 1
),
-- The traces that invocations leave: of all campaigns, the newest batch and the newest note.
seen AS MATERIALIZED (
    SELECT greatest((SELECT max(at) FROM campaign_last_invocations),
                    (SELECT greatest(opened_at, closed_at) FROM campaign_batches ORDER BY id DESC LIMIT 1)) AS at
),
-- A schedule leaves the campaign alone until then: since an attempt that did not come back, or a batch that was lost.
rest AS MATERIALIZED (
    SELECT max(until) AS until, max(since) AS since
      FROM (SELECT retry_at AS until, retry_at - rest_after(attempts + 1) AS since
              FROM campaign_attempts WHERE campaign_id = $1
            UNION ALL
            SELECT lost_at + rest_after(lost_count), lost_at FROM campaign_cursors WHERE campaign_id = $1) AS rests
),
-- The campaign wants a share of the rate, and that is reserved until then.
rate AS MATERIALIZED (
    SELECT max(s.region_free_from) AS until FROM send_shares AS s
     WHERE s.wants_until > now() AND reservation_holds(s.region_free_from)
       AND EXISTS (SELECT FROM send_shares AS own
                    WHERE own.region = s.region AND own.campaign_id = $1 AND own.wants_until > now())
)
SELECT open.lease_seconds::float8 AS lease_seconds, open.lost,
       extract(epoch FROM now() - coalesce((SELECT touched_at FROM newest), campaign.since))::float8 AS idle_seconds,
       last.code AS last_code, last.reason AS last_reason,
       extract(epoch FROM now() - last.at)::float8 AS last_seconds,
       extract(epoch FROM last.wait_until - last.at)::float8 AS last_wait_seconds,
       elsewhere.code AS elsewhere_code, elsewhere.reason AS elsewhere_reason,
       extract(epoch FROM now() - elsewhere.at)::float8 AS elsewhere_seconds,
       extract(epoch FROM elsewhere.wait_until - elsewhere.at)::float8 AS elsewhere_wait_seconds,
       extract(epoch FROM now() - seen.at)::float8 AS seen_seconds,
       extract(epoch FROM rest.until - now())::float8 AS rest_seconds,
       extract(epoch FROM now() - rest.since)::float8 AS rest_since_seconds,
       extract(epoch FROM rate.until - now())::float8 AS rate_seconds
  FROM campaign CROSS JOIN open CROSS JOIN seen CROSS JOIN rest CROSS JOIN rate
  LEFT JOIN last ON true LEFT JOIN elsewhere ON true

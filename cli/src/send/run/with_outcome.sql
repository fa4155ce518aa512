-- The counters of campaign $1, and how many outcomes its open batches have noted that are not recorded yet.
SELECT c.total_count, c.sent_count, c.failed_count, c.suppressed_count, c.uncertain_count,
       (SELECT coalesce(sum(jsonb_array_length(o.outcomes)), 0)
          FROM campaign_batches AS b JOIN campaign_batch_outcomes AS o ON o.batch_id = b.id
         WHERE b.campaign_id = c.id AND b.closed_at IS NULL) AS noted
  FROM campaigns AS c WHERE c.id = $1

-- A checkpoint of batch $1, for the claim $2: moves the mark to $3 before anything beyond it is handed to SES, notes
-- the outcomes $5 since the last checkpoint under the number $4, and reads whether and for how long the campaign may
-- go on. No row: the claim is lost.
WITH batch AS (
    UPDATE campaign_batches SET handed_through = greatest(handed_through, $3)
     WHERE id = $1 AND claim_token = $2
    RETURNING id, campaign_id
), noted AS (
    INSERT INTO campaign_batch_outcomes (batch_id, checkpoint, outcomes)
    SELECT id, $4, $5::jsonb FROM batch WHERE $5 IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT c.status, l.seconds_to_send, l.too_late
  FROM batch JOIN campaigns AS c ON c.id = batch.campaign_id CROSS JOIN LATERAL send_limit(c.id) AS l

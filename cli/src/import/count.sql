-- Brings the total of campaign $1 up to date with the imported recipients. It does so under the lock under which
-- claims count, so that the total of a campaign that is sending stays correct. Before sending, the total is only for
-- display.
WITH cursor AS MATERIALIZED (
    SELECT FROM campaign_cursors WHERE campaign_id = $1 FOR UPDATE
)
SELECT count_new_recipients($1, -1) FROM (SELECT count(*) FROM cursor) AS locked

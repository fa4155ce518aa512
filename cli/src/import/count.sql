-- Brings the total of campaign $1 up to date with what is imported, under the lock under which claims count: of a
-- campaign that is sending it stays true. Until a campaign is sending it is what a person sees, and no more.
WITH cursor AS MATERIALIZED (
    SELECT FROM campaign_cursors WHERE campaign_id = $1 FOR UPDATE
)
SELECT count_new_recipients($1, -1) FROM (SELECT count(*) FROM cursor) AS locked

-- Notes why an invocation of campaign $1 sent no more: the status of its result $2, the cause's code $3 and words $4, and
-- for how many seconds $5 the next invocation waits. A campaign that is gone gets no note.
INSERT INTO campaign_last_invocations AS l (campaign_id, at, status, code, reason, wait_until)
SELECT c.id, now(), $2, $3, $4, now() + make_interval(secs => least($5, 1e8))
  FROM campaigns AS c WHERE c.id = $1
ON CONFLICT (campaign_id) DO UPDATE
   SET at = excluded.at, status = excluded.status, code = excluded.code, reason = excluded.reason,
       wait_until = excluded.wait_until

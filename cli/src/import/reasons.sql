-- The refused rows by reason, with the first of each.
SELECT r.reason, r.count, r.line, i.detail
  FROM (SELECT reason, count(*) AS count, min(line) AS line FROM pg_temp.imported WHERE reason IS NOT NULL
         GROUP BY reason) AS r
  JOIN pg_temp.imported AS i ON i.reason = r.reason AND i.line = r.line
 ORDER BY r.count DESC, r.reason

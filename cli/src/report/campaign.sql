-- The results of campaign $1, with the links that most recipients clicked first.
SELECT (to_jsonb(r) || jsonb_build_object(
           'started_at', to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           'completed_at', to_char(r.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))::text AS row,
       (SELECT coalesce(jsonb_agg(to_jsonb(l) - '{campaign_id,organization_id}'::text[]
                                  ORDER BY l.clicked_by_people DESC, l.clicked_by_machines DESC, l.link), '[]')::text
          FROM campaign_link_results AS l WHERE l.campaign_id = r.campaign_id) AS links
  FROM campaign_results AS r
 WHERE r.campaign_id = $1

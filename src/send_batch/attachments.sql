-- The attachments of campaign $1. If their contents are more than $2 bytes in all, they are left out.
SELECT file_name, content_type, content_id, disposition = 'inline' AS inline, octet_length(content)::int8 AS bytes,
       CASE WHEN sum(octet_length(content)) OVER () <= $2 THEN content END AS content
  FROM campaign_attachments WHERE campaign_id = $1 ORDER BY file_name

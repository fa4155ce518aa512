-- What a schema consists of, line by line, in no order of time: columns, constraints, indexes, functions, triggers, views.
SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
              CASE WHEN a.attnotnull THEN 'not null' END, pg_get_expr(d.adbin, d.adrelid)) AS line
  FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT format('%s with %s', relname, ARRAY(SELECT unnest(reloptions) ORDER BY 1)) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
UNION ALL
SELECT format('%s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace
   -- From PostgreSQL 18 on, NOT NULL of a column is one too.
   AND contype <> 'n'
UNION ALL
SELECT format('%s valid: %s', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
 WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
 WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
UNION ALL
SELECT format('view %s: %s', viewname, definition) FROM pg_views WHERE schemaname = 'public'
UNION ALL
SELECT format('sequence %s from %s', sequencename, start_value) FROM pg_sequences WHERE schemaname = 'public'
UNION ALL
SELECT format('%s may be read by %s', table_name, grantee) FROM information_schema.role_table_grants
 WHERE table_schema = 'public' AND grantee = 'PUBLIC'
 ORDER BY line

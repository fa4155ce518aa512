-- What PostgreSQL's catalogue says about the activities table $3, as `activities::Catalogue`.
SELECT jsonb_build_object(
    'table', (SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.oid = to_regclass($3)),
    'own', coalesce(obj_description(to_regclass($3), 'pg_class') = 'made by campaign-sender', false),
    'insertable', coalesce((
        SELECT bool_and(has_column_privilege(to_regclass($3)::oid, a.attname, 'INSERT'))
          FROM pg_attribute AS a
         WHERE a.attrelid = to_regclass($3)
           AND a.attname IN ('organization_id', 'user_id', 'entity_type', 'entity_id', 'action', 'description',
                             'metadata', 'source', 'source_ref')), false),
    'columns', coalesce((
        SELECT jsonb_object_agg(a.attname, jsonb_build_object(
                   'type', format_type(a.atttypid, a.atttypmod),
                   'labels', (SELECT jsonb_agg(e.enumlabel) FROM pg_enum AS e WHERE e.enumtypid = a.atttypid),
                   'required', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''))
          FROM pg_attribute AS a
         WHERE a.attrelid = to_regclass($3) AND a.attnum > 0 AND NOT a.attisdropped), '{}')
)

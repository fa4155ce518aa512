-- The activities table $3 in PostgreSQL's catalogue, in the form of `activities::Catalogue`.
WITH name AS (
    SELECT parse_ident($3) AS part
),
-- It is looked up by name, because `to_regclass` raises an error if the role lacks USAGE on the schema.
activities AS (
    SELECT c.oid, n.oid AS schema, format('%I.%I', n.nspname, c.relname) AS name, c.relkind, c.relhasrules
      FROM name
      JOIN pg_class AS c ON c.relname = name.part[cardinality(name.part)] AND c.relkind IN ('r', 'p', 'v', 'f')
      JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE CASE WHEN cardinality(name.part) = 1 THEN pg_table_is_visible(c.oid) ELSE n.nspname = name.part[1] END
),
-- Each column with its base type. A domain is followed to its base type, which gives the length.
based AS (
    SELECT a.attname, a.atttypid, a.atttypmod, a.attnum, a.attgenerated, a.attidentity, t.typtype AS declared_typtype,
           base.oid AS type, base.typname, base.typtype, base.typcategory, base.typlen, base.typmod,
           base.nspname, base.required OR a.attnotnull AS required, base.has_default OR a.atthasdef AS has_default
      FROM activities AS f
      JOIN pg_attribute AS a ON a.attrelid = f.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type AS t ON t.oid = a.atttypid
     CROSS JOIN LATERAL (
           WITH RECURSIVE chain AS (
               SELECT t.oid, a.atttypmod AS typmod, t.typnotnull AS required, t.typdefault IS NOT NULL AS has_default,
                      t.typtype, t.typbasetype, t.typtypmod
               UNION ALL
               SELECT b.oid, c.typtypmod, c.required OR b.typnotnull, c.has_default OR b.typdefault IS NOT NULL,
                      b.typtype, b.typbasetype, b.typtypmod
                 FROM chain AS c JOIN pg_type AS b ON b.oid = c.typbasetype
                WHERE c.typtype = 'd'
           )
           SELECT b.oid, b.typname, b.typtype, b.typcategory, b.typlen, c.typmod, n.nspname, c.required, c.has_default
             FROM chain AS c JOIN pg_type AS b ON b.oid = c.oid JOIN pg_namespace AS n ON n.oid = b.typnamespace
            WHERE c.typtype <> 'd') AS base
)
SELECT jsonb_build_object(
    'table', (SELECT name FROM activities),
    'usage', coalesce((SELECT has_schema_privilege(schema, 'USAGE') FROM activities), true),
    'own', coalesce((SELECT obj_description(oid, 'pg_class') = 'made by campaign-sender' FROM activities), false),
    'plain', coalesce((SELECT relkind = 'r' AND NOT relhasrules FROM activities), false),
    -- If row level security applies to the role, a policy has to allow the insert.
    'policy', coalesce((
        SELECT NOT row_security_active(f.oid) OR EXISTS (
                   SELECT FROM pg_policy AS p
                    WHERE p.polrelid = f.oid AND p.polpermissive AND p.polcmd IN ('a', '*')
                      AND EXISTS (SELECT FROM unnest(p.polroles) AS role
                                   WHERE role = 0 OR pg_has_role(role, 'USAGE')))
          FROM activities AS f), true),
    -- A trigger may fill columns that have no default.
    'filled', EXISTS (
        SELECT FROM activities AS f JOIN pg_trigger AS t ON t.tgrelid = f.oid
         WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 7 = 7),
    -- A column that the view's table requires and the view lacks, if PostgreSQL itself inserts through the view.
    'hidden', (
        SELECT format('%I of %s', a.attname, t.oid::regclass)
          FROM activities AS f
          JOIN pg_rewrite AS w ON w.ev_class = f.oid AND w.ev_type = '1'
         CROSS JOIN LATERAL (
               SELECT min(d.refobjid::bigint)::oid AS oid FROM pg_depend AS d
                WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
                  AND d.refobjid <> f.oid
               HAVING count(DISTINCT d.refobjid) = 1) AS base
          JOIN pg_class AS t ON t.oid = base.oid AND t.relkind IN ('r', 'p', 'f')
          JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
               AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = ''
         WHERE f.relkind = 'v'
           AND NOT EXISTS (SELECT FROM pg_rewrite AS r WHERE r.ev_class = f.oid AND r.ev_type = '3')
           AND NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = f.oid AND g.tgtype & 68 = 68)
           AND NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = t.oid AND g.tgtype & 7 = 7)
           AND NOT EXISTS (SELECT FROM pg_depend AS d
                            WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                              AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
                              AND d.refobjsubid = a.attnum)
         ORDER BY a.attnum LIMIT 1),
    'unicode', getdatabaseencoding() = 'UTF8',
    'columns', coalesce((
        SELECT jsonb_object_agg(b.attname, jsonb_build_object(
                   'declared', format_type(b.atttypid, b.atttypmod),
                   'type', format('%I.%I', b.nspname, b.typname),
                   'domain', CASE WHEN b.declared_typtype = 'd' THEN format_type(b.atttypid, b.atttypmod) END,
                   'kind', CASE WHEN b.typtype = 'e' THEN 'enum'
                                WHEN b.type = 'uuid'::regtype THEN 'uuid'
                                WHEN b.type IN ('json'::regtype, 'jsonb'::regtype) THEN 'json'
                                WHEN b.type = 'timestamptz'::regtype THEN 'time'
                                WHEN b.typcategory = 'S' AND b.typlen = -1 THEN 'text'
                                ELSE 'other' END,
                   'length', CASE WHEN b.type IN ('varchar'::regtype, 'bpchar'::regtype) AND b.typmod >= 4
                                  THEN b.typmod - 4 END,
                   'labels', (SELECT jsonb_agg(e.enumlabel) FROM pg_enum AS e WHERE e.enumtypid = b.type),
                   'required', b.required AND NOT b.has_default AND b.attidentity = '' AND b.attgenerated = '',
                   'given', CASE WHEN b.attgenerated <> '' THEN 'is generated'
                                 WHEN b.attidentity = 'a' THEN 'is GENERATED ALWAYS AS IDENTITY' END,
                   'insertable', has_column_privilege(f.oid, b.attnum, 'INSERT')))
          FROM based AS b CROSS JOIN activities AS f), '{}')
)

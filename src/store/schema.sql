-- Fails unless this release, which was made for version {version}, works with the schema of the database: its version
-- must be at least that one, and the lowest version whose functions it still works with must not be above it.
--
-- The comments are removed before it is sent. {schema} is DATABASE_SCHEMA, an identifier without quotes in it.
;DO $$
DECLARE
    v_version int;
    v_from    int;
BEGIN
    IF to_regclass('"{schema}".campaign_schema') IS NULL THEN
        RAISE EXCEPTION 'this release needs version {version} of the schema, and the database has %',
              CASE WHEN to_regclass('"{schema}".campaign_recipients') IS NULL THEN 'none: its schema {schema} has no tables of campaign-sender'
                   ELSE 'one of release 0.1, which recorded no version' END
              || '; run `campaign migrate` of this release on it'
              USING ERRCODE = 'CS001';
    END IF;
    SELECT version, compatible_from INTO v_version, v_from FROM "{schema}".campaign_schema ORDER BY version DESC LIMIT 1;
    IF v_version IS NULL OR v_version < {version} THEN
        RAISE EXCEPTION 'this release needs version {version} of the schema, and the database has version %; run `campaign migrate` of this release on it',
              coalesce(v_version, 0)
              USING ERRCODE = 'CS001';
    END IF;
    IF v_from > {version} THEN
        RAISE EXCEPTION 'this release was made for version {version} of the schema, and the database has version %, which works with releases made for version % or later; deploy a newer release',
              v_version, v_from
              USING ERRCODE = 'CS001';
    END IF;
END
$$;

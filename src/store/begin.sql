-- The beginning of each statement's transaction, in one message of the simple protocol. If a statement fails here,
-- the transaction is aborted, and the statements after it fail as well.
--
-- The comments are removed before it is sent. {schema} is DATABASE_SCHEMA, an identifier without quotes in it.
-- {lock_timeout} is a number of milliseconds.
BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE;
-- This is a statement of its own before all others, because the value at the beginning of a statement limits the
-- statement.
SET LOCAL statement_timeout = 0;
SELECT
-- Our tables come before all others of the same name, also before temporary ones. The connection's own path follows,
-- for types and functions of extensions and for the activities table.
set_config('search_path', concat_ws(', ', 'pg_catalog', '"{schema}"', nullif(current_setting('search_path'), ''),
                                    'pg_temp'), true),
-- An answered COMMIT has to survive a crash. Stricter values (remote_write, remote_apply) are kept.
set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
                                      ELSE current_setting('synchronous_commit') END, true),
set_config('lock_timeout', '{lock_timeout}', true),
-- This setting exists in PostgreSQL 17 and later.
CASE WHEN current_setting('server_version_num')::int >= 170000
     THEN set_config('transaction_timeout', '0', true) END,
-- How values are read and written.
set_config('client_encoding', 'UTF8', true),
set_config('TimeZone', 'UTC', true),
set_config('DateStyle', 'ISO, YMD', true),
set_config('extra_float_digits', '1', true),
set_config('standard_conforming_strings', 'on', true),
set_config('transform_null_equals', 'off', true);

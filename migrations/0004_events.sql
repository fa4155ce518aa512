-- What SES says of sent emails, beyond the recipient's status.

-- One row for each kind of event of a recipient that has an activity (each link is a kind of its own), however often
-- the event comes: the first one is an activity, further ones are counted here.
CREATE TABLE IF NOT EXISTS recipient_events (
    recipient_id uuid NOT NULL REFERENCES campaign_recipients (id) ON DELETE CASCADE,
    action       text NOT NULL,         -- the activity's
    occurred_at  timestamptz NOT NULL,  -- when the event of the activity happened
    key          uuid NOT NULL,         -- a hash of the kind
    PRIMARY KEY (recipient_id, action, key)
);

-- Not the recipient nor its mail server: 'ses' (a suppression list's bounce or complaint), 'machine' (what SES takes
-- for one), 'apple' (Mail Privacy Protection loads the images of every email). Null: a person or a mail server.
ALTER TABLE recipient_events ADD COLUMN IF NOT EXISTS made_by text;
-- Events of this kind, the first one included.
ALTER TABLE recipient_events ADD COLUMN IF NOT EXISTS count int NOT NULL DEFAULT 1;
-- When the newest 16 of them happened, latest first: by these a repeated event is told from a further one. Null in
-- rows that an earlier version wrote.
ALTER TABLE recipient_events ADD COLUMN IF NOT EXISTS newest timestamptz[];

-- Earlier versions had a row for each event: those of one kind become one.
DO $$
BEGIN
    IF (SELECT cardinality(conkey) FROM pg_constraint
         WHERE conrelid = 'recipient_events'::regclass AND contype = 'p') = 4 THEN
        WITH kind AS (
            SELECT recipient_id, action, key, min(occurred_at) AS first, count(*) AS count
              FROM recipient_events GROUP BY 1, 2, 3 HAVING count(*) > 1
        ),
        gone AS (
            DELETE FROM recipient_events AS e USING kind AS k
             WHERE (e.recipient_id, e.action, e.key) = (k.recipient_id, k.action, k.key)
               AND e.occurred_at > k.first
        )
        UPDATE recipient_events AS e SET count = k.count
          FROM kind AS k
         WHERE (e.recipient_id, e.action, e.key) = (k.recipient_id, k.action, k.key) AND e.occurred_at = k.first;
        ALTER TABLE recipient_events DROP CONSTRAINT recipient_events_pkey,
            ADD PRIMARY KEY (recipient_id, action, key);
    END IF;
END
$$;

-- How many of `count` events, the first of which happened at `first` and the newest at `newest`, are not among those
-- seen before. What is older than all that is remembered counts as seen: the answer is never too high.
CREATE OR REPLACE FUNCTION further_events(
    seen timestamptz[], first timestamptz, newest timestamptz[], count int
) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
           WHEN first > seen[1] THEN count
           WHEN cardinality(seen) < 16 THEN count - (
                SELECT count(*)::int FROM unnest(seen) AS at
                 WHERE at = ANY (newest) OR at >= first AND at < newest[cardinality(newest)])
           ELSE (SELECT count(*)::int FROM unnest(newest) AS at
                  WHERE at <> ALL (seen) AND at > seen[16]) END
$$;

-- The newest 16 of these times, latest first, each once.
CREATE OR REPLACE FUNCTION newest_times(times timestamptz[]) RETURNS timestamptz[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY(SELECT DISTINCT at FROM unnest(times) AS at ORDER BY at DESC LIMIT 16)
$$;

-- When recipients in doubt of whom SES said nothing were last looked for.
ALTER TABLE campaign_cursors ADD COLUMN IF NOT EXISTS doubt_examined_at timestamptz;

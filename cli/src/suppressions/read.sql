-- The rows of a file until all of them are read. The table is dropped with the transaction.
CREATE TEMPORARY TABLE read (
    organization_id uuid NOT NULL,
    email           text NOT NULL,
    reason          text NOT NULL,
    at              timestamptz
) ON COMMIT DROP

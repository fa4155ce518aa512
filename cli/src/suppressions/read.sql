-- Where the rows of a file stand until all of them are read. It is gone with the transaction.
CREATE TEMPORARY TABLE read (
    organization_id uuid NOT NULL,
    email           text NOT NULL,
    reason          text NOT NULL,
    at              timestamptz
) ON COMMIT DROP

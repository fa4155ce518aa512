-- The rows of the input until all of them are checked. The table is dropped with the transaction.
CREATE TEMPORARY TABLE imported (
    line        bigint NOT NULL,
    id          uuid NOT NULL,      -- the recipient's, if the row becomes one
    email       text NOT NULL,
    name        text,
    customer_id uuid,
    contact_id  uuid,
    customer_ref text,
    variables   jsonb,
    reason      text,               -- why it becomes none
    detail      text,
    address     text GENERATED ALWAYS AS (canonical_address(email)) STORED -- by which it is compared
) ON COMMIT DROP;
-- A million addresses fit into this memory while they are compared.
SET LOCAL work_mem = '128MB';

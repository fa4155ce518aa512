-- The data of recipient $1 of organization $2 for the page; `look_by_link` explains each column.
SELECT email, from_address, reason, changed, revocable FROM look_by_link($1, $2)

-- What the page shows of recipient $1 of organization $2; `look_by_link` says what each column means.
SELECT email, from_address, reason, changed, revocable FROM look_by_link($1, $2)

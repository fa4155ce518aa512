# shellcheck shell=bash
# A PostgreSQL server of a test's own that offers TLS: `bash server.sh DIRECTORY`, in the root of this repository. Its
# URL comes on standard output, and it is gone when standard input ends. DIRECTORY gets the authority's certificate,
# ca.pem; the server's own is for db.example.com. The role `app` has to come by TLS and with its password.
set -euo pipefail
PATH=$PATH:/usr/sbin
. scripts/tools.sh
. scripts/postgres.sh
directory=$1
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
openssl req -x509 "${key[@]}" -days 30 -subj '/CN=An authority of the tests' \
    -keyout "$directory/ca.key" -out "$directory/ca.pem" 2>/dev/null
openssl req "${key[@]}" -subj '/CN=db.example.com' -keyout "$directory/server.key" -out "$directory/server.csr" 2>/dev/null
printf 'subjectAltName=DNS:db.example.com\n' >"$directory/names"
openssl x509 -req -in "$directory/server.csr" -CA "$directory/ca.pem" -CAkey "$directory/ca.key" -CAcreateserial \
    -days 30 -extfile "$directory/names" -out "$directory/server.pem" 2>/dev/null
printf '%s\n' 'host all postgres 127.0.0.1/32 trust' 'hostssl all app 127.0.0.1/32 scram-sha-256' >"$directory/hba"
chmod 600 "$directory/server.key"
if [ "$(id -u)" = 0 ]; then
    owner=nobody
    if id postgres >/dev/null 2>&1; then owner=postgres; fi
    chown -R "$owner" "$directory"
fi
chmod 755 "$directory"
start_postgres 'fsync = off' 'ssl = on' "ssl_cert_file = '$directory/server.pem'" \
    "ssl_key_file = '$directory/server.key'" "hba_file = '$directory/hba'"
printf '%s\n' "$DATABASE_URL"
read -r _ || true

# shellcheck shell=bash
# A PostgreSQL server of a test's own that fails over and is restored: `bash server.sh`, in the root of this repository.
# Its URL comes on standard output. Then each line of standard input is a command, which is answered by one line, and all
# is gone when standard input ends. Whatever happens, the server is at the same port.
set -euo pipefail
PATH=$PATH:/usr/sbin
. scripts/tools.sh
. scripts/postgres.sh
start_postgres 'fsync = off' 'wal_level = replica' 'max_wal_senders = 5' 'archive_mode = on' \
    "archive_command = 'cp %p ../archive/%f'"
as_postgres mkdir -p archive
port=$(sed 's/.*:\([0-9]*\)\/.*/\1/' <<<"$DATABASE_URL")

control() {
    as_postgres "$CLUSTER_BIN/pg_ctl" -D "$CLUSTER_DIR/$1" -l "$CLUSTER_DIR/$1.log" -w -s "${@:2}" >/dev/null
}

# The directory that the server works in.
now=data
# Ends the server as a loss of its machine would, or properly, and starts one from another directory in its place.
replace() {
    control "$now" stop -m "$2"
    now=$1
    control "$now" start -o "-p $port"
}

standby_sql() {
    "$CLUSTER_BIN/psql" -Xqtc "$1" "postgres://postgres@127.0.0.1:$((port + 1))/postgres" >/dev/null
}

base_backup() {
    as_postgres "$CLUSTER_BIN/pg_basebackup" -d "postgres://postgres@127.0.0.1:$port/postgres" -D "$@" -c fast >/dev/null
}

printf '%s\n' "$DATABASE_URL"
while read -r command name; do
    case $command in
        # A streaming standby, one port up.
        standby) base_backup standby -R && control standby start -o "-p $((port + 1))" ;;
        # It gets nothing any more.
        cut) standby_sql "ALTER SYSTEM SET primary_conninfo = ''" && standby_sql 'SELECT pg_reload_conf()' ;;
        # The primary is lost, and the standby takes its place.
        promote)
            control standby stop -m fast
            replace standby immediate
            control standby promote
            ;;
        backup) base_backup "$name" ;;
        # As a snapshot of the volume is restored: the server recovers as after a crash, on the same timeline.
        restore) replace "$name" immediate ;;
        # The backup and the archived log up to a named point.
        recover)
            base=${name% *}
            printf '%s\n' "restore_command = 'cp ../archive/%f %p'" "recovery_target_name = '${name#* }'" \
                "recovery_target_action = 'promote'" >>"$CLUSTER_DIR/$base/postgresql.conf"
            as_postgres touch "$CLUSTER_DIR/$base/recovery.signal"
            replace "$base" fast
            ;;
        dump) as_postgres "$CLUSTER_BIN/pg_dump" -Fc -f dump "postgres://postgres@127.0.0.1:$port/$name" ;;
        # Into a new database of the same name, or with --clean into the old one.
        load)
            url=postgres://postgres@127.0.0.1:$port
            as_postgres "$CLUSTER_BIN/dropdb" -f --maintenance-db="$url/postgres" "$name"
            as_postgres "$CLUSTER_BIN/createdb" --maintenance-db="$url/postgres" "$name"
            as_postgres "$CLUSTER_BIN/pg_restore" -d "$url/$name" dump
            ;;
        clean) as_postgres "$CLUSTER_BIN/pg_restore" --clean -d "postgres://postgres@127.0.0.1:$port/$name" dump ;;
        restart) control "$now" stop -m "$name" && control "$now" start -o "-p $port" ;;
        *) die "unknown command $command" ;;
    esac
    printf 'done %s\n' "$command"
done
control standby stop -m immediate 2>/dev/null || true
control "$now" stop -m immediate 2>/dev/null || true

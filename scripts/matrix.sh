# shellcheck shell=bash
# `./dev matrix`: the tests that PostgreSQL takes part in, with every supported version and through a pooler. Sourced, not
# run.

# The packages of the versions that no system's package manager has beside each other.
MATRIX_SERVERS=tests/servers
# What is tested with each server, and what by the pooler (the others of these tests talk to the server itself).
MATRIX_TESTS=(life_cycle send_batch ses_events unsubscribe store upgrade cli history)
MATRIX_POOLED=(send_batch ses_events unsubscribe)
# What needs programs that the packages leave out: a base backup, a dump.
MATRIX_COMPLETE=(history)

# run_matrix [TEST…]: all of it, or these tests, and their rows in docs/matrix.md. Fails if anything failed.
run_matrix() {
    local server bin failed=no rows
    rows=$(mktemp)
    if [ $# -gt 0 ]; then MATRIX_TESTS=("$@"); fi
    if [ "$(uname -sm)" = "Linux x86_64" ]; then
        install_node $MATRIX_SERVERS
        for server in "$MATRIX_SERVERS"/node_modules/postgresql-*; do
            # npm packs no links.
            (cd "$server" && node scripts/hydrate-symlinks.js)
            matrix_server "$PWD/$server/native/bin" direct "${MATRIX_TESTS[@]}" >>"$rows" || failed=yes
        done
    fi
    for bin in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
        [ -x "$bin/initdb" ] || continue
        matrix_server "$bin" direct "${MATRIX_TESTS[@]}" >>"$rows" || failed=yes
        matrix_server "$bin" pooled "${MATRIX_TESTS[@]}" >>"$rows" || failed=yes
    done
    matrix_page docs/matrix.md "$rows" >"$rows.page"
    mv "$rows.page" docs/matrix.md
    rm "$rows"
    say "the result is in docs/matrix.md"
    [ $failed = no ] || die "something failed: see docs/matrix.md"
}

# matrix_server BIN direct|pooled TEST…: prints a row of the table for each test. In a shell of its own, whose server ends
# with it.
matrix_server() (
    export POSTGRES_BIN=$1
    local way=$2 test version log status=0 started result
    shift 2
    version=$("$POSTGRES_BIN/postgres" --version | sed 's/^[^0-9]*\([0-9.]*\).*/\1/')
    unset DATABASE_URL
    start_postgres "${TEST_SETTINGS[@]}"
    if [ "$way" = pooled ]; then
        start_pooler
        version="$version through PgBouncer $(pgbouncer --version | sed -n '1s/[^0-9]*//p')"
    fi
    export SCHEDULES=all
    for test in "$@"; do
        if [ "$way" = pooled ] && ! is_one_of "$test" "${MATRIX_POOLED[@]}"; then continue; fi
        if [ ! -x "$POSTGRES_BIN/pg_dump" ] && is_one_of "$test" "${MATRIX_COMPLETE[@]}"; then continue; fi
        say "PostgreSQL $version: $test"
        log=$CLUSTER_DIR/$test.log started=$SECONDS result=passed
        if ! cargo test --quiet --locked --workspace --features campaign-sender/failpoints --test "$test" \
            ${MATRIX_ARGUMENTS:+-- $MATRIX_ARGUMENTS} >"$log" 2>&1; then
            result=failed status=1
            cat "$log" >&2
        fi
        printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$version" "$test" "$(matrix_count "$log")" "$result" \
            "$((SECONDS - started))" "$(date -u +%Y-%m-%d)"
    done
    return $status
)

# is_one_of WORD WORD…
is_one_of() {
    local word=$1 other
    shift
    for other in "$@"; do [ "$word" != "$other" ] || return 0; done
    return 1
}

# How many tests a log says have passed.
matrix_count() {
    sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed.*/\1/p' "$1" | awk '{ sum += $1 } END { print sum + 0 }'
}

# PgBouncer in transaction mode before the server, for functions and commands: POOLER is its HOST:PORT.
start_pooler() {
    local port=$((10000 + RANDOM % 10000))
    local server=${DATABASE_URL##*:}
    printf '%s\n' '[databases]' "* = host=127.0.0.1 port=${server%%/*} user=postgres" '[pgbouncer]' \
        'listen_addr = 127.0.0.1' "listen_port = $port" 'unix_socket_dir =' 'auth_type = any' 'pool_mode = transaction' \
        'default_pool_size = 10' 'max_client_conn = 1000' 'server_idle_timeout = 5' \
        "pidfile = $CLUSTER_DIR/pooler.pid" >"$CLUSTER_DIR/pooler.ini"
    chmod 644 "$CLUSTER_DIR/pooler.ini"
    as_postgres pgbouncer --quiet "$CLUSTER_DIR/pooler.ini" 2>"$CLUSTER_DIR/pooler.log" &
    # Its own process: the one that started it as another user does not pass the signal on.
    trap 'kill "$(cat "$CLUSTER_DIR/pooler.pid")" 2>/dev/null; stop_postgres' EXIT
    export POOLER=127.0.0.1:$port
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        sleep 0.1
    done
    die "PgBouncer does not listen: $(cat "$CLUSTER_DIR/pooler.log")"
}

# matrix_page PAGE ROWS: the page with these rows in place of those of the same version and test.
matrix_page() {
    cat <<'TEXT'
# Versions and poolers

This page has the results of `./dev matrix`. It runs the tests that use PostgreSQL, with each supported version and through PgBouncer in transaction mode. Each row has the result and the day of its last run. `life_cycle` includes every two statements that can meet, with all three isolation levels as the default ([schedules.md](schedules.md)); `history` is failover and restores with real servers. A test that needs something that a version lacks, for example an extension, says so and passes. `./dev matrix TEST…` runs some of the tests and replaces their rows.

| PostgreSQL | tests | passed | result | seconds | day |
| --- | --- | ---: | --- | ---: | --- |
TEXT
    {
        sed -n 's/^| \([0-9].*\) |$/\1/p' "$1" | sed 's/ | /\t/g'
        cat "$2"
    } | awk -F '\t' '
        { split($1, version, "."); key = version[1] ($1 ~ /PgBouncer/ ? " pooled" : "") "\t" $2 }
        !(key in rows) { order[++count] = key }
        { rows[key] = "| " $1 " | " $2 " | " $3 " | " $4 " | " $5 " | " $6 " |" }
        END { for (n = 1; n <= count; n++) print rows[order[n]] }' | sort -s -t '|' -k 2,2
}

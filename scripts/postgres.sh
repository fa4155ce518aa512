# shellcheck shell=bash
# PostgreSQL for `./dev`: finds or installs the server, and runs throwaway clusters. Sourced, not run.

# Prints the directory of a usable initdb and pg_ctl: POSTGRES_BIN, or the newest version; fails if there is none.
postgres_bin() {
    local initdb
    if [ -n "${POSTGRES_BIN:-}" ]; then
        printf '%s\n' "$POSTGRES_BIN"
        return
    fi
    for initdb in "$(command -v initdb || true)" \
        $(printf '%s\n' /usr/lib/postgresql/*/bin/initdb \
            /opt/homebrew/opt/postgresql@*/bin/initdb /usr/local/opt/postgresql@*/bin/initdb \
            /Applications/Postgres.app/Contents/Versions/latest/bin/initdb | sort -rV); do
        # A link to it is beside no libraries.
        initdb=$(readlink -f "$initdb" 2>/dev/null || printf '%s' "$initdb")
        [ -x "$initdb" ] && [ -x "${initdb%/*}/pg_ctl" ] || continue
        # "initdb (PostgreSQL) 15.14 (Debian …)": 14 is the oldest version the SQL is written for.
        [ "$("$initdb" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')" -ge 14 ] || continue
        printf '%s\n' "${initdb%/*}"
        return
    done
    return 1
}

# Puts psql on the PATH, of which Homebrew leaves it out.
add_psql() {
    if ! command -v psql >/dev/null && postgres_bin >/dev/null; then PATH=$PATH:$(postgres_bin); fi
}

# Ensures that the server's programs are there.
install_postgres() {
    if postgres_bin >/dev/null; then return; fi
    if command -v apt-get >/dev/null; then
        # Debian's package would also create and start a cluster of the system's own: nobody asked for
        # that, so it is told not to before it is installed.
        local settings=/etc/postgresql-common/createcluster.d/campaign-sender.conf
        need_root "apt-get install postgresql"
        install_package postgresql-common "" "keeps PostgreSQL from starting a server of its own"
        as_root mkdir -p "${settings%/*}"
        printf 'create_main_cluster = off\n' | as_root tee "$settings" >/dev/null
        install_package postgresql "" "the database server"
        as_root rm "$settings"
    else
        install_package "" postgresql@17 "the database server"
    fi
    postgres_bin >/dev/null || die "initdb and pg_ctl are not found, though PostgreSQL is installed"
}

# Starts a throwaway cluster, and exports DATABASE_URL and POSTGRES_RESTART, a shell command that kills
# the server and starts it again. It lives on a loopback port, trusts whoever connects, and is gone when
# this shell exits. Arguments: lines of postgresql.conf to add.
start_postgres() {
    install_postgres
    CLUSTER_BIN=$(postgres_bin)
    CLUSTER_DIR=$(mktemp -d "${TMPDIR:-/tmp}/campaign-sender.XXXXXX")
    CLUSTER_OWNER=$(id -un)
    if [ "$(id -u)" = 0 ]; then
        # The server refuses to run as root.
        command -v runuser >/dev/null || die "PostgreSQL refuses to run as root: run ./dev as another user"
        CLUSTER_OWNER=nobody
        if id postgres >/dev/null 2>&1; then CLUSTER_OWNER=postgres; fi
        chown "$CLUSTER_OWNER" "$CLUSTER_DIR"
    fi
    trap stop_postgres EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    as_postgres "$CLUSTER_BIN/initdb" -D "$CLUSTER_DIR/data" -U postgres --auth=trust --encoding=UTF8 \
        --locale=C --no-sync >"$CLUSTER_DIR/initdb.log" || die "initdb failed: $(cat "$CLUSTER_DIR/initdb.log")"
    postgres_settings "$@" >>"$CLUSTER_DIR/data/postgresql.conf"

    # Nothing can reserve a port: the server's own start is the test whether one is free.
    local port attempt
    for attempt in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 10000))
        if postgres_control start -o "-p $port"; then
            say "PostgreSQL $("$CLUSTER_BIN/postgres" --version | sed 's/^[^0-9]*\([0-9.]*\).*/\1/')" \
                "on 127.0.0.1:$port, removed at the end"
            printf 'port = %s\n' "$port" >>"$CLUSTER_DIR/data/postgresql.conf"
            export DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres"
            POSTGRES_RESTART="$(restart_command)" && export POSTGRES_RESTART
            return
        fi
        grep -q 'Address already in use' "$CLUSTER_DIR/server.log" || break
    done
    die "PostgreSQL did not start (attempt $attempt): $(tail -3 "$CLUSTER_DIR/server.log")"
}

# The settings of every throwaway cluster; the arguments follow, and win.
postgres_settings() {
    printf '%s\n' "listen_addresses = '127.0.0.1'" "unix_socket_directories = ''" \
        'max_connections = 300' 'max_wal_size = 4GB' "timezone = 'UTC'"
    # Lets a test count statements as PostgreSQL saw them, where the contrib modules are there.
    local libraries
    libraries=$("$CLUSTER_BIN/pg_config" --pkglibdir 2>/dev/null || printf '%s/../lib' "$CLUSTER_BIN")
    if [ -d "$libraries/postgresql" ]; then libraries=$libraries/postgresql; fi
    if [ -e "$libraries/pg_stat_statements.so" ] || [ -e "$libraries/pg_stat_statements.dylib" ]; then
        printf '%s\n' "shared_preload_libraries = 'pg_stat_statements'" 'pg_stat_statements.max = 10000'
    fi
    if [ $# -gt 0 ]; then printf '%s\n' "$@"; fi
}

# Runs a program as the user that owns the cluster, from a directory which that user may enter. Its messages are English,
# for start_postgres reads them; and on macOS the server does not start without a valid locale.
as_postgres() (
    cd "$CLUSTER_DIR" || exit
    export LC_ALL=C
    if [ "$CLUSTER_OWNER" = "$(id -un)" ]; then exec "$@"; fi
    exec runuser -u "$CLUSTER_OWNER" -- "$@"
)

postgres_control() {
    as_postgres "$CLUSTER_BIN/pg_ctl" -D "$CLUSTER_DIR/data" -l "$CLUSTER_DIR/server.log" -w -s "$@" 2>/dev/null
}

# A command line for `sh -c` that takes the server down as a crash would, and brings it back.
restart_command() {
    local as_user=""
    if [ "$CLUSTER_OWNER" != "$(id -un)" ]; then as_user="runuser -u $CLUSTER_OWNER -- "; fi
    printf 'cd %q && LC_ALL=C %s%q -D %q -l %q -m immediate -w -s restart' "$CLUSTER_DIR" "$as_user" \
        "$CLUSTER_BIN/pg_ctl" "$CLUSTER_DIR/data" "$CLUSTER_DIR/server.log"
}

stop_postgres() {
    postgres_control stop -m immediate || true
    rm -rf "$CLUSTER_DIR"
}

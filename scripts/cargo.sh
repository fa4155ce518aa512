# shellcheck shell=bash
# cargo without its hundreds of lines, for `./dev`. Sourced, not run.

# cargo_quietly ARGUMENT…: runs cargo. Of its output only what is wrong is shown; in a terminal, a clock shows that it is
# alive.
cargo_quietly() {
    start_cargo "$@"
    finish_cargo
}

# start_cargo ARGUMENT…: runs cargo beside what follows, until finish_cargo waits for it. It ends with this shell.
start_cargo() {
    CARGO_LOG=$(mktemp "${TMPDIR:-/tmp}/campaign-sender-cargo.XXXXXX")
    CARGO_STARTED=$SECONDS
    trap stop_cargo EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    CARGO_TERM_PROGRESS_WHEN=never cargo "$@" >"$CARGO_LOG" 2>&1 &
    CARGO_PID=$!
}

# Waits for what start_cargo began; ends this shell if it fails, with cargo's own words and what they mean.
finish_cargo() {
    local status=0 clock=""
    if [ -t 2 ]; then
        show_clock &
        clock=$!
    fi
    wait "$CARGO_PID" || status=$?
    CARGO_PID=""
    if [ -n "$clock" ]; then
        kill "$clock"
        wait "$clock" 2>/dev/null || true
        printf '\r\033[K' >&2
    fi
    [ $status = 0 ] || cargo_failed
    stop_cargo
    trap - EXIT
}

stop_cargo() {
    if [ -n "${CARGO_PID:-}" ]; then
        kill "$CARGO_PID" 2>/dev/null || true
        wait "$CARGO_PID" 2>/dev/null || true
    fi
    rm -f "$CARGO_LOG"
}

# One line that changes, as long as this shell lives.
show_clock() {
    local crates what
    while sleep 1 && kill -0 $$ 2>/dev/null; do
        crates=$(grep -c '^ *Compiling ' "$CARGO_LOG" 2>/dev/null || true)
        what="${crates:-0} crates compiled"
        case $(tail -n 1 "$CARGO_LOG" 2>/dev/null) in
            *Blocking\ waiting*) what="waiting for another cargo" ;;
            *Downloading\ * | *Downloaded\ * | *Updating\ *) what="downloading crates" ;;
        esac
        printf '\r\033[K  %s s, %s' "$((SECONDS - CARGO_STARTED))" "$what" >&2
    done
}

cargo_failed() {
    local log
    log=$(grep -vE '^ *(Compiling|Downloading|Downloaded|Updating|Blocking|Adding|Locking) ' "$CARGO_LOG" || true)
    printf '%s\n' "$log" >&2
    case $log in
        *"No space left on device"* | *"os error 28"*)
            die "the disk is full: $TARGET has $(free_space "$TARGET") MB left, and a build takes up to 2,000 MB. Make room, or name a directory on another disk in CARGO_TARGET_DIR" ;;
        *"failed to download"* | *"download of "*" failed"* | *"Could not resolve host"* | *"failed to get "*)
            die "cargo does not reach crates.io: the first build downloads the crates. Connect to the network (a proxy: set HTTPS_PROXY), and run it again" ;;
        *"requires rustc "* | *"is not supported by the following package"*)
            die "this compiler is too old ($(rustc --version 2>/dev/null)): run rustup update" ;;
        *) die "cargo failed: its words are above" ;;
    esac
}

# Megabytes that are free on the disk of a directory, or of the nearest one above it.
free_space() {
    local directory=$1
    while [ ! -d "$directory" ]; do directory=$(dirname "$directory"); done
    df -Pm "$directory" | awk 'NR == 2 { print $4 }'
}

# Downloads the crates for this machine beside what follows. Errors are those of the build, which tries again.
fetch_crates() {
    command -v cargo >/dev/null || return 0
    cargo fetch --locked --quiet --target "$(rustc -vV | sed -n 's/^host: //p')" >/dev/null 2>&1 &
}

# shellcheck shell=bash
# What `./dev` says, and the tools that it installs. Sourced, not run.

say() { message '1;36' '▸' "$*"; }

die() {
    message '1;31' '✗' "$*"
    exit 1
}

# message COLOUR SIGN TEXT: one line on standard error, the sign in colour in a terminal.
message() {
    if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
        printf '\033[%sm%s\033[0m %s\n' "$1" "$2" "$3" >&2
    else
        printf '%s %s\n' "$2" "$3" >&2
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Ends with what an administrator has to run, unless this user may run commands as root. sudo asks for a password here, and
# not in the middle of what follows.
need_root() {
    [ "$(id -u)" != 0 ] || return 0
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then return 0; fi
    die "only root may install packages, and $(id -un) may not use sudo here. An administrator can run: $*"
}

# install_package DEBIAN-NAMES HOMEBREW-NAMES WHAT: says what it installs, then installs it. Several names are separated by
# spaces.
install_package() {
    local debian homebrew
    read -r -a debian <<<"$1"
    read -r -a homebrew <<<"$2"
    if command -v apt-get >/dev/null && [ -n "$1" ]; then
        say "installing $1 with apt-get: $3"
        need_root "apt-get install $1"
        update_packages
        quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${debian[@]}"
    elif command -v brew >/dev/null && [ -n "$2" ]; then
        say "installing $2 with Homebrew: $3"
        HOMEBREW_NO_AUTO_UPDATE=1 quietly brew install "${homebrew[@]}"
    else
        die "neither apt-get nor Homebrew is here: install ${1:-$2} by hand ($3)"
    fi
}

# The lists of packages, once in a run.
update_packages() {
    [ -z "${PACKAGES_UPDATED:-}" ] || return 0
    quietly as_root apt-get update
    PACKAGES_UPDATED=yes
}

# Runs a command whose output matters only if it fails.
quietly() {
    local output what="$*"
    output=$("$@" 2>&1) || die "failed: ${what#as_root }"$'\n'"$output"
}

# Cargo links with the C compiler, and the cryptography is partly C.
install_compiler() {
    command -v cargo >/dev/null || die "Rust is not installed: see https://rustup.rs"
    command -v cc >/dev/null && return
    [ "$(uname)" != Darwin ] || die "the C compiler is missing: run xcode-select --install"
    install_package "gcc libc6-dev" "" "the C compiler and linker"
}

# What the tests of the ways to PostgreSQL take: a pooler, and certificates of their own.
install_network() {
    if ! PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null; then
        install_package pgbouncer pgbouncer "the pooler, for the tests"
    fi
    command -v openssl >/dev/null || install_package openssl openssl "certificates for the tests"
}

# Names the browser of the tests in CHROMIUM, unless that is set.
install_chromium() {
    local program mac="/Applications/Chromium.app/Contents/MacOS/Chromium"
    if [ -z "${CHROMIUM:-}" ]; then
        program=$(command -v chromium || true)
        if [ -z "$program" ] && [ -x "$mac" ]; then program=$mac; fi
        if [ -z "$program" ]; then
            install_package chromium chromium "a browser, for the tests of the pages"
            program=$(command -v chromium || echo "$mac")
        fi
        export CHROMIUM=$program
    fi
}

# install_python GROUP: the packages of requirements/GROUP.txt, each with the hash that stands there, and their programs first
# on the PATH. Groups that go together are in .venv; checkov has an environment of its own.
install_python() {
    local group environment lock
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        install_package python3-venv python@3.13 "Python, for the AWS tools"
    fi
    for group in "$@"; do
        environment=.venv
        [ "$group" != checkov ] || environment=.venv/checkov
        if [ ! -x "$environment/bin/pip" ]; then python3 -m venv "$environment"; fi
        [ "$group" = checkov ] || PATH=$PWD/$environment/bin:$PATH
        lock=requirements/$group.txt
        cmp -s "$lock" "$environment/.has-$group" && continue
        say "installing $lock with pip into $environment"
        quietly "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
        cp "$lock" "$environment/.has-$group"
    done
}

# install_node DIRECTORY: Node, and what DIRECTORY's lock file names.
install_node() {
    command -v node >/dev/null || install_package nodejs node "Node, for examples, peers and a second implementation of SES"
    command -v npm >/dev/null || install_package npm node "Node's package manager"
    [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ] || return 0
    say "installing the packages of $1 with npm"
    quietly npm ci --prefix "$1" --no-audit --no-fund
}

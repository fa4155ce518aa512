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
    die "only root may install packages, and $(id -un) may not use sudo here. An administrator can run: ${PACKAGES_OF_COMMAND:-$*}"
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

# Runs a command whose output matters only if it fails. It does not read the lines that are pasted behind this one.
quietly() {
    local output what="$*"
    output=$("$@" 2>&1 </dev/null) || die "failed: ${what#as_root }"$'\n'"$output"
}

# Cargo links with the C compiler, and the cryptography is partly C.
install_compiler() {
    need_rust
    command -v cc >/dev/null && return
    [ "$(uname)" != Darwin ] || die "the C compiler is missing: run xcode-select --install"
    install_package "gcc libc6-dev" "" "the C compiler and linker"
}

# Ends unless cargo is as new as Cargo.toml asks. (The packages of Debian 13 and Ubuntu 24.04 are older, and older ones say
# something else than that.)
need_rust() {
    local needed version
    needed=$(sed -n 's/^rust-version = "1\.\([0-9]*\)"$/\1/p' Cargo.toml)
    command -v cargo >/dev/null ||
        die "Rust is not installed: run the command that https://rustup.rs shows, and then this one again"
    version=$(cargo --version 2>&1) || die "cargo does not work: $version"
    version=${version#cargo 1.}
    [ "${version%%.*}" -ge "$needed" ] 2>/dev/null ||
        die "Rust 1.$needed or newer is needed, and $(command -v cargo) is $(cargo --version): run rustup update stable, or install Rust by https://rustup.rs"
}

# What the tests of the ways to PostgreSQL take: a pooler, and certificates of their own.
install_network() {
    if ! PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null; then
        install_package pgbouncer pgbouncer "the pooler, for the tests"
        stop_service pgbouncer
    fi
    command -v openssl >/dev/null || install_package openssl openssl "certificates for the tests"
}

# Stops what Debian starts when it is installed: the tests start their own.
stop_service() {
    if [ -d /run/systemd/system ]; then
        quietly as_root systemctl disable --now "$1"
    elif [ -x "/etc/init.d/$1" ]; then
        quietly as_root "/etc/init.d/$1" stop
    fi
}

# Names the browser of the tests in CHROMIUM, unless that is set. Where the system has no package of it (macOS; Ubuntu's is
# a snap, which does not see the tests' files), it is the one that Playwright brings: install_python tools comes first.
install_chromium() {
    [ -z "${CHROMIUM:-}" ] || return 0
    if ! CHROMIUM=$(find_chromium); then
        if has_package chromium; then
            install_package chromium "" "a browser, for the tests of the pages"
            CHROMIUM=$(command -v chromium)
        else
            CHROMIUM=$(playwright_chromium)
            if [ ! -x "$CHROMIUM" ]; then
                say "installing Playwright's Chromium: a browser, for the tests of the pages"
                if command -v apt-get >/dev/null; then
                    need_root "$PWD/.venv/bin/playwright install-deps chromium"
                    quietly as_root "$PWD/.venv/bin/playwright" install-deps chromium
                fi
                quietly .venv/bin/playwright install --no-shell chromium
            fi
        fi
    fi
    export CHROMIUM
}

# Prints the path of an installed browser that is no snap.
find_chromium() {
    local program
    for program in "$(command -v chromium || true)" "$(command -v google-chrome || true)" \
        "/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
        case $program in /snap/*) continue ;; esac
        [ -x "$program" ] || continue
        printf '%s\n' "$program"
        return
    done
    return 1
}

playwright_chromium() {
    .venv/bin/python -c 'from playwright.sync_api import sync_playwright
with sync_playwright() as playwright: print(playwright.chromium.executable_path)'
}

# Succeeds if apt-get can install this package.
has_package() {
    command -v apt-cache >/dev/null || return 1
    update_packages
    apt-cache policy "$1" | grep -q '^ *Candidate: [0-9]'
}

# install_python GROUP: the packages of requirements/GROUP.txt, each with the hash that stands there, and their programs first
# on the PATH. Groups that go together are in .venv; checkov and Node have environments of their own.
install_python() {
    local group environment lock python
    for group in "$@"; do
        environment=.venv
        case $group in checkov | node) environment=.venv/$group ;; esac
        if ! "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
            python=$(find_python) || {
                install_package python3-venv python@3.13 "Python, for the AWS tools"
                python=$(find_python) || die "Python 3.11 or newer is needed, and $(python3 --version 2>&1) is here"
            }
            quietly "$python" -m venv "$environment"
        fi
        [ "$group" = checkov ] || PATH=$PWD/$environment/bin:$PATH
        lock=requirements/$group.txt
        cmp -s "$lock" "$environment/.has-$group" && continue
        say "installing $lock with pip into $environment"
        quietly "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
        cp "$lock" "$environment/.has-$group"
    done
}

# Prints a Python of the age that requirements/ is written for, with what makes virtual environments. (Apple's is older.)
find_python() {
    local program
    for program in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$program" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$program"
            return
        fi
    done
    return 1
}

# install_node DIRECTORY: Node, and what DIRECTORY's lock file names. Debian 12 and Ubuntu 24.04 have a Node that is too old
# for some of it, so Node comes from pip unless one is here that is new enough.
install_node() {
    if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then
        install_python node
    fi
    [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ] || return 0
    say "installing the packages of $1 with npm"
    quietly npm ci --prefix "$1" --no-audit --no-fund
}

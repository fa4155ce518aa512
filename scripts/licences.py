"""Holds every dependency's licence and source against deny.toml, as `cargo deny check licenses sources` does.

Usage: cargo metadata --format-version 1 --all-features | python3 scripts/licences.py deny.toml

Exit status 1, and one line for each crate that is not allowed, if there are any.
"""

import json
import re
import sys

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def allowed_licences(path):
    """The `allow` list of deny.toml. Read by pattern, because Python before 3.11 knows no TOML."""
    with open(path, encoding="utf-8") as file:
        allow = re.search(r"^allow = \[(.*?)^\]", file.read(), re.DOTALL | re.MULTILINE)
    return set(re.findall(r'"([^"]+)"', allow.group(1)))


def satisfied(expression, allowed):
    """Whether an SPDX expression can be met with allowed licences. AND binds tighter than OR."""
    # "MIT/Apache-2.0" is what crates wrote before SPDX expressions; WITH belongs to the licence's name.
    text = expression.replace("/", " OR ").replace(" WITH ", "_WITH_")
    tokens = re.findall(r"[()]|[^\s()]+", text)

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = both() or result
        return result

    def both():
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one():
        token = tokens.pop(0)
        if token == "(":
            result = either()
            tokens.pop(0)
            return result
        return token.replace("_WITH_", " WITH ") in allowed

    return either()


def main():
    allowed = allowed_licences(sys.argv[1])
    refused = []
    for package in json.load(sys.stdin)["packages"]:
        name = f"{package['name']} {package['version']}"
        licence = package["license"] or "no licence given"
        if not satisfied(licence, allowed):
            refused.append(f"{name}: licence '{licence}' is not allowed by {sys.argv[1]}")
        if package["source"] not in (None, CRATES_IO):
            refused.append(f"{name}: source '{package['source']}' is not crates.io")
    print("\n".join(refused), end="\n" if refused else "")
    sys.exit(1 if refused else 0)


main()

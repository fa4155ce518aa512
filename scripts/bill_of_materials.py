"""The software bill of materials of what is deployed: every crate that the three functions are built from, as CycloneDX 1.5.

Usage: cargo metadata --format-version 1 --locked --filter-platform TARGET | python3 scripts/bill_of_materials.py Cargo.lock
"""

import json
import re
import sys


def checksums(lock):
    """The SHA-256 of each crate's archive, by name and version."""
    with open(lock, encoding="utf-8") as file:
        packages = file.read().split("[[package]]")[1:]
    found = {}
    for package in packages:
        fields = dict(re.findall(r'^(name|version|checksum) = "(.*)"$', package, re.MULTILINE))
        if "checksum" in fields:
            found[fields["name"], fields["version"]] = fields["checksum"]
    return found


def built_from(metadata, root):
    """The root and what it is built from: normal and build dependencies, not those of tests."""
    edges = {
        node["id"]: [
            dep["pkg"] for dep in node["deps"] if any(kind["kind"] in (None, "build") for kind in dep["dep_kinds"])
        ]
        for node in metadata["resolve"]["nodes"]
    }
    reached, waiting = {}, [root]
    while waiting:
        package = waiting.pop()
        if package not in reached:
            reached[package] = sorted(edges[package])
            waiting += reached[package]
    return reached


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, hashes):
    described = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        "licenses": [{"expression": (package["license"] or "NOASSERTION").replace("/", " OR ")}],
    }
    checksum = hashes.get((package["name"], package["version"]))
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return described


def main(lock):
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    [root] = [package["id"] for package in packages.values() if package["name"] == "campaign-sender"]
    reached, hashes = built_from(metadata, root), checksums(lock)
    components = [component(packages[package], hashes) for package in reached if package != root]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**component(packages[root], hashes), "type": "application"}},
        "components": sorted(components, key=lambda described: described["bom-ref"]),
        "dependencies": [
            {"ref": purl(packages[package]), "dependsOn": [purl(packages[dep]) for dep in deps]}
            for package, deps in sorted(reached.items(), key=lambda pair: purl(packages[pair[0]]))
        ],
    }
    missing = [described["bom-ref"] for described in components if "hashes" not in described]
    if not components or missing:
        sys.exit(f"no bill of materials: {missing or 'no crates'}")
    json.dump(bill, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main(sys.argv[1])

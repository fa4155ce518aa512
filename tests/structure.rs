//! Holds the direction in which the functions' modules import each other, that no files import each other in a ring,
//! and that what ARCHITECTURE.md names as a check of its promises exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src/`, lowest first. A module imports those of lower ranks, and no other of its own rank.
const RANKS: [&[&str]; 6] = [
    &["domain"],
    &["message"],
    &["aws", "ses"],
    &["store"],
    &["lambda"],
    &["send_batch", "ses_events", "unsubscribe"],
];
/// Modules of one rank where one builds on the other.
const BESIDE: [(&str, &str); 1] = [("ses", "aws")];
/// Pure modules, and what they may not import.
const PURE: [&str; 2] = ["domain", "message"];
const EDGES: [&str; 7] =
    ["tokio::", "tokio_postgres::", "deadpool", "aws_", "hyper", "lambda_runtime::", "std::net::"];

/// Each module by its path (`send_batch::claim`), with its text without comments and tests.
fn modules() -> BTreeMap<String, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    files
        .into_iter()
        .filter_map(|file| {
            let path = file.strip_prefix(&source).unwrap().with_extension("");
            let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
            let parts = parts.strip_suffix(&["mod"]).unwrap_or(&parts);
            if parts[0] == "bin" || parts == ["lib"] || parts.contains(&"tests") {
                return None;
            }
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code: String = code
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("\n");
            Some((parts.join("::"), code))
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules that a module names after `crate::` or `super::`.
fn imports(module: &str, code: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
            {
                continue;
            }
            let mut base: Vec<&str> =
                if start == "crate::" { Vec::new() } else { module.split("::").collect() };
            let mut rest = &code[at..];
            loop {
                if let Some(after) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = after;
                } else if let Some(after) =
                    rest.strip_prefix("crate::").or_else(|| rest.strip_prefix("self::"))
                {
                    rest = after;
                } else {
                    break;
                }
            }
            let end =
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            let path = rest[..end].trim_end_matches(':');
            let names: Vec<&str> = match rest[end..].strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap().split(',').map(str::trim).collect(),
                None => vec![""],
            };
            for name in names {
                let name = name.split(' ').next().unwrap_or_default();
                let mut whole: Vec<&str> = base.clone();
                whole.extend(path.split("::").filter(|part| !part.is_empty()));
                whole.extend(name.split("::").filter(|part| !part.is_empty() && *part != "self"));
                while !whole.is_empty() && !modules.contains_key(&whole.join("::")) {
                    whole.pop();
                }
                let target = whole.join("::");
                if !target.is_empty() && target != module {
                    found.insert(target);
                }
            }
        }
    }
    found
}

fn rank(module: &str) -> usize {
    let top = module.split("::").next().unwrap();
    RANKS.iter().position(|rank| rank.contains(&top)).unwrap_or_else(|| panic!("src/{top} has no rank"))
}

#[test]
fn no_import_runs_back_up() {
    let modules = modules();
    for (module, code) in &modules {
        let top = module.split("::").next().unwrap();
        for target in imports(module, code, &modules) {
            let to = target.split("::").next().unwrap();
            let allowed = top == to || rank(&target) < rank(module) || BESIDE.contains(&(top, to));
            assert!(allowed, "{module} imports {target}, which is above or beside it");
        }
    }
}

#[test]
fn what_decides_is_pure() {
    for (module, code) in modules() {
        if PURE.contains(&module.split("::").next().unwrap()) {
            for edge in EDGES {
                assert!(!code.contains(edge), "{module} is pure and names {edge}");
            }
            for clock in ["Instant::now()", "SystemTime::now()"] {
                assert!(!code.contains(clock), "{module} is pure and reads the clock by {clock}");
            }
        }
    }
}

#[test]
fn no_files_import_each_other_in_a_ring() {
    let modules = modules();
    let mut left: BTreeMap<&String, BTreeSet<String>> =
        modules.iter().map(|(module, code)| (module, imports(module, code, &modules))).collect();
    // A file that imports no remaining file, or that no remaining file imports, is in no ring.
    loop {
        let before = left.len();
        let names: BTreeSet<String> = left.keys().map(ToString::to_string).collect();
        left.retain(|_, targets| targets.iter().any(|target| names.contains(target)));
        let imported: BTreeSet<String> = left.values().flatten().cloned().collect();
        left.retain(|module, _| imported.contains(*module));
        if left.len() == before {
            break;
        }
    }
    let ring: Vec<String> = left.iter().map(|(module, targets)| format!("{module} -> {targets:?}")).collect();
    assert!(ring.is_empty(), "these files import each other:\n{}", ring.join("\n"));
}

/// The tables after "The promise in plain words" name tests by their functions or files, and promises of the model in
/// quotation marks.
#[test]
fn what_checks_the_promises_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let page = read(&root.join("ARCHITECTURE.md"));
    let promises = page.split("## The promise in plain words").nth(1).expect("the section");
    let promises = promises.split("The promises rest on these assumptions").next().unwrap_or_default();
    let mut files = Vec::new();
    for folder in ["tests", "cli/tests", "model/src"] {
        collect(&root.join(folder), &mut files);
    }
    let tests: String = files.iter().map(|file| read(file)).collect();
    let (mut names, mut missing) = (0, Vec::new());
    for row in promises.lines().filter(|line| line.starts_with('|')) {
        let in_code = row.split('`').skip(1).step_by(2).map(|name| (name, format!("fn {name}()")));
        let in_quotes = row.split('"').skip(1).step_by(2).map(|name| (name, format!("\"{name}\"")));
        for (name, wanted) in in_code.chain(in_quotes).filter(|(name, _)| !name.starts_with("./dev")) {
            names += 1;
            let exists = if name.contains('/') { root.join(name).exists() } else { tests.contains(&wanted) };
            if !exists {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md names what does not exist: {missing:?}");
    assert!(names > 20, "the tables are written in another way: {names} names");
}

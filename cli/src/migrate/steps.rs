//! The steps of `baseline.sql`, which bring tables that are older than recorded versions to the newest version.

use super::versions;

/// How a step is run; see the head of `baseline.sql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Transaction,
    Portions,
    Concurrently,
    Index,
    Statements,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    pub kind: Kind,
    /// A description of the step; for an index, its name.
    pub title: String,
    pub sql: String,
}

/// The step that creates the functions of this release.
pub const SWITCH: &str = "the switch";

/// All steps in their order. Steps before [`SWITCH`] run with the old functions, steps after it with those of
/// this release.
pub fn all() -> Vec<Step> {
    let (_, addresses) = versions::VERSIONS[0];
    let filled = include_str!("baseline.sql")
        .replace("{addresses}", addresses)
        .replace("{later_versions}", &versions::after_baseline())
        .replace("{suppressions}", include_str!("suppressions.sql"))
        .replace("{functions}", &versions::functions());
    filled.split("\n-- step ").skip(1).map(parse).collect()
}

fn parse(text: &str) -> Step {
    let (head, sql) = text.split_once('\n').expect("a step has a line and a text");
    let (kind, title) = head.split_once(": ").expect("KIND: what it does");
    let kind = match kind {
        "transaction" => Kind::Transaction,
        "portions" => Kind::Portions,
        "concurrently" => Kind::Concurrently,
        "index" => Kind::Index,
        "statements" => Kind::Statements,
        other => panic!("baseline.sql has a step of the kind {other}"),
    };
    Step { kind, title: title.to_owned(), sql: sql.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_read_and_an_index_has_the_step_that_makes_its_rows_unique_before_it() {
        let steps = all();
        assert_eq!(steps.iter().filter(|step| step.title == SWITCH).count(), 1);
        for (i, step) in steps.iter().enumerate() {
            assert!(
                !step.sql.contains("{functions}")
                    && !step.sql.contains("{later_versions}")
                    && !step.sql.is_empty(),
                "{}",
                step.title
            );
            if step.kind == Kind::Index {
                assert_eq!(steps[i - 1].kind, Kind::Portions, "{}", step.title);
                let sql: Vec<&str> = step.sql.split_whitespace().collect();
                assert!(sql.join(" ").contains(&format!("CONCURRENTLY {} ON", step.title)), "{}", step.sql);
            }
        }
    }
}

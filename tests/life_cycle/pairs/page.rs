//! The page that lists what was tried: `docs/schedules.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::statement::Statement;
use crate::support::root;

/// The beginning of the generated part of the page.
const MARK: &str = "<!-- What follows is written by the test. -->\n";

/// The schedules that were tried.
#[derive(Default)]
pub struct Tried {
    stops: BTreeMap<Statement, BTreeSet<&'static str>>,
    pairs: BTreeMap<(Statement, Statement), BTreeSet<&'static str>>,
}

impl Tried {
    pub fn note(&mut self, one: Statement, other: Statement, row: &'static str) {
        self.stops.entry(one).or_default().insert(row);
        self.pairs.entry((one, other)).or_default().insert(row);
    }

    fn text(&self) -> String {
        let mut text =
            "| statement | what it is | rows at which it waits |\n| --- | --- | --- |\n".to_owned();
        for statement in Statement::ALL {
            let (name, what) = statement.words();
            let rows: Vec<_> = self.stops[&statement].iter().copied().collect();
            writeln!(text, "| {name} | {what} | {} |", rows.join(", ")).unwrap();
        }
        text += "\nThe number of schedules of each pair: the statement of the row is stopped, and the one of the column runs in the meantime.\n\n|  |";
        for other in Statement::ALL {
            write!(text, " {} |", other.words().0).unwrap();
        }
        writeln!(text, "\n| --- |{}", " ---: |".repeat(Statement::ALL.len())).unwrap();
        for one in Statement::ALL {
            write!(text, "| {} |", one.words().0).unwrap();
            for other in Statement::ALL {
                let count = self.pairs.get(&(one, other)).map_or(0, BTreeSet::len);
                write!(text, " {count} |").unwrap();
            }
            text.push('\n');
        }
        text
    }

    /// Checks that the page lists exactly what was tried. `OVERWRITE_DOCS=1` writes it.
    pub fn compare_with_the_page(&self) {
        let path = root().join("docs/schedules.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let (head, said) = page.split_once(MARK).expect("the page has a part that is generated");
        if std::env::var_os("OVERWRITE_DOCS").is_some() {
            std::fs::write(path, format!("{head}{MARK}\n{}", self.text())).unwrap();
        } else {
            assert_eq!(said.trim(), self.text().trim(), "OVERWRITE_DOCS=1 writes it into docs/schedules.md");
        }
    }
}

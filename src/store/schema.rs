//! The version of the schema with which this release works.
//!
//! Each connection pool checks it with its first statement: the check comes before the statement in the same
//! transaction and the same round trip. If it fails, the statement is not run.

/// SQLSTATE of a version that does not fit, as `schema.sql` raises it.
pub const MISMATCH: &str = "CS001";

/// The version that this release was made for. `migrations/` has the same one, and a test compares them.
pub const VERSION: i32 = 6;

/// The SQL that fails with [`MISMATCH`] unless the tables in `schema` fit this release.
pub fn check(schema: &str) -> String {
    let lines: Vec<&str> =
        include_str!("schema.sql").lines().filter(|line| !line.starts_with("--")).collect();
    lines.join("\n").replace("{schema}", schema).replace("{version}", &VERSION.to_string())
}

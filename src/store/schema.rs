//! Which version of the schema this release works with.
//!
//! Each connection pool makes sure of it with its first statement: a check goes before it in the same transaction and the
//! same round trip. If it fails, the statement is not run.

/// SQLSTATE of a version that does not fit, as `schema.sql` raises it.
pub const MISMATCH: &str = "CS001";

/// The version that this release was made for. `migrations/` has the same one, and a test compares them.
pub const VERSION: i32 = 4;

/// The SQL that fails with [`MISMATCH`] unless the tables in `schema` fit this release.
pub fn check(schema: &str) -> String {
    let lines: Vec<&str> =
        include_str!("schema.sql").lines().filter(|line| !line.starts_with("--")).collect();
    lines.join("\n").replace("{schema}", schema).replace("{version}", &VERSION.to_string())
}

//! A role that may not migrate is told so, and what it lacks.

use super::migrate;
use crate::support::database::TestDatabase;

/// A role that may log in and no more; gone with this.
struct Role {
    name: String,
    database: TestDatabase,
}

impl Role {
    fn on(mut database: TestDatabase) -> Role {
        let name = format!("no_owner_of_{}", database.name());
        // Before PostgreSQL 15, everybody may create tables in the schema public.
        let sql = format!("CREATE ROLE {name} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        database.client().batch_execute(&sql).unwrap();
        Role { name, database }
    }

    /// What `campaign migrate` says to it.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = migrate(&self.database.url_for(&self.name, "none"), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(77), "{said}");
        said
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let sql = format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name);
        let _ = self.database.client().batch_execute(&sql);
    }
}

#[test]
fn a_role_that_may_not_migrate_is_told_which_one_may() {
    let mut earlier = TestDatabase::create_empty();
    earlier.client().batch_execute(include_str!("schemas/release_0_1.sql")).unwrap();
    let mut outdated = TestDatabase::create();
    outdated.execute("UPDATE campaign_schema SET functions_hash = 'another'", &[]);
    for (name, database) in
        [("empty", TestDatabase::create_empty()), ("release 0.1", earlier), ("other functions", outdated)]
    {
        let said = Role::on(database).refused(&[]);
        assert!(
            said.contains("the role in DATABASE_URL may not migrate: use the owner of the tables"),
            "{name}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{name}: {said}");
    }
}

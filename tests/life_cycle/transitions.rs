//! The life cycle in Rust and in SQL.

use campaign_sender::domain::recipient::Status;

use crate::support::database::TestDatabase;

#[test]
fn the_fence_in_sql_is_the_life_cycle() {
    let mut database = TestDatabase::create();
    let mut allowed = |from: Option<&str>, to: Option<&str>| {
        database.query("SELECT recipient_may_become($1::text, $2::text) IS TRUE", &[&from, &to])[0]
            .get::<_, bool>(0)
    };
    for from in Status::ALL {
        for to in Status::ALL {
            assert_eq!(
                allowed(Some(from.as_str()), Some(to.as_str())),
                from.may_become(to),
                "{from} -> {to}"
            );
        }
        for unknown in [None, Some("opened"), Some("")] {
            assert!(
                !allowed(Some(from.as_str()), unknown) && !allowed(unknown, Some(from.as_str())),
                "{from}"
            );
        }
    }
}

//! Waits for locks: limited if a limit is asked for, reported as such, and repeated if that can help.

use std::time::Duration;

use campaign_sender::store::settings::database_url;
use campaign_sender::store::{Database, DatabaseError, Locks};
use std::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::support::World;
use crate::support::database::TestDatabase;

fn with_database<T>(world: &TestDatabase, work: impl AsyncFnOnce(Database) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = database_url(Some(world.url.clone())).unwrap();
        work(Database::new(&url.into()).unwrap()).await
    })
}

const UPDATE: &str = "UPDATE campaigns SET name = name WHERE id = $1 RETURNING pg_backend_pid()";

fn locked(world: &World, campaign: Uuid, locks: Locks, patience: Duration) -> DatabaseError {
    let mut holder = world.database.connect();
    let mut transaction = holder.transaction().unwrap();
    transaction.execute("SELECT FROM campaigns WHERE id = $1 FOR UPDATE", &[&campaign]).unwrap();
    with_database(&world.database, async |database| {
        let until = Instant::now() + patience;
        let error = database.query_with(locks, UPDATE, &[(&campaign, Type::UUID)], until).await.unwrap_err();
        assert!(Instant::now() <= until + Duration::from_secs(2));
        error
    })
}

#[test]
fn a_bounded_wait_for_a_lock_has_an_error_of_its_own() {
    let mut world = World::new();
    let campaign = world.campaign();
    let bound = Locks::AtMost(Duration::from_millis(50));
    let error = locked(&world, campaign, bound, Duration::from_secs(20));
    assert!(matches!(&error, DatabaseError::Locked(said) if said.contains("\"campaigns\"")), "{error:?}");
}

#[test]
fn a_statement_that_waited_for_a_lock_until_the_end_says_which() {
    let mut world = World::new();
    let campaign = world.campaign();
    let error = locked(&world, campaign, Locks::Awaited, Duration::from_secs(1));
    let DatabaseError::Unavailable(said) = &error else { panic!("{error:?}") };
    assert!(said.contains("lock") && said.contains("\"campaigns\"") && said.contains("55P03"), "{said}");
    assert!(!said.contains("reached") && said.contains("127.0.0.1"), "{said}");
}

#[test]
fn what_was_refused_or_rolled_back_leaves_the_connection_as_good_as_before() {
    let mut world = World::new();
    let campaign = world.campaign();
    // The first two attempts end in a conflict.
    world
        .database
        .client()
        .batch_execute(
            "CREATE SEQUENCE attempts;
             CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('attempts') <= 2 THEN RAISE EXCEPTION 'meet' USING ERRCODE = 'deadlock_detected'; END IF;
                 RETURN new;
             END $$;
             CREATE TRIGGER conflict BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION conflict()",
        )
        .unwrap();
    with_database(&world.database, async |database| {
        let until = Instant::now() + Duration::from_secs(10);
        let rows = database.query("SELECT pg_backend_pid()", &[], until).await.unwrap();
        let before: i32 = rows[0].get(0);
        let began = Instant::now();
        let rows = database.query(UPDATE, &[(&campaign, Type::UUID)], until).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!(rows[0].get::<_, i32>(0), before);

        let error = database.query("SELECT 1 / 0", &[], until).await.unwrap_err();
        assert!(matches!(&error, DatabaseError::Refused(_)), "{error:?}");
        let rows = database.query("SELECT pg_backend_pid()", &[], until).await.unwrap();
        assert_eq!(rows[0].get::<_, i32>(0), before);
    });
}

#[test]
fn a_refusal_shows_no_data_and_is_cut() {
    let world = World::new();
    with_database(&world.database, async |database| {
        let until = Instant::now() + Duration::from_secs(10);
        let raise =
            "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 1000000) USING DETAIL = 'ada@example.com'; END $$";
        let error = database.query(raise, &[], until).await.unwrap_err().to_string();
        assert!(error.len() < 1200 && !error.contains("ada@"), "{}", &error[..200]);
    });
}

#[test]
fn a_database_of_another_encoding_is_refused_in_words() {
    let mut world = World::new();
    let name = format!("latin_{}", Uuid::new_v4().simple());
    let create =
        format!("CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    world.database.execute(&create, &[]);
    let url = world.database.url.clone();
    let (server, _) = url.rsplit_once('/').unwrap();
    world.database.url = format!("{server}/{name}");
    let error = with_database(&world.database, async |database| {
        let until = Instant::now() + Duration::from_secs(10);
        database.query("SELECT 1", &[], until).await.unwrap_err()
    });
    assert!(error.to_string().contains("encoding LATIN1: expected UTF8"), "{error}");
    world.database.execute(&format!("DROP DATABASE {name} WITH (FORCE)"), &[]);
}

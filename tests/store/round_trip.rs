//! A statement with its transaction takes one round trip.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use campaign_sender::store::Database;
use campaign_sender::store::settings::database_url;
use std::time::Instant;

use crate::support::database::TestDatabase;

/// A proxy that passes on a transaction only after it has seen all of it, up to its COMMIT. A client that
/// waits for an answer in between waits forever.
fn holding_back(server: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config: postgres::Config = server.parse().unwrap();
    let postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else { panic!("{server}") };
    let server = (host.clone(), config.get_ports()[0]);
    thread::spawn(move || {
        let (mut from, mut to) =
            (listener.accept().unwrap().0, TcpStream::connect((server.0.as_str(), server.1)).unwrap());
        let (mut answers, mut back) = (to.try_clone().unwrap(), from.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let (mut held, mut chunk) = (Vec::new(), [0; 8192]);
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            held.extend_from_slice(&chunk[..read]);
            let holds = |words: &[u8]| held.windows(words.len()).any(|window| window == words);
            if !holds(b"BEGIN ISOLATION LEVEL") || holds(b"COMMIT\0") {
                to.write_all(&held).unwrap();
                held.clear();
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    port
}

#[test]
fn a_statement_begins_and_commits_its_transaction_in_the_same_round_trip() {
    let database = TestDatabase::create();
    let port = holding_back(&database.url);
    let (_, name) = database.url.rsplit_once('/').unwrap();
    let user = database.url.parse::<postgres::Config>().unwrap().get_user().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = database_url(Some(format!("postgres://{user}@127.0.0.1:{port}/{name}"))).unwrap();
        let pool = Database::new(&url.into()).unwrap();
        let sql = "SELECT current_setting('transaction_isolation'), txid_current()";
        for _ in 0..3 {
            let until = Instant::now() + Duration::from_secs(10);
            let rows = pool.query(sql, &[], until).await.unwrap();
            assert_eq!(rows[0].get::<_, &str>(0), "read committed");
        }
    });
}

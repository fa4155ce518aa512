//! Behind `PgBouncer` in transaction mode, whose connections have settings of other clients.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::schemas::{DECOYS, rows_of_decoys};
use crate::support::{World, all_at_once};

/// `PgBouncer` before the server of the tests, with this many connections.
struct Pooler {
    process: Child,
    settings: PathBuf,
    port: u16,
}

impl Pooler {
    fn start(server: &str, connections: usize) -> Pooler {
        let config: postgres::Config = server.parse().unwrap();
        let postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else { panic!("{server}") };
        let user = config.get_user().unwrap();
        let password =
            config.get_password().map(|word| format!(" password='{}'", String::from_utf8_lossy(word)));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = std::env::temp_dir().join(format!("campaign-sender-pooler-{port}.ini"));
        let text = format!(
            "[databases]\n* = host={host} port={} user={user}{}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = {connections}\nmax_client_conn = 200\n",
            config.get_ports()[0],
            password.unwrap_or_default(),
        );
        std::fs::write(&settings, text).unwrap();
        // It refuses to run as root.
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut command = if is_root { Command::new("runuser") } else { Command::new("pgbouncer") };
        if is_root {
            command.args(["-u", "nobody", "--", "pgbouncer"]);
        }
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let process = command
            .arg("--quiet")
            .arg(&settings)
            .env("PATH", path)
            .stderr(Stdio::null())
            .spawn()
            .expect("PgBouncer is installed: ./dev test does that");
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "PgBouncer does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Pooler { process, settings, port }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // As root, the child is runuser, which passes the signal on.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.settings);
    }
}

#[test]
fn what_other_clients_of_the_pool_leave_behind_changes_nothing() {
    const CONNECTIONS: usize = 3;
    let mut world = World::new();
    let campaign = world.campaign_of(600);
    world.database.client().batch_execute(DECOYS).unwrap();
    let server = world.database.url.clone();
    let pooler = Pooler::start(&server, CONNECTIONS);
    let (_, name) = server.rsplit_once('/').unwrap();
    world.database.url = format!("postgres://anybody@127.0.0.1:{}/{name}", pooler.port);

    // Transactions at the same time, so that each has another connection of the pool.
    let mut others: Vec<_> = (0..CONNECTIONS).map(|_| world.database.connect()).collect();
    let left_behind = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ;
         SET search_path = pg_temp, decoy; SET synchronous_commit = off; SET lock_timeout = 1; SET timezone = 'Asia/Kathmandu';
         CREATE TEMP TABLE campaigns (LIKE public.campaigns); CREATE TEMP TABLE campaign_recipients (LIKE public.campaign_recipients)";
    for other in &mut others {
        other.batch_execute("BEGIN").unwrap();
        other.batch_execute(left_behind).unwrap();
    }
    for other in &mut others {
        other.batch_execute("COMMIT").unwrap();
    }
    assert_eq!(search_path(&mut others[0]), "pg_temp, decoy", "the pool's connections have it");

    all_at_once(&mut world, campaign, 6, 13);
    assert_eq!(world.ses.message_count(), 600);
    world.assert_consistent(campaign);
    assert_eq!(rows_of_decoys(&mut world), 0);
    assert_eq!(
        search_path(&mut others[0]),
        "pg_temp, decoy",
        "and keep it: what is ours ends with the transaction"
    );
}

/// It uses the simple protocol, because this `PgBouncer` does not support statements that are prepared by
/// name.
fn search_path(client: &mut postgres::Client) -> String {
    let answer = client.simple_query("SHOW search_path").unwrap();
    let row = answer.iter().find_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.unwrap().to_owned()
}

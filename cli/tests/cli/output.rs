//! The output of commands: to a reader that ends early, to a full disk, and of data that would change a
//! terminal.

use std::io::Read as _;
use std::process::{Output, Stdio};

use uuid::Uuid;

use crate::support::{ORGANIZATION, World};
use crate::{Scratch, campaign, command, done, refused};

impl World {
    /// A campaign whose output is larger than a pipe's buffer.
    fn large(&mut self) -> Uuid {
        let id = self.campaign_of(5);
        let html = format!("<p>{}</p>", "Spring is here.</p><p>".repeat(20_000));
        self.database.execute("UPDATE campaigns SET html = $1", &[&html]);
        let sql = "INSERT INTO suppressions (organization_id, email, reason)
                   SELECT $1, 'p' || n || '@example.com', 'bounce' FROM generate_series(1, 30000) AS n";
        self.database.execute(sql, &[&ORGANIZATION]);
        id
    }

    /// Runs a command whose reader reads a few bytes, or none, and ends.
    fn cut_short(&self, arguments: &[&str], bytes: usize) -> Output {
        let mut process = command(&self.database.url, arguments)
            .envs(self.environment())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = process.stdout.take().unwrap();
        output.read_exact(&mut vec![0; bytes]).unwrap();
        drop(output);
        process.wait_with_output().unwrap()
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_command_quietly() {
    let mut world = World::new();
    let id = world.large().to_string();
    let scratch = Scratch::new();
    for (arguments, bytes) in [
        (&["preview", &id][..], 10),
        (&["preview", &id, "--html"], 10),
        (&["suppressions", "list", "--limit", "30000"], 10),
        (&["suppressions", "export"], 10),
        (&["status", "--watch", "--interval", "1"], 10),
        (&["status", &id], 0),
        (&["status", "--json"], 0),
        (&["report", &id, "--html", &scratch.path("report.html")], 0),
        (&["completions", "bash"], 10),
        (&["migrate"], 0),
        (&["--help"], 0),
        (&["import", "--help"], 0),
    ] {
        let output = world.cut_short(arguments, bytes);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{arguments:?}: {:?} {said}", output.status);
    }
    // Errors cannot be reported anywhere else.
    let mut process = command(&world.database.url, &["status", "x"]).spawn().unwrap();
    drop((process.stdout.take(), process.stderr.take()));
    assert_eq!(process.wait().unwrap().code(), Some(64));
}

#[test]
fn a_command_does_what_it_is_asked_although_nobody_reads_what_it_says() {
    let mut world = World::new();
    let id = world.campaign();
    world.set_status(id, "draft");
    let scratch = Scratch::new();
    let people = scratch.file("people.csv", "email\nada@example.com\nbob@example.com\n");
    assert!(world.cut_short(&["import", &id.to_string(), &people], 0).status.success());
    assert_eq!(world.count(id, "status = 'pending'"), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_an_error() {
    let world = World::new();
    for arguments in [&["suppressions", "export"][..], &["completions", "bash"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(&world.database.url, arguments).stdout(full).output().unwrap();
        assert_eq!(refused(&output), "73: campaign: standard output: No space left on device (os error 28)");
    }
}

#[test]
fn data_that_would_change_a_terminal_is_shown_as_what_it_is() {
    let (mut world, scratch) = (World::new(), Scratch::new());
    let id = world.campaign_of(1);
    let evil = "Spr\u{1b}]0;owned\u{7}ing\u{1b}[2J\u{202e}\u{9b}31m\nX";
    world.database.execute(
        "UPDATE campaigns SET name = $1, subject = $1, text = $1, status = 'draft', status_reason = $1",
        &[&evil],
    );
    world.database.execute("UPDATE campaign_recipients SET name = $1", &[&evil]);
    let sql = "INSERT INTO suppressions (organization_id, email, reason) VALUES ($1, $2, 'bounce')";
    world.database.execute(sql, &[&ORGANIZATION, &evil]);
    let campaign_id = id.to_string();
    let people = scratch.file("people.csv", format!("email,\"{}\"\n\"{evil}\",x\n", "a\u{1b}[8mb"));
    let refused_rows = scratch.path("refused.csv");
    for arguments in [
        &["status"][..],
        &["status", &campaign_id],
        &["preview", &campaign_id],
        &["preview", &campaign_id, "--html"],
        &["suppressions", "list"],
        &["import", &campaign_id, &people, "--skip-bad", "--refused", &refused_rows],
        &["send", "schedule", &campaign_id, "--at", "2099-01-01 08:00Z"],
        &["send", "pause", &campaign_id, "--why", "\u{1b}[8m"],
        &["status", &campaign_id],
        &["send", "cancel", &campaign_id, "--yes"],
    ] {
        let output = world.campaign_command(arguments);
        for said in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(said);
            let harmful = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
            assert!(!said.chars().any(|c| harmful(&c)), "{arguments:?}: {said:?}");
        }
    }
    assert!(!scratch.read("refused.csv").contains('\u{1b}'));
    let status = done(&campaign(&world.database.url, &["status", &campaign_id], ""));
    assert!(status.contains(r"Spr\u{1b}]0;owned\u{7}ing"), "{status}");
}

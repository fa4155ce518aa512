//! The disk of PostgreSQL is full: that is trouble of the server, never a refusal of an activity.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::{World, event, run};

/// The size of the disk.
const SIZE: &str = "1m";

/// A small disk with a tablespace, until it is dropped.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// None if this user may not mount one.
    fn mount(world: &mut World) -> Option<Disk> {
        let data: String = world.database.query("SHOW data_directory", &[])[0].get(0);
        let owner = std::fs::metadata(data).ok()?;
        let folder = std::env::temp_dir().join(world.database.name());
        std::fs::create_dir(&folder).expect("a folder");
        let options = format!("size={SIZE},mode=700,uid={},gid={}", owner.uid(), owner.gid());
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&folder).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Disk { folder });
        }
        std::fs::remove_dir(&folder).expect("the folder is empty");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// The disk of the activities table is really full: a file system has no space left.
#[test]
fn a_disk_that_is_full_leaves_the_batch_unrecorded_and_refuses_nobody() {
    let mut world = World::new();
    let Some(disk) = Disk::mount(&mut world) else {
        eprintln!("no file system can be mounted by this user, so no disk is filled");
        return;
    };
    let campaign = world.campaign_of(300);
    let space = world.database.name().to_owned();
    world
        .database
        .client()
        .batch_execute(&format!("CREATE TABLESPACE {space} LOCATION '{}'", disk.folder.display()))
        .expect("a tablespace");
    // A page of the table has room for a few activities, but not for a batch of them.
    let fills = "DO $$ BEGIN LOOP
                     INSERT INTO filler SELECT repeat(md5(random()::text), 200) FROM generate_series(1, 5);
                     COMMIT;
                 END LOOP; END $$";
    world
        .database
        .client()
        .batch_execute(&format!(
            "ALTER TABLE activities SET TABLESPACE {space};
             INSERT INTO activities (organization_id, entity_type, entity_id, action)
             SELECT gen_random_uuid(), 'email', gen_random_uuid(), 'note' FROM generate_series(1, 10);
             CREATE TABLE filler (text text) TABLESPACE {space}"
        ))
        .expect("the table moves");
    let full = world.database.client().batch_execute(fills).expect_err("the disk is full");
    assert_eq!(full.code().map(postgres::error::SqlState::code), Some("53100"), "{full:?}");

    let mut function = world.function();
    let result = function.invoke(&event(campaign, 300), Duration::from_secs(15)).expect("an answer");
    assert_eq!(
        (&result["status"], &result["activities"]["success"]),
        (&json!("wait"), &json!(false)),
        "{result}"
    );
    let error = result["activities"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("No space left on device [53100]"), "{result}");
    assert_eq!(
        world.count(campaign, "status <> 'pending'"),
        0,
        "nobody is refused: {:?}",
        world.statuses(campaign)
    );
    // A tick that does not have what is unrecorded sends nothing.
    assert_eq!(
        function.invoke(&event(campaign, 300), Duration::from_secs(10)).expect("an answer")["status"],
        "wait"
    );

    world.database.client().batch_execute("DROP TABLE filler; CHECKPOINT").expect("there is room");
    assert_eq!(run(&mut function, result["next"].clone()).last().unwrap()["status"], "done");
    assert_eq!((world.ses.message_count(), world.statuses(campaign)["sent"]), (300, 300));
    world.assert_consistent(campaign);
    drop(function);
    world.database.execute("DROP TABLE activities", &[]);
    world.database.execute(&format!("DROP TABLESPACE {space}"), &[]);
}

/// What the server itself cannot write is nobody's refusal, also if small parts of the batch can be written.
#[test]
fn trouble_of_the_server_with_a_part_of_a_batch_leaves_the_batch_unrecorded() {
    let mut world = World::new();
    let campaign = world.campaign_of(40);
    // The error of a file that cannot be read, as the server reports it: from the fourth activity of a statement on, and
    // for each statement from the twentieth activity on.
    world
        .database
        .client()
        .batch_execute(
            "CREATE FUNCTION read_file() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF (SELECT count(*) FROM added) > 3 OR (SELECT count(*) FROM activities) > 20 THEN
                     PERFORM pg_read_binary_file('/nowhere');
                 END IF;
                 RETURN NULL;
             END
             $$;
             CREATE TRIGGER read_file AFTER INSERT ON activities REFERENCING NEW TABLE AS added
                 FOR EACH STATEMENT EXECUTE FUNCTION read_file()",
        )
        .expect("a trigger");
    let mut function = world.function();
    let result = function.invoke(&event(campaign, 40), Duration::from_secs(15)).expect("an answer");
    assert_eq!(
        (&result["status"], &result["activities"]["success"]),
        (&json!("wait"), &json!(false)),
        "{result}"
    );
    assert!(result["activities"]["error"].as_str().unwrap_or_default().contains("[58P01]"), "{result}");
    assert_eq!(
        world.count(campaign, "status NOT IN ('pending', 'sent')"),
        0,
        "{:?}",
        world.statuses(campaign)
    );
    world.database.client().batch_execute("DROP TRIGGER read_file ON activities").expect("it is dropped");
    assert_eq!(run(&mut function, result["next"].clone()).last().unwrap()["status"], "done");
    assert_eq!((world.ses.message_count(), world.statuses(campaign)["sent"]), (40, 40));
    world.assert_consistent(campaign);
}

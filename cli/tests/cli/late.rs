//! Campaigns that are not to be sent too late.

use crate::support::{World, event, invoke};
use crate::{campaign, done, refused};

fn send(world: &World, arguments: &[&str]) -> std::process::Output {
    campaign(&world.database.url, &[&["send"], arguments].concat(), "")
}

#[test]
fn a_campaign_is_not_started_when_its_time_is_over_and_resume_says_that_it_will_be_paused_again() {
    let mut world = World::single();
    let id = world.campaign_of(3);
    let campaign = id.to_string();
    world.set_status(id, "draft");
    let said = refused(&send(
        &world,
        &["schedule", &campaign, "--at", "2030-03-02 09:00Z", "--before", "2030-03-02 09:00Z"],
    ));
    assert!(
        said.contains("--at: 2030-03-02 09:00 UTC is not before send_before, 2030-03-02 09:00 UTC"),
        "{said}"
    );
    let said = refused(&send(&world, &["start", &campaign, "--before", "2020-03-02 09:00Z"]));
    assert!(said.contains("is over: nothing is sent after 2020-03-02 09:00 UTC"), "{said}");

    // One that was due long ago is asked about, which needs a terminal.
    world.database.execute(
        "UPDATE campaigns SET status = 'scheduled', scheduled_at = '2020-03-01 09:00Z' WHERE id = $1",
        &[&id],
    );
    let status = done(&crate::campaign(&world.database.url, &["status", &campaign], ""));
    assert!(status.contains("Overdue: it has been due for"), "{status}");
    assert!(status.contains(&format!("campaign send cancel {campaign}")), "{status}");
    assert!(done(&crate::campaign(&world.database.url, &["status"], "")).contains("overdue"));
    let said = refused(&send(&world, &["start", &campaign]));
    assert!(
        said.contains("was scheduled for 2020-03-01 09:00 UTC, which is in the past: give --yes"),
        "{said}"
    );
    assert_eq!(world.campaign_status(id).0, "scheduled");
    done(&send(&world, &["start", &campaign, "--yes", "--before", "2030-03-02 09:00Z"]));
    assert_eq!(world.campaign_status(id).0, "sending");

    world.database.execute("UPDATE campaigns SET send_before = '2020-03-02 09:00Z' WHERE id = $1", &[&id]);
    let mut function = world.function();
    assert_eq!(invoke(&mut function, &event(id, 10))["status"], "halted");
    let status = done(&crate::campaign(&world.database.url, &["status", &campaign], ""));
    assert!(status.contains("not to be sent after 2020-03-02 09:00 UTC"), "{status}");
    assert!(status.contains("Give it a later send_before"), "{status}");
    let resumed = send(&world, &["resume", &campaign]);
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(said.contains("The next batch pauses it again: send_before of campaign"), "{said}");
    assert!(said.contains(&format!("campaign send resume {campaign} --before TIME")), "{said}");
    done(&resumed);
    assert_eq!(invoke(&mut function, &event(id, 10))["status"], "halted");
    done(&send(&world, &["resume", &campaign, "--before", "2030-03-02 09:00Z"]));
    assert_eq!(invoke(&mut function, &event(id, 10))["status"], "done");
    world.assert_consistent(id);
}

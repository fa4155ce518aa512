//! What a storm recorded is accepted, and nothing else: each corruption of it is rejected.

use super::follow;
use super::observed::{By, Campaign, Change, Event, read};

fn sample() -> Vec<Campaign> {
    read(include_str!("sample.jsonl")).expect("the file can be read")
}

/// The campaigns of the sample after this change of each event by itself, where it applies. Each must be rejected.
fn each_is_rejected(what: &str, corrupt: impl Fn(&mut Campaign, usize) -> bool) {
    let mut tried = 0;
    for campaign in sample() {
        for at in 0..campaign.events.len() {
            let mut other = campaign.clone();
            if corrupt(&mut other, at) {
                tried += 1;
                let said =
                    format!("{what}: campaign {}, event {}: {}", campaign.id, at + 1, campaign.events[at]);
                assert!(follow(&other).is_err(), "{said}");
            }
        }
    }
    assert!(tried > 0, "{what}: nothing to corrupt");
}

/// The changes of a transaction by this statement.
fn changes_by(event: &mut Event, wanted: By) -> Option<&mut Vec<Change>> {
    match event {
        Event::Transaction { by, changes, .. } if *by == wanted => Some(changes),
        _ => None,
    }
}

fn is_accepted(event: &Event) -> bool {
    matches!(event, Event::Accepted { .. })
}

#[test]
fn what_was_recorded_is_accepted() {
    for campaign in sample() {
        follow(&campaign).unwrap_or_else(|difference| panic!("{difference}"));
    }
}

#[test]
fn a_message_more_is_rejected_at_each_place() {
    for at_the_end in [false, true] {
        each_is_rejected("a second message", |campaign, at| {
            let Event::Accepted { at: when, recipient, .. } = campaign.events[at] else { return false };
            let place = if at_the_end { campaign.events.len() } else { at + 1 };
            let message = "another message".to_owned();
            campaign.events.insert(place, Event::Accepted { at: when, recipient, message });
            true
        });
    }
}

#[test]
fn a_message_or_a_statement_less_is_rejected() {
    each_is_rejected("one less", |campaign, at| {
        // Others might not have happened: a record that has changed nothing, a takeover before another one, a checkpoint
        // behind whose mark nobody was handed over, and the last event.
        match campaign.events.remove(at) {
            _ if at == campaign.events.len() => false,
            Event::Accepted { .. } => true,
            Event::Transaction { by, changes, .. } => {
                let is_new =
                    |change: &Change| change.table == "campaign_batches" && change.operation == "INSERT";
                match by {
                    By::Claim => changes.iter().any(is_new),
                    By::Record | By::Events => {
                        changes.iter().any(|change| change.table == "campaign_recipients")
                    }
                    By::Checkpoint | By::Complete | By::Other => false,
                }
            }
        }
    });
}

#[test]
fn a_message_before_its_mark_is_rejected() {
    each_is_rejected("a message before its mark", |campaign, at| {
        let is_mark = |event: &Event| {
            let Event::Transaction { by: By::Claim | By::Checkpoint, changes, .. } = event else {
                return false;
            };
            changes.iter().any(|change| change.row["handed_through"].is_i64())
        };
        let mark = campaign.events[..at].iter().rposition(is_mark);
        let first_after = mark.is_some_and(|mark| campaign.events[mark + 1..at].iter().all(is_accepted));
        let Some(mark) = mark.filter(|_| is_accepted(&campaign.events[at]) && first_after) else {
            return false;
        };
        let Event::Accepted { recipient, .. } = &campaign.events[at] else { return false };
        // The first mark of that batch, and only recipients that it was the first to allow.
        let recipient = recipient.to_string();
        let position = campaign.events.iter().find_map(|event| match event {
            Event::Transaction { changes, .. } => changes
                .iter()
                .find(|change| change.row["id"] == recipient.as_str())
                .and_then(|change| change.row["position"].as_i64()),
            Event::Accepted { .. } => None,
        });
        let covers = |event: &Event| {
            let Event::Transaction { changes, .. } = event else { return false };
            changes.iter().any(|change| change.row["handed_through"].as_i64() >= position)
        };
        if campaign.events[..mark].iter().any(covers) {
            return false;
        }
        let message = campaign.events.remove(at);
        campaign.events.insert(mark, message);
        true
    });
}

#[test]
fn a_mark_that_moves_back_is_rejected() {
    each_is_rejected("a mark that moves back", |campaign, at| {
        let Some(changes) = changes_by(&mut campaign.events[at], By::Checkpoint) else { return false };
        for change in changes.iter_mut().filter(|change| change.table == "campaign_batches") {
            change.row["handed_through"] = 5.into();
        }
        true
    });
}

#[test]
fn another_message_than_the_accepted_one_is_rejected() {
    for by in [By::Record, By::Events] {
        each_is_rejected("another message", |campaign, at| {
            let Some(changes) = changes_by(&mut campaign.events[at], by) else { return false };
            let sent = changes.iter_mut().find(|change| change.row["message_id"].is_string());
            sent.is_some_and(|change| {
                change.row["message_id"] = "another message".into();
                true
            })
        });
    }
}

#[test]
fn an_activity_more_or_less_is_rejected() {
    for copies in [0, 2] {
        each_is_rejected("activities", |campaign, at| {
            let Event::Transaction { changes, .. } = &mut campaign.events[at] else { return false };
            let Some(place) = changes.iter().position(|change| change.table == "activities") else {
                return false;
            };
            let activity = changes.remove(place);
            changes.extend(std::iter::repeat_n(activity, copies));
            true
        });
    }
}

#[test]
fn another_token_than_the_owners_is_rejected() {
    each_is_rejected("another token", |campaign, at| {
        let Some(changes) = changes_by(&mut campaign.events[at], By::Checkpoint) else { return false };
        for change in changes.iter_mut().filter(|change| change.table == "campaign_batches") {
            change.row["claim_token"] = uuid::Uuid::nil().to_string().into();
        }
        true
    });
}

#[test]
fn a_campaign_without_its_end_is_rejected() {
    for mut campaign in sample() {
        let is_end = |event: &Event| match event {
            Event::Transaction { changes, .. } => {
                changes.iter().any(|change| change.table == "campaigns" && change.row["status"] == "sent")
            }
            Event::Accepted { .. } => false,
        };
        let end = campaign.events.iter().position(is_end).expect("it was sent");
        campaign.events.truncate(end);
        assert!(follow(&campaign).is_err(), "{}", campaign.id);
    }
}

//! The functions of release 0.1 on the schema of this release, with several sessions and through whole campaigns.
//!
//! `release_0_1/` has the statements of that release, word by word as its functions sent them for a table of activities
//! that `campaign migrate` made. They are executed here in the order of its invocations.

mod lane;
mod world;

use serde_json::json;

use self::lane::Lane;
use self::world::Sending;
use super::migrated;
use crate::support::database::TestDatabase;
use crate::support::dice::Dice;
use crate::support::{World, event, invoke};

/// Whole campaigns that are tried, each by its own seed.
const CAMPAIGNS: u64 = 6;
/// Invocations at one time.
const LANES: usize = 3;
/// What happens to a campaign before its world calms down.
const STEPS: usize = 160;

#[test]
fn whole_campaigns_are_sent_by_the_functions_of_the_previous_release() {
    let mut world = World::new();
    for seed in 0..CAMPAIGNS {
        let mut sending = Sending::new(&mut world, 24, seed);
        let mut lanes: Vec<_> = (0..LANES).map(|_| Lane::new(&sending)).collect();
        for _ in 0..STEPS {
            sending.happen(&mut lanes);
        }
        sending.calm(&mut lanes);
        sending.check();
    }
}

#[test]
fn a_campaign_goes_on_through_the_migration_and_with_both_releases_side_by_side() {
    for seed in 100..102 {
        let mut world = World::new();
        world.database = TestDatabase::create_empty();
        world.database.client().batch_execute(include_str!("schemas/release_0_1.sql")).unwrap();
        let url = world.database.url.clone();
        let mut sending = Sending::new(&mut world, 30, seed);
        let mut lanes: Vec<_> = (0..LANES).map(|_| Lane::new(&sending)).collect();
        for _ in 0..STEPS / 4 {
            sending.happen(&mut lanes);
        }
        migrated(&url, &[]);
        for _ in 0..STEPS / 4 {
            sending.happen(&mut lanes);
        }
        // A deployment that is under way: some invocations are of this release, the others still of the one before.
        let mut function = sending.world.function();
        for _ in 0..3 {
            let result = invoke(&mut function, &event(sending.campaign, 3));
            assert_ne!(result["status"], json!("halted"), "seed {seed}: {result}");
            for _ in 0..STEPS / 8 {
                sending.happen(&mut lanes);
            }
        }
        // The deployment is rolled back.
        drop(function);
        sending.calm(&mut lanes);
        sending.check();
    }
}

/// A number of a range, as an index.
fn index(dice: &mut Dice, length: usize) -> usize {
    usize::try_from(dice.between(0, u64::try_from(length).unwrap() - 1)).unwrap()
}

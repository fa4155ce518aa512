//! The function's memory limits the data of a claim.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use local_ses::lambda::Function;

use crate::support::{self, World, event};

#[test]
fn a_thousand_recipients_of_200_kb_are_sent_with_128_mb() {
    let mut world = World::new();
    let campaign = world.campaign();
    let sql = "UPDATE campaigns SET html = '<p>{{ note | length }}</p>', text = 'x' WHERE id = $1";
    world.database.execute(sql, &[&campaign]);
    world.database.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email, variables)
         SELECT $1, $1, 'r' || n || '@example.com', jsonb_build_object('note', repeat(md5(n::text), 6400))
           FROM generate_series(1, 1000) AS n",
        &[&campaign],
    );
    // The kernel refuses more heap than that, and the process ends.
    let limited = std::env::temp_dir().join(format!("limited-{campaign}"));
    let script =
        format!("#!/bin/sh\nulimit -d 131072 && exec '{}'\n", support::executable("send-batch").display());
    std::fs::write(&limited, script).unwrap();
    std::fs::set_permissions(&limited, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut environment = world.environment();
    environment.push(("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut function = Function::start(&limited, &environment).unwrap();

    let mut next = event(campaign, 1000);
    for batches in 1.. {
        let result = function.invoke(&next, support::TIMEOUT).unwrap_or_else(|error| {
            panic!("{error:?} in batch {batches}\n{}", function.logs().join("\n"));
        });
        let claimed = result["batch"]["claimed"].as_u64().unwrap();
        assert!(claimed <= 50, "{result}");
        next = result["next"].clone();
        std::thread::sleep(Duration::from_secs(result["waitSeconds"].as_u64().unwrap()));
        if next.is_null() {
            assert!((20..100).contains(&batches), "{batches} batches");
            break;
        }
    }
    assert_eq!(world.campaign_status(campaign).0, "sent");
    world.assert_consistent(campaign);
    std::fs::remove_file(limited).unwrap();
}

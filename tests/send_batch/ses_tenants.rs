//! Organizations that send through their own SES tenant.

use local_ses::ses::Tenant;
use uuid::Uuid;

use crate::support::{ORGANIZATION, World, event, invoke, run};

const OTHER: Uuid = Uuid::from_u128(0x0b);

fn set_tenant(world: &mut World, organization: Uuid, tenant: Option<&str>) {
    world.database.execute(
        "INSERT INTO organization_settings VALUES ($1, $2)
         ON CONFLICT (organization_id) DO UPDATE SET ses_tenant = excluded.ses_tenant",
        &[&organization, &tenant],
    );
}

fn tenant(name: &str, sending_enabled: bool) -> Tenant {
    Tenant { name: name.to_owned(), sending_enabled, ..Tenant::default() }
}

/// A campaign of the other organization.
fn campaign_of_other(world: &mut World, count: i32) -> Uuid {
    let campaign = world.campaign_of(count);
    for table in ["campaigns", "campaign_recipients"] {
        let key = if table == "campaigns" { "id" } else { "campaign_id" };
        let sql = format!("UPDATE {table} SET organization_id = $2 WHERE {key} = $1");
        world.database.execute(&sql, &[&campaign, &OTHER]);
    }
    campaign
}

#[test]
fn each_call_names_the_tenant_of_its_organization() {
    for api in ["single", "bulk"] {
        let mut world = World::sending_by(api);
        world.ses.set_tenants(vec![tenant("acme", true)]);
        set_tenant(&mut world, ORGANIZATION, Some(" acme "));
        let (own, other) = (world.campaign_of(3), campaign_of_other(&mut world, 2));
        let mut function = world.function();
        run(&mut function, event(own, 3));
        run(&mut function, event(other, 2));
        let tenants: Vec<Option<String>> =
            world.ses.messages().into_iter().map(|message| message.tenant).collect();
        let acme = Some("acme".to_owned());
        assert_eq!(tenants, [acme.clone(), acme.clone(), acme, None, None], "{api}");
        // If the tenant is removed, the next batch is sent without one.
        set_tenant(&mut world, ORGANIZATION, None);
        let own = world.campaign_of(1);
        run(&mut function, event(own, 1));
        assert_eq!(world.ses.messages().last().unwrap().tenant, None, "{api}");
    }
}

#[test]
fn a_tenant_that_may_not_send_halts_its_organizations_campaigns_and_no_others() {
    for api in ["single", "bulk"] {
        for (name, reason) in [
            ("paused", "SendingPausedException: Email sending is disabled for tenant paused."),
            ("unknown", "NotFoundException: Tenant unknown does not exist."),
        ] {
            let mut world = World::sending_by(api);
            world.ses.set_tenants(vec![tenant("paused", false)]);
            set_tenant(&mut world, ORGANIZATION, Some(name));
            let (own, other) = (world.campaign_of(30), campaign_of_other(&mut world, 2));
            let mut function = world.function();
            let result = invoke(&mut function, &event(own, 30));
            assert_eq!(result["status"], "halted", "{api} {name}: {result}");
            assert_eq!(result["reason"], reason, "{api} {name}");
            assert_eq!(world.statuses(own)["pending"], 30, "{api} {name}");
            assert_eq!(run(&mut function, event(other, 2)).last().unwrap()["status"], "done");
        }
    }
}

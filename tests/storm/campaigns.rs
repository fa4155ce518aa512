//! The campaigns of the storm: a large one, small ones of other organizations, and poisoned ones of yet others.

use uuid::Uuid;

use crate::support::{CREATOR, ORGANIZATION, World};

/// Recipients of each small campaign.
const FEW: i32 = 120;

/// The defect of a campaign that cannot be worked on until the defect is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    /// Its template does not compile.
    Template,
    /// Its row cannot be updated.
    Row,
    /// The timeline takes no activity of its organization.
    Activities,
    /// The view of opt-outs fails for its organization.
    OptOuts,
}

/// All campaigns of the storm.
pub struct Campaigns {
    pub main: Uuid,
    pub healthy: Vec<Uuid>,
    pub poisoned: Vec<(Uuid, Poison)>,
    /// The organization whose activities are refused.
    pub organization_without_timeline: Option<Uuid>,
}

impl Campaigns {
    pub fn make(world: &mut World, recipients: i32) -> Campaigns {
        let main = world.campaign_of(recipients);
        // One mailbox has many spellings; some recipients are suppressed under another spelling.
        world.database.execute(
            "INSERT INTO suppressions (organization_id, email, reason)
             SELECT $1, 's' || n || '@xn--mnchen-3ya.example', 'manual' FROM generate_series(1, 40) AS n",
            &[&ORGANIZATION],
        );
        world.database.execute(
            "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
             SELECT $1, $2, CASE WHEN n <= 40 THEN 'S' || n || '@M' || chr(220) || 'NCHEN.example' || chr(160)
                                 ELSE 'u' || n || '@m' || chr(252) || 'nchen.example' END
               FROM generate_series(1, 60) AS n",
            &[&main, &ORGANIZATION],
        );
        let healthy = (1..=3).map(|n| small(world, n)).collect();
        let kinds = [Poison::Template, Poison::Row, Poison::Activities, Poison::OptOuts];
        let at = kinds.iter().position(|kind| *kind == Poison::Activities);
        let organization_without_timeline = at.map(|at| organization(4 + at as u128));
        let poisoned: Vec<_> = (4..).zip(kinds).map(|(n, kind)| (small(world, n), kind)).collect();
        for (campaign, kind) in &poisoned {
            kind.put_into(world, *campaign);
        }
        Campaigns { main, healthy, poisoned, organization_without_timeline }
    }

    pub fn all(&self) -> impl Iterator<Item = Uuid> {
        let poisoned = self.poisoned.iter().map(|(id, _)| *id);
        [self.main].into_iter().chain(self.healthy.iter().copied()).chain(poisoned)
    }

    pub fn poison(&self, campaign: Uuid) -> Option<Poison> {
        self.poisoned.iter().find(|(id, _)| *id == campaign).map(|(_, kind)| *kind)
    }
}

/// Removes all poison.
pub fn cure(world: &mut World) {
    let sql = "DROP TRIGGER poisoned ON campaigns; DROP TRIGGER poisoned ON activities;
               CREATE OR REPLACE VIEW opted_out AS
               SELECT NULL::uuid AS organization_id, NULL::text AS email WHERE false;
               UPDATE campaigns SET html = '<p>Hello</p>' WHERE length(html) > 1000";
    world.database.client().batch_execute(sql).expect("the poison is taken out");
}

/// The organization of the n-th small campaign.
fn organization(n: u128) -> Uuid {
    Uuid::from_u128(0xb00 + n)
}

fn small(world: &mut World, n: u128) -> Uuid {
    let id = Uuid::new_v4();
    world.database.execute(
        "INSERT INTO campaigns (id, organization_id, name, status, from_address, subject, html, created_by)
         VALUES ($1, $2, 'Small', 'sending', 'News <news@example.com>', 'Hello', '<p>Hello</p>', $3)",
        &[&id, &organization(n), &CREATOR],
    );
    world.database.execute(
        "INSERT INTO campaign_recipients (campaign_id, organization_id, email)
         SELECT $1, $2, 'small' || $3 || '-' || n || '@example.com' FROM generate_series(1, $4) AS n",
        &[&id, &organization(n), &n.to_string(), &FEW],
    );
    id
}

impl Poison {
    fn put_into(self, world: &mut World, campaign: Uuid) {
        let fails = "CREATE OR REPLACE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN RAISE EXCEPTION 'poisoned' USING ERRCODE = 'ZZ001'; END $$;
                     CREATE OR REPLACE FUNCTION poisoned_text() RETURNS text LANGUAGE plpgsql AS $$
                     BEGIN RAISE EXCEPTION 'poisoned' USING ERRCODE = 'ZZ001'; END $$";
        let organization = format!("(SELECT organization_id FROM campaigns WHERE id = '{campaign}')");
        let organization: Uuid = world.database.query(&format!("SELECT {organization}"), &[])[0].get(0);
        let sql = match self {
            Poison::Template => format!(
                "UPDATE campaigns SET html = '{{{{ 1{} }}}}' WHERE id = '{campaign}'",
                "+1".repeat(29_000)
            ),
            Poison::Row => format!(
                "CREATE TRIGGER poisoned BEFORE UPDATE ON campaigns FOR EACH ROW
                 WHEN (OLD.id = '{campaign}') EXECUTE FUNCTION poison()"
            ),
            Poison::Activities => format!(
                "CREATE TRIGGER poisoned BEFORE INSERT ON activities FOR EACH ROW
                 WHEN (NEW.organization_id = '{organization}') EXECUTE FUNCTION poison()"
            ),
            Poison::OptOuts => format!(
                "CREATE OR REPLACE VIEW opted_out AS
                 SELECT '{organization}'::uuid AS organization_id, poisoned_text() AS email"
            ),
        };
        world.database.client().batch_execute(&format!("{fails}; {sql}")).expect("the poison is put in");
    }
}

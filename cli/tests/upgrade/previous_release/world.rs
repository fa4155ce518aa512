//! What happens around the invocations: SES and its events, people, processes that are lost.

use std::collections::BTreeMap;
use std::time::SystemTime;

use postgres::types::{ToSql, Type};
use serde_json::json;
use uuid::Uuid;

use super::index;
use super::lane::{Debt, Lane};
use crate::support::dice::Dice;
use crate::support::{ORGANIZATION, World};

/// What SES makes of a message.
pub enum Answer {
    Accepted(String),
    Refused,
    /// Nobody knows whether it was accepted.
    None,
}

/// A kind of event of SES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Send,
    Delivery,
    Bounce,
    Open,
}

/// A campaign and all that happens to it.
pub struct Sending<'a> {
    pub world: &'a mut World,
    pub campaign: Uuid,
    pub dice: Dice,
    seed: u64,
    recipients: Vec<Uuid>,
    /// The messages that SES has accepted, by recipient.
    accepted: BTreeMap<Uuid, Vec<String>>,
    bounced: Vec<Uuid>,
    pub debts: Vec<Debt>,
    pub takeovers: usize,
}

impl Sending<'_> {
    pub fn new(world: &mut World, recipients: i32, seed: u64) -> Sending<'_> {
        let campaign = world.campaign();
        // Addresses of their own, for a bounce suppresses one in all campaigns.
        world.database.execute(
            "INSERT INTO campaign_recipients (campaign_id, organization_id, email, name, customer_id)
             SELECT $1, $2, 's' || $3::bigint || 'r' || n || '@example.com', 'Recipient ' || n,
                    CASE WHEN n % 3 = 0 THEN gen_random_uuid() END
               FROM generate_series(1, $4) AS n",
            &[&campaign, &ORGANIZATION, &i64::try_from(seed).unwrap(), &recipients],
        );
        let rows = world.database.query(
            "SELECT id FROM campaign_recipients WHERE campaign_id = $1 ORDER BY position",
            &[&campaign],
        );
        let recipients: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        Sending {
            world,
            campaign,
            dice: Dice::new(seed, 1),
            seed,
            recipients,
            accepted: BTreeMap::new(),
            bounced: Vec::new(),
            debts: Vec::new(),
            takeovers: 0,
        }
    }

    /// SES gets a message.
    pub fn ses(&mut self, recipient: Uuid) -> Answer {
        let fate = self.dice.between(1, 100);
        if fate <= 5 {
            return Answer::Refused;
        }
        if fate > 10 || fate.is_multiple_of(2) {
            let messages = self.accepted.entry(recipient).or_default();
            messages.push(format!("{recipient}-{}", messages.len()));
            if fate > 10 {
                return Answer::Accepted(messages[messages.len() - 1].clone());
            }
        }
        Answer::None
    }

    /// One thing that happens.
    pub fn happen(&mut self, lanes: &mut [Lane]) {
        let at = index(&mut self.dice, lanes.len());
        match self.dice.between(1, 100) {
            1..=70 if lanes[at].is_busy() => lanes[at].go_on(self),
            1..=70 => {
                let debt = (!self.debts.is_empty() && self.dice.percent(60)).then(|| {
                    // What is owed may be handed on twice.
                    let which = index(&mut self.dice, self.debts.len());
                    let debt = self.debts[which].clone();
                    if self.dice.percent(70) {
                        self.debts.swap_remove(which);
                    }
                    debt
                });
                let tick = debt.is_none() && self.dice.percent(20);
                lanes[at].begin(self, tick, debt.as_ref());
            }
            71..=75 => lanes[at].crash(),
            // Also of those who live: a clock jumped, or their processes were stopped.
            76..=80 => self.world.expire_leases(),
            81..=93 => self.some_event(),
            94..=96 => self.unsubscribe(),
            97 | 98 => {
                let paused = self.world.campaign_status(self.campaign).0 == "paused";
                self.world.set_status(self.campaign, if paused { "sending" } else { "paused" });
            }
            _ => self.add_recipient(),
        }
    }

    fn add_recipient(&mut self) {
        if self.world.campaign_status(self.campaign).0 == "sending" {
            let email = format!("s{}late{}@example.com", self.seed, self.recipients.len());
            self.recipients.push(self.world.add_recipient(self.campaign, &email));
        }
    }

    fn some_event(&mut self) {
        let messages: Vec<(Uuid, String)> = self
            .accepted
            .iter()
            .flat_map(|(id, of)| of.iter().map(|message| (*id, message.clone())))
            .collect();
        if messages.is_empty() {
            return;
        }
        let (recipient, message) = messages[index(&mut self.dice, messages.len())].clone();
        let kind = *self.dice.choose(&[Kind::Send, Kind::Send, Kind::Delivery, Kind::Open, Kind::Bounce]);
        self.event(recipient, &message, kind);
    }

    /// Records an event, as `ses-events` of that release does.
    fn event(&mut self, recipient: Uuid, message: &str, kind: Kind) {
        let (action, suppression, feedback) = match kind {
            Kind::Send => (None, None, None),
            Kind::Delivery => (Some("email_delivered"), None, Some("delivered")),
            Kind::Bounce => (Some("email_bounced"), Some("bounce"), Some("bounced")),
            Kind::Open => (Some("email_opened"), None, None),
        };
        let none: Vec<Option<&str>> = vec![None];
        let now = vec![SystemTime::now()];
        let details = vec![json!({})];
        let read: [(&(dyn ToSql + Sync), Type); 1] = [(&vec![recipient], Type::UUID_ARRAY)];
        let client = self.world.database.client();
        client.query_typed(include_str!("../release_0_1/subject.sql"), &read).unwrap();
        let parameters: [(&(dyn ToSql + Sync), Type); 17] = [
            (&vec![recipient], Type::UUID_ARRAY),
            (&vec![self.campaign], Type::UUID_ARRAY),
            (&vec!["sent"], Type::TEXT_ARRAY),
            (&vec![message], Type::TEXT_ARRAY),
            (&now, Type::TIMESTAMPTZ_ARRAY),
            (&now, Type::TIMESTAMPTZ_ARRAY),
            (&vec![Some("Hello")], Type::TEXT_ARRAY),
            (&none, Type::TEXT_ARRAY),
            (&none, Type::TEXT_ARRAY),
            (&vec![action], Type::TEXT_ARRAY),
            (&vec![action.is_some()], Type::BOOL_ARRAY),
            (&vec![""], Type::TEXT_ARRAY),
            (&vec!["Email to "], Type::TEXT_ARRAY),
            (&vec![" is reported"], Type::TEXT_ARRAY),
            (&details, Type::JSONB_ARRAY),
            (&vec![suppression], Type::TEXT_ARRAY),
            (&vec![feedback], Type::TEXT_ARRAY),
        ];
        let row = client.query_typed(include_str!("../release_0_1/events.sql"), &parameters).unwrap();
        assert_eq!(row[0].get::<_, i64>("known"), 1);
        if kind == Kind::Bounce && !self.bounced.contains(&recipient) {
            self.bounced.push(recipient);
        }
    }

    /// Somebody follows the link, as `unsubscribe` of that release answers it: looks at the page, and presses the button.
    /// One in three subscribes again.
    fn unsubscribe(&mut self) {
        let recipient = self.recipients[index(&mut self.dice, self.recipients.len())];
        let mut statements =
            vec![include_str!("../release_0_1/look.sql"), include_str!("../release_0_1/unsubscribe.sql")];
        if self.dice.percent(33) {
            statements.push(include_str!("../release_0_1/subscribe_again.sql"));
            // Subscribing again takes back a bounce as well.
            self.bounced.retain(|bounced| *bounced != recipient);
        }
        for statement in statements {
            let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                [(&recipient, Type::UUID), (&ORGANIZATION, Type::UUID)];
            let rows = self.world.database.client().query_typed(statement, &parameters).unwrap();
            assert_eq!(rows.len(), 1);
        }
    }

    /// Nothing goes wrong any more: what is owed is paid, all events come, leases end.
    pub fn calm(&mut self, lanes: &mut [Lane]) {
        for lane in lanes.iter_mut() {
            lane.crash();
        }
        if self.world.campaign_status(self.campaign).0 == "paused" {
            self.world.set_status(self.campaign, "sending");
        }
        for round in 0..200 {
            self.world.expire_leases();
            let debt = self.debts.pop();
            let lane = &mut lanes[round % LANES_AT_REST];
            lane.begin(self, false, debt.as_ref());
            while lane.is_busy() {
                lane.go_on(self);
            }
            let messages = self.accepted.clone();
            for (recipient, messages) in &messages {
                for message in messages {
                    self.event(*recipient, message, Kind::Send);
                }
            }
            self.guard_and_policy();
            if self.debts.is_empty() && self.world.campaign_status(self.campaign).0 == "sent" {
                return;
            }
        }
        panic!("seed {}: the campaign does not end: {:?}", self.seed, self.world.statuses(self.campaign));
    }

    /// The guard finds nothing that it may pause, and the policy `resend` sends again of whom SES has said nothing.
    fn guard_and_policy(&mut self) {
        let campaigns: Vec<Uuid> = Vec::new();
        let reasons: Vec<&str> = Vec::new();
        let pause: [(&(dyn ToSql + Sync), Type); 3] =
            [(&campaigns, Type::UUID_ARRAY), (&reasons, Type::TEXT_ARRAY), (&campaigns, Type::UUID_ARRAY)];
        let resend: [(&(dyn ToSql + Sync), Type); 2] =
            [(&self.campaign, Type::UUID), (&0.0_f64, Type::FLOAT8)];
        let client = self.world.database.client();
        client.query_typed(include_str!("../release_0_1/pause.sql"), &pause).unwrap();
        client.query_typed(include_str!("../release_0_1/doubt.sql"), &resend).unwrap();
    }

    /// Nobody got two emails, nobody is forgotten, and the counters and the timeline are those of the recipients.
    pub fn check(&mut self) {
        let seed = self.seed;
        let of_this_release: Vec<Uuid> = self
            .world
            .ses
            .messages()
            .iter()
            .map(|message| message.tag("recipient_id").unwrap().parse().unwrap())
            .collect();
        let rows = self.world.database.query(
            "SELECT r.id, r.status, r.unsubscribed_at IS NOT NULL, count(*) FILTER (WHERE a.action = 'email_sent'),
                    count(*) FILTER (WHERE a.action = 'email_unsubscribed')
                    - count(*) FILTER (WHERE a.action = 'email_resubscribed'),
                    EXISTS (SELECT FROM suppressions AS s WHERE s.organization_id = r.organization_id
                                                            AND s.email = canonical_address(r.email))
               FROM campaign_recipients AS r LEFT JOIN activities AS a ON a.source_ref = r.id::text
              WHERE r.campaign_id = $1 GROUP BY r.id",
            &[&self.campaign],
        );
        assert_eq!(rows.len(), self.recipients.len(), "seed {seed}");
        let mut statuses: BTreeMap<&str, i32> = BTreeMap::new();
        let mut unsubscribed = 0;
        for row in &rows {
            let (id, status): (Uuid, &str) = (row.get(0), row.get(1));
            let received = self.accepted.get(&id).map_or(0, Vec::len)
                + of_this_release.iter().filter(|other| **other == id).count();
            assert!(received <= 1, "seed {seed}: {id} got {received} emails");
            assert_eq!(status == "sent", received == 1, "seed {seed}: {id} is {status}");
            assert!(matches!(status, "sent" | "failed" | "suppressed"), "seed {seed}: {id} is {status}");
            assert_eq!(row.get::<_, i64>(3), i64::from(status == "sent"), "seed {seed}: {id} is {status}");
            let marked: bool = row.get(2);
            assert_eq!(row.get::<_, i64>(4), i64::from(marked), "seed {seed}: {id} unsubscribed: {marked}");
            let suppressed: bool = row.get(5);
            assert!(suppressed || !marked && !self.bounced.contains(&id), "seed {seed}: {id}");
            *statuses.entry(status).or_default() += 1;
            unsubscribed += i32::from(marked);
        }
        let counters = &self.world.database.query(
            "SELECT total_count, sent_count, failed_count, suppressed_count, uncertain_count, unsubscribed_count
               FROM campaigns WHERE id = $1",
            &[&self.campaign],
        )[0];
        let counters: Vec<i32> = (0..6).map(|column| counters.get(column)).collect();
        let of = |status| statuses.get(status).copied().unwrap_or_default();
        let total = i32::try_from(rows.len()).unwrap();
        let expected = [total, of("sent"), of("failed"), of("suppressed"), of("uncertain"), unsubscribed];
        assert_eq!(counters, expected, "seed {seed}");
        assert!(self.takeovers > 0, "seed {seed}: no batch was taken over");
    }
}

/// Lanes that work when all is calm.
const LANES_AT_REST: usize = 3;

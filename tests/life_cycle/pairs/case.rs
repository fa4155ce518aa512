//! A campaign that is being sent, and the checks after two statements have met.

use uuid::Uuid;

use super::statement::{Statement, Told};
use crate::support::{ORGANIZATION, World};

/// A campaign with a recipient of each kind.
pub struct Case {
    pub url: String,
    pub campaign: Uuid,
    /// The claim of the open batch.
    pub token: Uuid,
    pub batch: i64,
    /// Two recipients are under way; one each is uncertain, failed, sent and pending.
    pub under_way: [Uuid; 2],
    pub uncertain: Uuid,
    pub failed: Uuid,
    pub sent: Uuid,
    pub pending: Uuid,
    /// The position of the second recipient that is under way.
    pub mark: i64,
}

impl Case {
    pub fn new(world: &mut World) -> Case {
        let campaign = world.campaign();
        let token = Uuid::new_v4();
        let names = ["under1", "under2", "uncertain", "failed", "sent", "pending"];
        let ids: Vec<Uuid> = names
            .iter()
            .map(|name| world.add_recipient(campaign, &format!("{name}@{}.example.com", campaign.simple())))
            .collect();
        let row = &world.database.query(
            "WITH cursor AS (
                 INSERT INTO campaign_cursors (campaign_id, counted_at) VALUES ($1, now()) RETURNING campaign_id
             ), uncertain AS (
                 UPDATE campaign_recipients SET status = 'uncertain', previous_status = 'pending',
                        error_code = 'timed_out', uncertain_since = now() - interval '1 hour' WHERE id = $4
             ), failed AS (
                 UPDATE campaign_recipients SET status = 'failed', previous_status = 'pending',
                        error_code = 'MessageRejected' WHERE id = $5
             ), sent AS (
                 UPDATE campaign_recipients SET status = 'sent', previous_status = 'pending', sent_at = now(),
                        message_id = 'message-' || id WHERE id = $6
             ), activity AS (
                 INSERT INTO activities (organization_id, entity_type, entity_id, action, source, source_ref)
                 VALUES ($8, 'email', $6, 'email_sent', 'email', $6::text)
             ), counted AS (
                 UPDATE campaigns SET started_at = now(), total_count = 6, sent_count = 1, failed_count = 1, uncertain_count = 1
                  WHERE id = $1
             )
             INSERT INTO campaign_batches (campaign_id, number, first_position, last_position, claimed_through,
                        closed_through, claimed_count, claim_token, lease_ends_at, handed_through, handed_by)
             SELECT c.campaign_id, 1, a.position, b.position, p.position - 1, a.position - 1, 2, $7, now() + interval '600 seconds',
                    a.position, $7
               FROM cursor AS c, campaign_recipients AS a, campaign_recipients AS b, campaign_recipients AS p
              WHERE a.id = $2 AND b.id = $3 AND p.id = $9
             RETURNING id, last_position",
            &[&campaign, &ids[0], &ids[1], &ids[2], &ids[3], &ids[4], &token, &ORGANIZATION, &ids[5]],
        )[0];
        Case {
            url: world.database.url.clone(),
            campaign,
            token,
            batch: row.get(0),
            under_way: [ids[0], ids[1]],
            uncertain: ids[2],
            failed: ids[3],
            sent: ids[4],
            pending: ids[5],
            mark: row.get(1),
        }
    }

    /// The invocation that holds the batch is lost.
    pub fn end_the_lease(&self, world: &mut World) {
        let sql = "UPDATE campaign_batches SET lease_ends_at = now() - interval '1 second' WHERE id = $1";
        world.database.execute(sql, &[&self.batch]);
    }

    /// Checks that no effect of the statements is lost, and that the rows agree.
    pub fn check(&self, world: &mut World, did: &[(Statement, Told)], what: &str) {
        let rows = world.database.query(
            "SELECT r.id, r.status, r.email, r.unsubscribed_at IS NOT NULL AS unsubscribed,
                    (SELECT count(*) FROM activities AS a WHERE a.organization_id = r.organization_id
                        AND a.entity_id = r.id AND a.action = 'email_sent') AS activities,
                    EXISTS (SELECT FROM suppressions AS s WHERE s.organization_id = r.organization_id
                               AND s.email = canonical_address(r.email)) AS suppressed,
                    (SELECT count(*) FROM campaign_batches AS b
                      WHERE b.campaign_id = r.campaign_id AND b.closed_at IS NULL
                        AND r.position BETWEEN b.first_position AND b.last_position) AS batches
               FROM campaign_recipients AS r WHERE r.campaign_id = $1",
            &[&self.campaign],
        );
        let said: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {}", row.get::<_, &str>("email"), row.get::<_, &str>("status")))
            .collect();
        let count = |status: &str| {
            i32::try_from(rows.iter().filter(|row| row.get::<_, &str>("status") == status).count()).unwrap()
        };
        let campaign = &world.database.query(
            "SELECT status, sent_count, failed_count, suppressed_count, uncertain_count, unsubscribed_count
               FROM campaigns WHERE id = $1",
            &[&self.campaign],
        )[0];
        let counters: Vec<i32> = (1..5).map(|column| campaign.get(column)).collect();
        let counted: Vec<i32> =
            ["sent", "failed", "suppressed", "uncertain"].into_iter().map(count).collect();
        assert_eq!(counters, counted, "{what}: counters of {said:?}");
        let unsubscribed = rows.iter().filter(|row| row.get("unsubscribed")).count();
        assert_eq!(usize::try_from(campaign.get::<_, i32>(5)).unwrap(), unsubscribed, "{what}");
        for row in &rows {
            let (id, status): (Uuid, &str) = (row.get("id"), row.get("status"));
            assert_eq!(
                row.get::<_, i64>("activities"),
                i64::from(status == "sent"),
                "{what}: {id} is {status}"
            );
            assert!(row.get::<_, i64>("batches") <= 1, "{what}: {id} is in two open batches");
        }
        let status: &str = campaign.get(0);
        assert!(status != "sent" || count("pending") == 0, "{what}: somebody is forgotten");

        let of = |id: Uuid| rows.iter().find(|row| row.get::<_, Uuid>("id") == id);
        let is = |id: Uuid, allowed: &[&str]| of(id).is_some_and(|row| allowed.contains(&row.get("status")));
        let has = |email: &str| rows.iter().any(|row| row.get::<_, &str>("email").starts_with(email));
        for (statement, told) in did {
            if let Told::Claimed(claimed) = told {
                for (id, email) in claimed {
                    let now: Option<&str> = of(*id).map(|row| row.get("email"));
                    assert_eq!(now, Some(email.as_str()), "{what}: another address is sent to");
                }
            }
            let kept = match statement {
                Statement::Claim | Statement::TakeOver | Statement::Checkpoint | Statement::Complete => true,
                Statement::Record => self.under_way.iter().all(|id| is(*id, &["sent"])),
                Statement::Events => {
                    is(self.uncertain, &["sent"])
                        && is(self.under_way[0], &["sent"])
                        && of(self.sent).is_some_and(|row| row.get("suppressed"))
                }
                Statement::Unsubscribe => {
                    of(self.sent).is_some_and(|row| row.get("suppressed") && row.get("unsubscribed"))
                }
                Statement::Guard | Statement::Pause => status == "paused",
                Statement::Retry => is(self.failed, &["pending"]),
                Statement::Resolve => is(self.uncertain, &["failed", "sent"]),
                Statement::Import => has("imported@"),
                Statement::Insert => has("inserted@"),
                Statement::Update => *told == Told::Refused || of(self.pending).is_none() || has("changed@"),
                Statement::Delete => *told == Told::Refused || of(self.pending).is_none(),
            };
            assert!(kept, "{what}: what {statement:?} did is lost: {said:?}");
        }
    }
}

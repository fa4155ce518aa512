//! Reads the figures from the tables.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::failure::Failure;
use super::super::soon;
use super::super::status::{self, Detail};
use super::axis;
use super::results::{self, Results};
use campaign_sender::store::Database;

/// The approximate number of columns of a plot.
const BUCKETS: f64 = 60.0;

/// Everything that the page shows.
pub struct Figures {
    pub detail: Detail,
    pub results: Results,
    /// Seconds since 1970.
    pub now: f64,
    pub sends: Option<Sends>,
    pub domains: Vec<Domain>,
    pub reactions: Option<Reactions>,
}

/// Counts in buckets of equal length, one after the other.
pub struct Sends {
    pub from: f64,
    pub bucket: f64,
    pub counts: Vec<i64>,
}

/// The results of the sent emails of a domain; each email counts once.
#[derive(Clone, Debug)]
pub struct Domain {
    pub name: String,
    pub sent: i64,
    pub delivered: i64,
    pub bounced: i64,
    pub complained: i64,
}

/// The number of people who had opened, and clicked, by the end of each bucket.
pub struct Reactions {
    pub from: f64,
    pub bucket: f64,
    pub opened: Vec<i64>,
    pub clicked: Vec<i64>,
}

/// One campaign's figures; `None` if there is no such campaign.
pub async fn figures(database: &Database, id: Uuid) -> Result<Option<Figures>, Failure> {
    let Some(detail) = status::detail(database, id).await? else { return Ok(None) };
    let Some(results) = results::of_campaign(database, id).await? else { return Ok(None) };
    let of_campaign: [(&(dyn ToSql + Sync), Type); 1] = [(&id, Type::UUID)];
    let range = database.query(include_str!("range.sql"), &of_campaign, soon()).await?;
    let at = |column| range.first().and_then(|row| row.get::<_, Option<f64>>(column));
    let domains = database.query(include_str!("domains.sql"), &of_campaign, soon()).await?;
    let now = database.query("SELECT extract(epoch FROM now())::float8 AS now", &[], soon()).await?;
    Ok(Some(Figures {
        detail,
        results,
        now: now.first().map_or(0.0, |row| row.get("now")),
        sends: match (at("first"), at("last")) {
            (Some(first), Some(last)) => Some(sends(database, id, first, last).await?),
            _ => None,
        },
        domains: domains
            .iter()
            .map(|row| Domain {
                name: row.get("domain"),
                sent: row.get("sent"),
                delivered: row.get("delivered"),
                bounced: row.get("bounced"),
                complained: row.get("complained"),
            })
            .collect(),
        reactions: match (at("first"), at("last_reaction")) {
            (Some(first), Some(last)) => Some(reactions(database, id, first, last).await?),
            _ => None,
        },
    }))
}

async fn sends(database: &Database, id: Uuid, first: f64, last: f64) -> Result<Sends, Failure> {
    let bucket = axis::bucket(last - first, BUCKETS);
    let from = (first / bucket).floor() * bucket;
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&id, Type::UUID), (&from, Type::FLOAT8), (&bucket, Type::FLOAT8)];
    let rows = database.query(include_str!("sends.sql"), &parameters, soon()).await?;
    let counts = filled(rows.iter().map(|row| (row.get("bucket"), row.get("count"))));
    Ok(Sends { from, bucket, counts })
}

async fn reactions(database: &Database, id: Uuid, first: f64, last: f64) -> Result<Reactions, Failure> {
    let bucket = axis::bucket(last - first, BUCKETS * 2.0);
    let from = (first / bucket).floor() * bucket;
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&id, Type::UUID), (&from, Type::FLOAT8), (&bucket, Type::FLOAT8)];
    let rows = database.query(include_str!("reactions.sql"), &parameters, soon()).await?;
    #[allow(clippy::cast_possible_truncation, reason = "at most some hundred buckets")]
    let end = ((last - from) / bucket).floor() as i32;
    let of = |action: &str| {
        let own = rows.iter().filter(|row| row.get::<_, &str>("action") == action);
        // What came after the end of the plot is none of it; and the curve goes on to the end.
        let own = own.map(|row| (row.get("bucket"), row.get("count"))).filter(|(bucket, _)| *bucket <= end);
        summed(&filled(own.chain([(end, 0)])))
    };
    Ok(Reactions { from, bucket, opened: of("email_opened"), clicked: of("email_clicked") })
}

/// Counts for every bucket from the first one on.
fn filled(rows: impl Iterator<Item = (i32, i64)>) -> Vec<i64> {
    let mut counts = Vec::new();
    for (bucket, count) in rows {
        let bucket = usize::try_from(bucket).unwrap_or_default();
        if counts.len() <= bucket {
            counts.resize(bucket + 1, 0);
        }
        counts[bucket] += count;
    }
    counts
}

fn summed(counts: &[i64]) -> Vec<i64> {
    let mut sum = 0;
    counts
        .iter()
        .map(|count| {
            sum += count;
            sum
        })
        .collect()
}

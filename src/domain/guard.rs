//! The reputation guard decides whether SES's events of a campaign are bad enough to stop it. It is pure.
//!
//! Amazon reviews an account whose bounce rate passes 5 %, or whose complaint rate passes 0.1 %
//! (<https://docs.aws.amazon.com/ses/latest/dg/reputationdashboard-reputation-metrics.html>). A few emails do
//! not prove a rate: a limit is passed when the rate is above it with 95 % confidence, after a minimum number
//! of emails.
//!
//! Complaints are compared with the emails to providers that report complaints, as Amazon's metric `DELIVERY_COMPLAINT`
//! does, which leaves out recipients 'hosted by ISPs with which Amazon SES does not have a feedback loop agreement'
//! (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_BatchGetMetricDataQuery.html>); and with all emails, so
//! that a campaign with few recipients at such providers is judged, too.

use serde::Deserialize;
use uuid::Uuid;

use super::halt;

/// The least number of rejected emails that stops a campaign, or `GUARD_MIN_SAMPLE` if that is less.
const MIN_REJECTED: u64 = 20;
/// The part of a campaign's emails that SES may reject after it has accepted them.
const MAX_REJECT_RATE: f64 = 0.5;
/// The standard normal quantile of 95 %, one-sided.
const Z: f64 = 1.644_853_6;

/// Gmail's domains. Gmail sends no complaints
/// (<https://aws.amazon.com/blogs/messaging-and-targeting/understanding-google-postmaster-tools-spam-complaints-for-amazon-ses-email-senders/>).
pub const GMAIL: [&str; 2] = ["gmail.com", "googlemail.com"];

/// The limits of the guard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// `GUARD_MAX_BOUNCE_RATE`, of emails that were delivered or bounced; 0.05 unless set.
    pub bounce_rate: f64,
    /// `GUARD_MAX_COMPLAINT_RATE`, of emails that were delivered to providers that report complaints; 0.001 unless set.
    pub complaint_rate: f64,
    /// `GUARD_MIN_SAMPLE`: a campaign with fewer emails is not judged; 100 unless set.
    pub min_sample: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bounce_rate: 0.05, complaint_rate: 0.001, min_sample: 100 }
    }
}

/// A campaign, and the feedback on its emails since the guard last paused it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// The campaign.
    pub campaign_id: Uuid,
    /// Its organization.
    pub organization_id: Uuid,
    /// It is `sending`: there is something to stop.
    pub sending: bool,
    /// Its first event came within the last seven days.
    pub recent: bool,
    /// Emails delivered.
    pub delivered: u64,
    /// Those of them that were delivered to providers that report no complaints.
    pub without_feedback: u64,
    /// Emails that bounced permanently.
    pub bounced: u64,
    /// Emails that led to a complaint.
    pub complained: u64,
    /// Emails that SES rejected after it had accepted them.
    pub rejected: u64,
}

/// A campaign to pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The campaign.
    pub campaign_id: Uuid,
    /// The campaigns whose feedback was judged, so that it does not count again: the campaign itself, and all
    /// campaigns of the organization if their common figures passed a limit.
    pub judged: Vec<Uuid>,
    /// The `status_reason`, for a person.
    pub reason: String,
}

/// The campaigns to pause: each campaign whose own rates pass a limit, and, if the common rates of all other
/// recent campaigns of an organization pass a limit, each of these that is sending.
pub fn judge(watched: &[Watched], limits: &Limits) -> Vec<Stop> {
    let mut stops: Vec<Stop> = Vec::new();
    let mut rest = Vec::new();
    for campaign in watched {
        let reason = rejection(campaign, limits).or_else(|| {
            excess(&[campaign], limits)
                .map(|excess| format!("{excess}: clean the list, then set the status to 'sending'"))
        });
        match reason.filter(|_| campaign.sending) {
            Some(reason) => stops.push(Stop {
                campaign_id: campaign.campaign_id,
                judged: vec![campaign.campaign_id],
                reason,
            }),
            None => rest.push(campaign),
        }
    }
    rest.sort_by_key(|campaign| campaign.organization_id);
    for campaigns in rest.chunk_by(|a, b| a.organization_id == b.organization_id) {
        let recent: Vec<&Watched> = campaigns.iter().copied().filter(|campaign| campaign.recent).collect();
        let Some(excess) = excess(&recent, limits) else { continue };
        stops.extend(campaigns.iter().filter(|campaign| campaign.sending).map(|campaign| Stop {
            campaign_id: campaign.campaign_id,
            judged: recent.iter().map(|campaign| campaign.campaign_id).collect(),
            reason: format!("{excess}, over the organization's campaigns of the last seven days: clean the lists, then set the status to 'sending'"),
        }));
    }
    stops
}

/// The reason in words if SES rejects most of a campaign's emails; the cause is then the campaign's content,
/// not its list.
fn rejection(campaign: &Watched, limits: &Limits) -> Option<String> {
    let (rejected, accepted) = (campaign.rejected, campaign.delivered + campaign.bounced + campaign.rejected);
    let enough = rejected >= MIN_REJECTED.min(u64::from(limits.min_sample).max(1));
    (enough && lower_bound(rejected, accepted) > MAX_REJECT_RATE).then(|| {
        let rate = rate(rejected, accepted);
        let excess = halt::rejections(rejected, accepted, &rate);
        format!("{excess}: correct the content, then set the status to 'sending'")
    })
}

/// The limit that these campaigns pass together, in words.
fn excess(campaigns: &[&Watched], limits: &Limits) -> Option<String> {
    let sum = |of: fn(&Watched) -> u64| campaigns.iter().map(|campaign| of(campaign)).sum::<u64>();
    let (delivered, bounced) = (sum(|c| c.delivered), sum(|c| c.bounced));
    let (complained, without_feedback) = (sum(|c| c.complained), sum(|c| c.without_feedback));
    let passes = |count, of, limit| of >= u64::from(limits.min_sample) && lower_bound(count, of) > limit;
    let returned = delivered + bounced;
    // An email that led to a complaint was delivered, even if that event has not arrived.
    let received = delivered.max(complained);
    let reported = delivered.saturating_sub(without_feedback).max(complained);
    if passes(bounced, returned, limits.bounce_rate) {
        let limit = percent(limits.bounce_rate);
        Some(halt::bounces(bounced, returned, &rate(bounced, returned), &limit))
    } else {
        let of =
            [reported, received].into_iter().find(|of| passes(complained, *of, limits.complaint_rate))?;
        let (limit, rate) = (percent(limits.complaint_rate), rate(complained, of));
        Some(halt::complaints(complained, of, received - of, &rate, &limit))
    }
}

/// The rate that `count` out of `of` exceed with 95 % confidence: the lower bound of Wilson's score interval
/// with continuity correction, which holds for counts of one and two as well (Newcombe 1998, method 4).
fn lower_bound(count: u64, of: u64) -> f64 {
    if count == 0 || of == 0 {
        return 0.0;
    }
    #[allow(clippy::cast_precision_loss, reason = "counts of emails are far below 2^52")]
    let (k, n) = (count as f64, of as f64);
    let p = (k / n).min(1.0);
    let spread = (Z * Z - 1.0 / n + 4.0 * n * p * (1.0 - p) + 4.0 * p - 2.0).max(0.0).sqrt();
    ((2.0 * n * p + Z * Z - (Z * spread + 1.0)) / (2.0 * (n + Z * Z))).max(0.0)
}

fn rate(count: u64, of: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "counts of emails are far below 2^52")]
    percent(count as f64 / of as f64)
}

/// Two significant digits: `8.2 %`, `0.14 %`.
fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    let text = match percent {
        10.0.. => format!("{percent:.0}"),
        1.0.. => format!("{percent:.1}"),
        _ => format!("{percent:.2}"),
    };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign(id: u128, delivered: u64, bounced: u64, complained: u64) -> Watched {
        Watched {
            campaign_id: Uuid::from_u128(id),
            organization_id: Uuid::from_u128(0x0a),
            sending: true,
            recent: true,
            delivered,
            without_feedback: 0,
            bounced,
            complained,
            rejected: 0,
        }
    }

    fn reason(delivered: u64, bounced: u64, complained: u64) -> Option<String> {
        let campaign = Watched { recent: false, ..campaign(1, delivered, bounced, complained) };
        judge(&[campaign], &Limits::default()).pop().map(|stop| stop.reason)
    }

    #[test]
    fn a_rate_passes_its_limit_when_it_is_above_it_with_confidence() {
        // Clopper and Pearson's exact bounds. The results are close to them from below.
        for (count, of, exact) in [(1, 10, 0.0051), (1, 100, 0.0005), (12, 100, 0.0707), (60, 1000, 0.0481)] {
            let bound = lower_bound(count, of);
            assert!((bound - exact).abs() < 0.0035, "{count} of {of}: {bound}, exact {exact}");
        }
        assert!(lower_bound(0, 1_000_000).abs() < f64::EPSILON);
        assert!(lower_bound(1_000_000, 1_000_000) > 0.99999);
    }

    #[test]
    fn few_emails_stop_no_campaign() {
        assert_eq!(reason(9, 1, 0), None);
        assert_eq!(reason(0, 99, 0), None, "below the minimum");
        assert_eq!(reason(100, 0, 1), None, "one complaint is chance");
        assert_eq!(reason(950, 50, 0), None, "exactly the limit");
        assert_eq!(reason(10_000, 0, 12), None, "above the limit, by chance");
    }

    #[test]
    fn a_campaign_that_passes_a_limit_is_stopped_with_its_figures() {
        insta::assert_snapshot!(reason(918, 82, 0).unwrap(), @"82 of 1000 emails bounced (8.2 %), more than 5 %: clean the list, then set the status to 'sending'");
        insta::assert_snapshot!(reason(10_000, 0, 25).unwrap(), @"25 of 10000 recipients complained (0.25 %), more than 0.1 %: clean the list, then set the status to 'sending'");
        assert!(reason(0, 0, 100).unwrap().starts_with("100 of 100 recipients complained (100 %)"));
    }

    #[test]
    fn complaints_are_compared_with_the_emails_to_providers_that_report_them_and_the_reason_says_so() {
        let judged = |delivered, without_feedback, complained| {
            let campaign = Watched { without_feedback, ..campaign(1, delivered, 0, complained) };
            judge(&[campaign], &Limits::default()).pop().map(|stop| stop.reason)
        };
        assert_eq!(judged(10_000, 0, 12), None, "0.12 % of all may be chance");
        insta::assert_snapshot!(judged(10_000, 7_500, 12).unwrap(), @"12 of 2500 recipients complained (0.48 %), more than 0.1 %, without the 7500 emails to providers that report no complaints: clean the list, then set the status to 'sending'");
        // Fewer than the minimum are at providers that report: all are counted.
        insta::assert_snapshot!(judged(300, 250, 6).unwrap(), @"6 of 300 recipients complained (2 %), more than 0.1 %: clean the list, then set the status to 'sending'");
        assert_eq!(judged(99, 50, 9), None, "below the minimum");
        // Events may arrive in any order, also complaints before deliveries.
        assert!(
            judged(100, 100, 100)
                .unwrap()
                .starts_with("100 of 100 recipients complained (100 %), more than 0.1 %:")
        );
    }

    #[test]
    fn a_campaign_of_which_ses_rejects_most_is_stopped_with_its_figures() {
        let judged = |delivered, rejected| {
            let campaign = Watched { rejected, ..campaign(1, delivered, 0, 0) };
            judge(&[campaign], &Limits::default()).pop().map(|stop| stop.reason)
        };
        insta::assert_snapshot!(judged(2, 38).unwrap(), @"38 of 40 emails were rejected by Amazon SES after it had accepted them (95 %): correct the content, then set the status to 'sending'");
        assert_eq!(judged(0, 19), None, "too few");
        assert_eq!(judged(60, 60), None, "exactly the limit");
        assert_eq!(judged(1000, 200), None, "a part of it");
    }

    #[test]
    fn many_small_campaigns_are_judged_together() {
        let campaigns: Vec<Watched> = (0..5).map(|id| campaign(id, 80, 9, 0)).collect();
        let stops = judge(&campaigns, &Limits::default());
        assert_eq!(stops.len(), 5);
        insta::assert_snapshot!(stops[0].reason, @"45 of 445 emails bounced (10 %), more than 5 %, over the organization's campaigns of the last seven days: clean the lists, then set the status to 'sending'");
        assert_eq!(stops[0].judged.len(), 5);
    }

    #[test]
    fn campaigns_of_more_than_a_week_ago_are_not_held_against_the_organization() {
        let old: Vec<Watched> =
            (0..5).map(|id| Watched { recent: false, ..campaign(id, 80, 9, 0) }).collect();
        assert_eq!(judge(&old, &Limits::default()), []);
        let with_new: Vec<Watched> = old.into_iter().chain([campaign(9, 100, 1, 0)]).collect();
        assert_eq!(judge(&with_new, &Limits::default()), []);
    }

    #[test]
    fn one_bad_campaign_does_not_stop_the_others_of_its_organization() {
        let campaigns = [campaign(1, 900, 500, 0), campaign(2, 2000, 3, 0)];
        let stops = judge(&campaigns, &Limits::default());
        assert_eq!(stops.iter().map(|stop| stop.campaign_id).collect::<Vec<_>>(), [Uuid::from_u128(1)]);
    }

    #[test]
    fn what_is_not_sending_is_not_stopped() {
        let done = Watched { sending: false, ..campaign(1, 900, 500, 0) };
        assert_eq!(judge(std::slice::from_ref(&done), &Limits::default()), []);
        let stops = judge(&[done, campaign(2, 5, 0, 0)], &Limits::default());
        assert_eq!(stops.len(), 1, "the organization's rates hold for the one that goes on");
    }
}

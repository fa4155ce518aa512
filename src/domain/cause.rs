//! Why nothing of a campaign is being sent at the moment: each cause with its code, its sentence and what to do. Pure.

use std::time::Duration;

use super::error_kind::ErrorKind;

/// An invocation is late if it starts this much later than expected; a schedule starts one each minute.
pub const LATE: Duration = Duration::from_secs(180);

/// Why nothing is being sent, as an invocation has noted it or as the tables show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The daily quota of SES is used up.
    QuotaExhausted,
    /// SES says that the maximum sending rate is exceeded.
    Throttled,
    /// Other invocations have reserved the account's sending rate.
    RateReserved,
    /// SES cannot be reached, or a request cannot be addressed or signed.
    SesUnreachable,
    /// Something other than SES answers.
    NotSes,
    /// SES's answers leave recipients uncertain.
    UnclearAnswers,
    /// Another invocation holds the recipients that are left.
    Busy,
    /// A transaction that adds recipients has not ended.
    OpenImport,
    /// Another transaction holds a lock on the campaign.
    Locked,
    /// The campaign is due later.
    Scheduled,
    /// A batch is sent, and PostgreSQL could not record it.
    Unrecorded,
    /// The database may have lost data.
    HistoryChanged,
    /// The activities table takes no activities.
    UnusableActivitiesTable,
    /// The secret of the links to unsubscribe cannot be read.
    UnsubscribeSecretUnavailable,
    /// PostgreSQL refuses a statement about this campaign.
    DatabaseRefused,
    /// The function panicked on this campaign.
    Panicked,
    /// An invocation is sending.
    AtWork,
    /// The last invocations were lost, so a schedule skips the campaign for a while.
    Resting,
    /// An invocation ended without recording its batch.
    LostBatch,
    /// An invocation ended a moment ago, or the next one is about to start.
    Expected,
    /// Invocations run, but work on other campaigns.
    OtherCampaigns,
    /// No invocation has run for a while.
    Overdue,
}

use Cause::{
    AtWork, Busy, DatabaseRefused, Expected, HistoryChanged, Locked, LostBatch, NotSes, OpenImport,
    OtherCampaigns, Overdue, Panicked, QuotaExhausted, RateReserved, Resting, Scheduled, SesUnreachable,
    Throttled, UnclearAnswers, Unrecorded, UnsubscribeSecretUnavailable, UnusableActivitiesTable,
};

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 22] = [
        QuotaExhausted,
        Throttled,
        RateReserved,
        SesUnreachable,
        NotSes,
        UnclearAnswers,
        Busy,
        OpenImport,
        Locked,
        Scheduled,
        Unrecorded,
        HistoryChanged,
        UnusableActivitiesTable,
        UnsubscribeSecretUnavailable,
        DatabaseRefused,
        Panicked,
        AtWork,
        Resting,
        LostBatch,
        Expected,
        OtherCampaigns,
        Overdue,
    ];

    /// The name that is stored, and that machines read.
    pub fn code(self) -> &'static str {
        match self {
            QuotaExhausted => "quota_exhausted",
            Throttled => "throttled",
            RateReserved => "rate_reserved",
            SesUnreachable => "ses_unreachable",
            NotSes => "not_ses",
            UnclearAnswers => "unclear_answers",
            Busy => "busy",
            OpenImport => "open_import",
            Locked => "locked",
            Scheduled => "scheduled",
            Unrecorded => "unrecorded",
            HistoryChanged => "history_changed",
            UnusableActivitiesTable => "unusable_activities_table",
            UnsubscribeSecretUnavailable => "unsubscribe_secret_unavailable",
            DatabaseRefused => "database_refused",
            Panicked => "panicked",
            AtWork => "at_work",
            Resting => "resting",
            LostBatch => "lost_batch",
            Expected => "expected",
            OtherCampaigns => "other_campaigns",
            Overdue => "overdue",
        }
    }

    /// The cause of this code, if this release knows it.
    pub fn of_code(code: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.code() == code)
    }

    /// The cause of an invocation's failure on a campaign. `None`: the failure is not about the campaign, or cannot be
    /// noted because PostgreSQL is down.
    pub fn of_error(kind: ErrorKind) -> Option<Cause> {
        match kind {
            ErrorKind::UnusableActivitiesTable => Some(UnusableActivitiesTable),
            ErrorKind::UnsubscribeSecretUnavailable => Some(UnsubscribeSecretUnavailable),
            ErrorKind::DatabaseRefused => Some(DatabaseRefused),
            ErrorKind::InvalidEvent
            | ErrorKind::UnknownCampaign
            | ErrorKind::CampaignNotReady
            | ErrorKind::SchemaMismatch
            | ErrorKind::DatabaseUnavailable
            | ErrorKind::Panic => None,
        }
    }

    /// The cause as a sentence, without its full stop.
    pub fn text(self) -> &'static str {
        match self {
            QuotaExhausted => "SES's daily sending quota is used up",
            Throttled => "SES says that messages come too fast",
            RateReserved => "other campaigns have reserved the account's sending rate",
            SesUnreachable => "SES cannot be reached",
            NotSes => "the answers come from something other than SES",
            UnclearAnswers => "SES's answers cannot be understood",
            Busy => "another invocation holds the recipients that are left",
            OpenImport => "a transaction that adds recipients to the campaign has not ended",
            Locked => "another transaction holds a lock on the campaign",
            Scheduled => "the campaign is scheduled for later",
            Unrecorded => "emails are sent that PostgreSQL could not record yet",
            HistoryChanged => "the database may lack what it had committed",
            UnusableActivitiesTable => "the activities table takes no activities",
            UnsubscribeSecretUnavailable => "the secret of the links to unsubscribe cannot be read",
            DatabaseRefused => "PostgreSQL refuses a statement about this campaign",
            Panicked => "send-batch crashed on this campaign",
            AtWork => "an invocation is at work on it",
            Resting => "the last invocations that worked on it were lost",
            LostBatch => "an invocation ended without recording its batch",
            Expected => "the next invocation is to come at any moment",
            OtherCampaigns => "invocations come, and work on other campaigns first",
            Overdue => "no invocation has come",
        }
    }

    /// What a person does about it; `{id}` stands for the campaign's id. `None`: nothing.
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            AtWork | Expected | Busy | Scheduled => return None,
            QuotaExhausted => {
                "Wait: the quota is a rolling window of 24 hours, so sending continues automatically. If it is too small, ask AWS for a higher one (SES console, Account dashboard)."
            }
            Throttled => {
                "Wait: sending continues automatically. If this happens often, something else uses the account: lower SES_MAX_SEND_RATE."
            }
            RateReserved => {
                "Wait: the account's rate is shared, and this campaign has its turn. More invocations do not make it faster."
            }
            SesUnreachable => {
                "Look at the way to SES: DNS, the route out of the VPC (NAT gateway or the endpoint email), the region and the credentials; if SES says that a time is wrong, at the clock of the machine that sends. Sending continues automatically when SES can be reached."
            }
            NotSes => {
                "Look at AWS_ENDPOINT_URL_SESV2, and at the proxy or firewall on the way to SES. No recipient has failed because of it."
            }
            UnclearAnswers => {
                "Look at the health of SES and at a proxy on the way to it. Recipients without a clear answer are uncertain."
            }
            OpenImport => {
                "Wait for the import. If it never ends, look in pg_stat_activity for an old transaction that inserts recipients, and end it."
            }
            Locked => {
                "Wait for that transaction. If it never ends, look for it in pg_locks and pg_stat_activity, and end it."
            }
            Unrecorded => {
                "Correct what PostgreSQL says of it, and let the orchestrator follow next, which carries what is unrecorded. If it is lost: campaign resolve {id} --from-log FILE"
            }
            HistoryChanged => "Read docs/restore.md before anything is sent.",
            UnusableActivitiesTable => {
                "Correct the activities table, or ACTIVITIES_TABLE. Sending continues with the next invocation."
            }
            UnsubscribeSecretUnavailable => {
                "Let the function's role read the secret of UNSUBSCRIBE_SECRET_ARN, and look at the way to Secrets Manager."
            }
            DatabaseRefused => {
                "Correct what PostgreSQL names: run campaign migrate where a table, column or function is missing, grant the right where one is denied, make room where a disk is full, else look at the triggers and views that it names."
            }
            Panicked => {
                "Look at the log of send-batch: it names the place. Correct the campaign's template or data."
            }
            Resting => {
                "Look at the log of send-batch before its invocations end: the template or a recipient's data may kill it (memory, time). Correct that, and try it at once: campaign send run {id}"
            }
            LostBatch => {
                "The next invocation takes it over; look at the log of send-batch for why it was lost."
            }
            OtherCampaigns => "Wait: campaigns that have been due for longer go first.",
            Overdue => {
                "Turn on the schedule (ScheduleState=ENABLED), or start the state machine; if it is on, look at the log of send-batch: it may not start, not reach PostgreSQL, or not be able to write there. Or run it from here: campaign send run {id}"
            }
        })
    }

    /// Returns true if every campaign of the account, or of the database, waits for the same.
    pub fn is_of_all_campaigns(self) -> bool {
        matches!(
            self,
            QuotaExhausted
                | Throttled
                | SesUnreachable
                | NotSes
                | HistoryChanged
                | UnusableActivitiesTable
                | UnsubscribeSecretUnavailable
        )
    }

    /// Returns true if PostgreSQL refused what an invocation had to write, also while others are at work.
    fn is_refusal(self) -> bool {
        matches!(self, Unrecorded | UnusableActivitiesTable | DatabaseRefused)
    }

    /// Returns true if the reason of an invocation says more than [`Cause::text`].
    pub fn is_explained_by(self, reason: &str) -> bool {
        if matches!(self, Throttled | RateReserved | OpenImport | Panicked) {
            return false;
        }
        // Releases before this one noted only that it is so.
        if self == Unrecorded && reason.ends_with("is sent and not recorded yet") {
            return false;
        }
        let words = reason.trim_start_matches("SES: ").trim_start_matches("the ");
        !words.is_empty() && !self.text().contains(words)
    }

    /// Returns true if an invocation has to note it, because the tables do not show it.
    pub fn is_noted(self) -> bool {
        !matches!(self, Busy | Scheduled)
    }
}

/// What an invocation noted when it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How long ago.
    pub ago: Duration,
    /// Why it sent no more; `None`: a newer release knows the cause.
    pub cause: Option<Cause>,
    /// The whole time that the orchestrator was told to wait.
    pub wait: Duration,
    /// Its message.
    pub reason: String,
}

impl Note {
    /// Returns true if the next invocation is late.
    fn is_late(&self) -> bool {
        self.ago > self.wait + LATE
    }
}

/// A schedule skips a campaign for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The time since the lost invocation was noticed or began.
    pub since: Duration,
    /// The remaining time.
    pub left: Duration,
}

impl Rest {
    /// The time in which an invocation that failed notes first why, and then that it failed.
    const NOTING: Duration = Duration::from_secs(5);

    /// Returns true if an invocation has noted why it failed.
    fn is_explained_by(self, note: &Note) -> bool {
        note.cause.is_some() && note.ago <= self.since + Rest::NOTING
    }
}

/// What the tables show of a campaign that is `sending`, or scheduled and due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The remaining time of an invocation's lease.
    pub lease: Option<Duration>,
    /// A batch is open whose lease has ended.
    pub lost: bool,
    /// The time since the newest batch was claimed or recorded, or, if there is no batch, since the campaign
    /// has been due. `None`: no invocation has worked on it, and it is unknown since when it waits.
    pub idle: Option<Duration>,
    /// What the last invocation of this campaign noted, if no batch was claimed after it.
    pub last: Option<Note>,
    /// What the last invocation of another campaign noted.
    pub elsewhere: Option<Note>,
    /// The time since any invocation left a trace in the database.
    pub seen: Option<Duration>,
    /// The remaining time of a hold of all claims.
    pub hold: Option<Duration>,
    /// A schedule skips the campaign, because an invocation was lost or failed.
    pub rest: Option<Rest>,
    /// The time for which others have reserved the sending rate, if this campaign wants a share of it.
    pub rate: Option<Duration>,
}

/// Why nothing is being sent, and the note of an invocation, if the cause is from one.
pub fn of(facts: &Facts) -> (Cause, Option<&Note>) {
    let comes = facts.seen.is_some_and(|seen| seen <= LATE);
    if facts.lease.is_some() {
        // An invocation that could not record its batch has ended before its lease.
        let noted = facts.last.as_ref().filter(|note| !note.is_late());
        let refused =
            noted.and_then(|note| Some((note.cause?, note))).filter(|(cause, _)| cause.is_refusal());
        return refused.map_or((AtWork, None), |(cause, note)| (cause, Some(note)));
    }
    if facts.hold.is_some() {
        return (HistoryChanged, None);
    }
    if let Some(rest) = facts.rest
        && !facts.last.as_ref().is_some_and(|note| rest.is_explained_by(note))
    {
        return (Resting, None);
    }
    if let Some((note, cause)) = facts.last.as_ref().and_then(|note| Some((note, note.cause?))) {
        // A cause that outlasts the invocation is shown even if no later invocation has confirmed it.
        return if note.is_late() && !comes { (Overdue, Some(note)) } else { (cause, Some(note)) };
    }
    if facts.rate.is_some() {
        return (RateReserved, None);
    }
    let of_all = facts.elsewhere.as_ref().filter(|note| !note.is_late());
    if let Some((note, cause)) = of_all.and_then(|note| Some((note, note.cause?)))
        && cause.is_of_all_campaigns()
    {
        return (cause, Some(note));
    }
    if facts.lost {
        let recent = facts.idle.is_some_and(|idle| idle <= LATE);
        return (if comes || recent { LostBatch } else { Overdue }, None);
    }
    if facts.idle.is_some_and(|idle| idle <= LATE / 2) {
        return (Expected, None);
    }
    (if comes { OtherCampaigns } else { Overdue }, None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn note(cause: Cause, ago: Duration, wait: Duration) -> Note {
        Note { ago, cause: Some(cause), wait, reason: String::new() }
    }

    #[test]
    fn each_cause_has_a_code_and_words_of_its_own() {
        let distinct =
            |of: fn(Cause) -> &'static str| Cause::ALL.map(of).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(distinct(Cause::code).len(), Cause::ALL.len());
        assert_eq!(distinct(Cause::text).len(), Cause::ALL.len());
        let advice = Cause::ALL.into_iter().filter_map(Cause::advice);
        assert_eq!(advice.clone().collect::<BTreeSet<_>>().len(), advice.count());
        for cause in Cause::ALL {
            assert_eq!(Cause::of_code(cause.code()), Some(cause));
        }
        assert_eq!(Cause::of_code("of_a_newer_release"), None);
    }

    #[test]
    fn the_page_for_operators_lists_each_cause_that_is_shown_and_no_other() {
        let page = include_str!("../../docs/operate.md");
        let section = page.split("## Why nothing is being sent").nth(1).expect("it has the section");
        let section = section.split("\n## ").next().unwrap_or_default();
        let listed: BTreeSet<&str> =
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        // The lease of another invocation and a time that is to come are shown as such.
        let shown = Cause::ALL.into_iter().filter(|cause| cause.is_noted());
        assert_eq!(listed, shown.map(Cause::code).collect());
    }

    #[test]
    fn somebody_at_work_outweighs_what_was_noted_before() {
        let last = Some(note(QuotaExhausted, MINUTE, HOUR));
        let facts = Facts { lease: Some(MINUTE), last, idle: Some(HOUR), ..Facts::default() };
        assert_eq!(of(&facts), (AtWork, None));
    }

    #[test]
    fn a_batch_that_could_not_be_recorded_is_the_cause_although_its_lease_has_not_ended() {
        let last = note(Unrecorded, Duration::from_secs(1), Duration::from_secs(5));
        let facts = Facts { lease: Some(MINUTE), last: Some(last.clone()), ..Facts::default() };
        assert_eq!(of(&facts), (Unrecorded, Some(&last)));
        let late = Some(note(Unrecorded, LATE + MINUTE, Duration::from_secs(5)));
        assert_eq!(of(&Facts { last: late, ..facts }), (AtWork, None));
        assert!(Unrecorded.is_explained_by("PostgreSQL refused the statement: permission denied"));
        assert!(!Unrecorded.is_explained_by("an earlier batch is sent and not recorded yet"));
    }

    #[test]
    fn what_the_last_invocation_noted_is_the_cause_until_the_next_is_late() {
        for (ago, cause) in
            [(HOUR, QuotaExhausted), (HOUR + LATE, QuotaExhausted), (HOUR + LATE + MINUTE, Overdue)]
        {
            let last = note(QuotaExhausted, ago, HOUR);
            let facts =
                Facts { last: Some(last.clone()), idle: Some(HOUR * 2), seen: Some(ago), ..Facts::default() };
            assert_eq!(of(&facts), (cause, Some(&last)), "{ago:?}");
        }
        // If the schedule works on other campaigns, it is not off.
        let last = note(Locked, HOUR, MINUTE);
        let facts = Facts { last: Some(last.clone()), seen: Some(MINUTE), ..Facts::default() };
        assert_eq!(of(&facts), (Locked, Some(&last)));
    }

    #[test]
    fn what_holds_for_the_account_holds_for_a_campaign_that_nobody_tried() {
        let noted = |cause| Facts {
            elsewhere: Some(note(cause, MINUTE, HOUR)),
            idle: Some(HOUR),
            seen: Some(MINUTE),
            ..Facts::default()
        };
        assert_eq!(of(&noted(QuotaExhausted)).0, QuotaExhausted);
        assert_eq!(of(&noted(SesUnreachable)).0, SesUnreachable);
        assert_eq!(of(&noted(Locked)).0, OtherCampaigns);
    }

    #[test]
    fn nobody_is_missed_between_two_invocations_and_after_a_while_everybody_is() {
        for (idle, lost, cause) in [
            (Duration::ZERO, false, Expected),
            (MINUTE, false, Expected),
            (MINUTE * 2, false, Overdue),
            (MINUTE, true, LostBatch),
            (HOUR, true, Overdue),
        ] {
            let facts = Facts { idle: Some(idle), lost, seen: Some(HOUR), ..Facts::default() };
            assert_eq!(of(&facts).0, cause, "{idle:?} {lost}");
        }
        assert_eq!(of(&Facts::default()).0, Overdue);
        let rest = Some(Rest { since: MINUTE, left: MINUTE });
        let resting = Facts { rest, lost: true, ..Facts::default() };
        assert_eq!(of(&resting).0, Resting);
        let before = Some(note(QuotaExhausted, HOUR, HOUR));
        assert_eq!(of(&Facts { last: before, ..resting.clone() }).0, Resting);
        let failed = Some(note(DatabaseRefused, MINUTE, Duration::ZERO));
        assert_eq!(of(&Facts { last: failed, ..resting.clone() }).0, DatabaseRefused);
        let held = Facts { hold: Some(MINUTE), ..resting };
        assert_eq!(of(&held).0, HistoryChanged);
        assert_eq!(of(&Facts { rate: Some(MINUTE), ..Facts::default() }).0, RateReserved);
    }
}

//! What an outcome of the Graph call means for the ledger.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use storage::campaigns::standing::Stop;
use storage::send_ledger::settle::Outcome;
use whatsapp::ErrorClass;
use whatsapp::graph::{DoubtReason, GraphError, MessageStatus, SendOutcome};

use crate::stops::{self, Verdict};

/// A message that could certainly not be sent is tried this often, at most once a minute: for most of
/// the 24 hours in which it may answer. Then it has failed.
const MOST_TRIES: i32 = 1_440;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Waiting after an error that only a person can mend.
const UNTIL_MENDED: Duration = Duration::from_secs(30);

/// What to write down, and what it says about the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) outcome: Outcome,
    /// Nothing more should leave on this connection for this long.
    pub(crate) hold_connection: Option<Duration>,
    /// What it says about the message's campaign, if it has one.
    pub(crate) campaign: Verdict,
    /// For counting.
    pub(crate) label: &'static str,
}

impl Judged {
    fn new(outcome: Outcome, label: &'static str) -> Self {
        Self { outcome, hold_connection: None, campaign: Verdict::GoesOn, label }
    }

    /// The stored content can not be read: it never will be.
    pub(crate) fn unreadable() -> Self {
        failed(0, 0)
    }

    /// Why the message's campaign has to stop.
    pub(crate) fn stop(&self) -> Option<&Stop> {
        match &self.campaign {
            Verdict::Stops(stop) => Some(stop),
            Verdict::GoesOn | Verdict::OnTrial => None,
        }
    }
}

/// A message that was claimed and is not posted: it may be claimed again at once.
pub(crate) fn unposted(now: DateTime<Utc>) -> Judged {
    Judged::new(Outcome::NotSent { not_before: now, code: None }, "retryable")
}

/// Judges try number `epoch` of a message, of a campaign or not.
pub(crate) fn judge(
    sent: SendOutcome,
    is_of_campaign: bool,
    epoch: i32,
    now: DateTime<Utc>,
) -> Judged {
    match sent {
        SendOutcome::Accepted { wamid, message_status, .. } => accepted(wamid, message_status),
        SendOutcome::Rejected(error) if is_of_campaign => {
            let judged = judge_rejection(&error, epoch, now);
            match stops::judge(&error) {
                // The recipient has done nothing wrong: the message waits for the campaign.
                campaign @ Verdict::Stops(_) => {
                    let outcome = Outcome::NotSent { not_before: now, code: Some(error.code) };
                    Judged { outcome, campaign, label: "retryable", ..judged }
                }
                campaign @ (Verdict::GoesOn | Verdict::OnTrial) => Judged { campaign, ..judged },
            }
        }
        SendOutcome::Rejected(error) => judge_rejection(&error, epoch, now),
        // The request could not be built: it will not be built the next time either.
        SendOutcome::NotSent { why: whatsapp::graph::NotSentReason::Unbuildable(_) } => {
            failed(0, 0)
        }
        SendOutcome::NotSent { .. } => again(None, pause(epoch), epoch, now),
        SendOutcome::Doubt { why, .. } => {
            let (http_status, code) = match &why {
                DoubtReason::Answered(error) => {
                    (Some(i32::from(error.http_status)), Some(error.code))
                }
                DoubtReason::Unreadable { http_status } => (Some(i32::from(*http_status)), None),
                DoubtReason::NoId => (Some(200), None),
                DoubtReason::TimedOut(_) | DoubtReason::ConnectionLost(_) => (None, None),
            };
            Judged::new(Outcome::Doubt { http_status, code }, "uncertain")
        }
    }
}

fn accepted(wamid: kernel::Wamid, status: Option<MessageStatus>) -> Judged {
    let (campaign, label) = match status {
        // Meta has it, and sends it once it likes the template.
        Some(MessageStatus::Held) => (Verdict::GoesOn, "held_for_quality"),
        Some(MessageStatus::Paused) => (Verdict::Stops(stops::template_paused()), "accepted"),
        Some(MessageStatus::Accepted | MessageStatus::Unknown(_)) | None => {
            (Verdict::GoesOn, "accepted")
        }
    };
    Judged { campaign, ..Judged::new(Outcome::Accepted { wamid }, label) }
}

fn judge_rejection(error: &GraphError, epoch: i32, now: DateTime<Utc>) -> Judged {
    let asked = error.retry_after.map(|asked| asked.min(LONGEST_PAUSE));
    match error.class {
        ErrorClass::Retry => again(Some(error.code), asked.unwrap_or(pause(epoch)), epoch, now),
        ErrorClass::SlowPair => {
            // Meta asks for 4^X seconds (Cloud API, pair rate limit).
            let exponent = u32::try_from(epoch - 1).unwrap_or(0).min(5);
            let wait = Duration::from_secs(4_u64.saturating_pow(exponent));
            again(Some(error.code), asked.unwrap_or(wait.min(LONGEST_PAUSE)), epoch, now)
        }
        ErrorClass::SlowConnection => {
            let wait = asked.unwrap_or(pause(epoch));
            let judged = again(Some(error.code), wait, epoch, now);
            Judged { hold_connection: Some(wait), ..judged }
        }
        ErrorClass::PauseConnection | ErrorClass::Auth => {
            let judged = again(Some(error.code), UNTIL_MENDED, epoch, now);
            Judged { hold_connection: Some(UNTIL_MENDED), ..judged }
        }
        ErrorClass::Recipient | ErrorClass::Template | ErrorClass::Request => {
            failed(error.code, error.http_status)
        }
        ErrorClass::Ambiguous => {
            let http_status = Some(i32::from(error.http_status));
            Judged::new(Outcome::Doubt { http_status, code: Some(error.code) }, "uncertain")
        }
    }
}

fn again(code: Option<i32>, wait: Duration, epoch: i32, now: DateTime<Utc>) -> Judged {
    if epoch >= MOST_TRIES {
        return failed(code.unwrap_or(0), 0);
    }
    let not_before = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::minutes(1));
    Judged::new(Outcome::NotSent { not_before, code }, "retryable")
}

fn failed(code: i32, http_status: u16) -> Judged {
    Judged::new(Outcome::Failed { code, http_status: i32::from(http_status) }, "permanent")
}

/// 0.5 s doubling to a minute, with up to half of it as jitter, so that what failed together does not
/// come back together.
fn pause(epoch: i32) -> Duration {
    let doublings = u32::try_from(epoch - 1).unwrap_or(0).min(7);
    let full = Duration::from_millis(500 * 2_u64.pow(doublings)).min(LONGEST_PAUSE);
    full.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use kernel::Wamid;

    use super::*;

    fn rejected(class: ErrorClass, code: i32) -> SendOutcome {
        SendOutcome::Rejected(GraphError {
            class,
            code,
            subcode: None,
            http_status: 400,
            fbtrace_id: None,
            retry_after: None,
        })
    }

    fn judged(class: ErrorClass, epoch: i32) -> Judged {
        judge(rejected(class, 1), false, epoch, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn only_what_certainly_was_not_sent_is_tried_again() {
        for class in [ErrorClass::Retry, ErrorClass::SlowPair, ErrorClass::SlowConnection] {
            assert!(matches!(judged(class, 1).outcome, Outcome::NotSent { .. }), "{class:?}");
        }
        for class in [ErrorClass::Recipient, ErrorClass::Template, ErrorClass::Request] {
            assert!(matches!(judged(class, 1).outcome, Outcome::Failed { .. }), "{class:?}");
        }
        assert!(matches!(judged(ErrorClass::Ambiguous, 1).outcome, Outcome::Doubt { .. }));
        let lost = SendOutcome::Doubt { why: DoubtReason::NoId, soft: false };
        assert!(matches!(
            judge(lost, false, 1, DateTime::UNIX_EPOCH).outcome,
            Outcome::Doubt { .. }
        ));
    }

    #[test]
    fn an_error_of_the_connection_holds_the_whole_connection() {
        for class in [ErrorClass::SlowConnection, ErrorClass::PauseConnection, ErrorClass::Auth] {
            assert!(judged(class, 1).hold_connection.is_some(), "{class:?}");
        }
        assert_eq!(judged(ErrorClass::SlowPair, 1).hold_connection, None);
    }

    #[test]
    fn a_pair_waits_four_times_longer_each_time() {
        let waits: Vec<i64> = (1..=4)
            .map(|epoch| match judged(ErrorClass::SlowPair, epoch).outcome {
                Outcome::NotSent { not_before, .. } => not_before.timestamp(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits, [1, 4, 16, 60]);
    }

    #[test]
    fn tries_end_one_day() {
        assert!(matches!(judged(ErrorClass::Retry, MOST_TRIES).outcome, Outcome::Failed { .. }));
    }

    #[test]
    fn accepted_is_accepted() {
        let wamid = Wamid::new("wamid.X");
        let sent = SendOutcome::Accepted {
            wamid: wamid.clone(),
            message_status: None,
            wa_id: None,
            user_id: None,
        };
        assert_eq!(
            judge(sent, false, 1, DateTime::UNIX_EPOCH).outcome,
            Outcome::Accepted { wamid }
        );
    }

    #[test]
    fn what_no_recipient_can_help_stops_the_campaign_and_costs_nobody() {
        for (code, why) in [
            (132_001, "template_missing"),
            (132_007, "template_refused"),
            (132_015, "template_paused"),
            (132_016, "template_disabled"),
            (190, "auth"),
            (131_048, "spam_limit"),
            (131_042, "payment"),
            (368, "blocked"),
        ] {
            let class = whatsapp::error_class::classify(code, None, Some(400));
            let judged = judge(rejected(class, code), true, 1, DateTime::UNIX_EPOCH);
            assert_eq!(judged.stop().map(|stop| stop.code), Some(why), "{code}");
            assert!(matches!(judged.outcome, Outcome::NotSent { .. }), "{code}");
            let alone = judge(rejected(class, code), false, 1, DateTime::UNIX_EPOCH);
            assert_eq!(alone.stop(), None, "a message of no campaign");
        }
    }

    #[test]
    fn what_is_wrong_with_one_recipient_fails_it_alone() {
        for (code, campaign) in [
            (131_026, Verdict::GoesOn),
            (131_049, Verdict::GoesOn),
            (132_000, Verdict::OnTrial),
            (132_005, Verdict::OnTrial),
            (132_012, Verdict::OnTrial),
            (132_018, Verdict::OnTrial),
            (131_008, Verdict::OnTrial),
            (131_009, Verdict::OnTrial),
        ] {
            let class = whatsapp::error_class::classify(code, None, Some(400));
            let judged = judge(rejected(class, code), true, 1, DateTime::UNIX_EPOCH);
            assert_eq!(judged.campaign, campaign, "{code}");
            assert!(matches!(judged.outcome, Outcome::Failed { .. }), "{code}");
        }
    }

    #[test]
    fn a_template_that_meta_watches_first_is_taken_and_one_that_is_paused_stops() {
        let sent = |message_status| SendOutcome::Accepted {
            wamid: Wamid::new("wamid.X"),
            message_status: Some(message_status),
            wa_id: None,
            user_id: None,
        };
        let held = judge(sent(MessageStatus::Held), true, 1, DateTime::UNIX_EPOCH);
        assert!(matches!(held.outcome, Outcome::Accepted { .. }));
        assert_eq!((held.label, held.stop()), ("held_for_quality", None));
        let paused = judge(sent(MessageStatus::Paused), true, 1, DateTime::UNIX_EPOCH);
        assert!(matches!(paused.outcome, Outcome::Accepted { .. }) && paused.stop().is_some());
    }
}

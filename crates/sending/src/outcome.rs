//! What an outcome of the Graph call means for the ledger.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use storage::send_ledger::settle::Outcome;
use whatsapp::ErrorClass;
use whatsapp::graph::{DoubtReason, GraphError, SendOutcome};

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
    /// For counting.
    pub(crate) label: &'static str,
}

/// Judges try number `epoch`.
pub(crate) fn judge(sent: SendOutcome, epoch: i32, now: DateTime<Utc>) -> Judged {
    match sent {
        SendOutcome::Accepted { wamid, .. } => Judged {
            outcome: Outcome::Accepted { wamid },
            hold_connection: None,
            label: "accepted",
        },
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
            let outcome = Outcome::Doubt { http_status, code };
            Judged { outcome, hold_connection: None, label: "uncertain" }
        }
    }
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
        ErrorClass::Ambiguous => Judged {
            outcome: Outcome::Doubt {
                http_status: Some(i32::from(error.http_status)),
                code: Some(error.code),
            },
            hold_connection: None,
            label: "uncertain",
        },
    }
}

fn again(code: Option<i32>, wait: Duration, epoch: i32, now: DateTime<Utc>) -> Judged {
    if epoch >= MOST_TRIES {
        return failed(code.unwrap_or(0), 0);
    }
    let not_before = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::minutes(1));
    let outcome = Outcome::NotSent { not_before, code };
    Judged { outcome, hold_connection: None, label: "retryable" }
}

fn failed(code: i32, http_status: u16) -> Judged {
    let outcome = Outcome::Failed { code, http_status: i32::from(http_status) };
    Judged { outcome, hold_connection: None, label: "permanent" }
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
        judge(rejected(class, 1), epoch, DateTime::UNIX_EPOCH)
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
        assert!(matches!(judge(lost, 1, DateTime::UNIX_EPOCH).outcome, Outcome::Doubt { .. }));
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
        assert_eq!(judge(sent, 1, DateTime::UNIX_EPOCH).outcome, Outcome::Accepted { wamid });
    }
}

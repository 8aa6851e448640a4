//! How far a message came: a lattice, so the order of the news does not matter.

use chrono::{DateTime, TimeDelta, Utc};

use super::StatusUpdate;
use crate::campaigns::counts::{End, Reached};

/// Who writes later than this after a message was accepted does not answer it: for so long Meta tries to
/// deliver one (cloud-api, time to live, Nov 2025).
const ANSWERED_WITHIN: TimeDelta = TimeDelta::days(30);

/// Meta's `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It left Meta.
    Sent,
    /// It reached the phone.
    Delivered,
    /// The person read it (or played the voice note).
    Read,
    /// It will not arrive.
    Failed,
    /// Something we do not know: kept in the ledger, moves nothing.
    Other(String),
}

impl Status {
    /// Reads Meta's word.
    pub fn read(word: &str) -> Self {
        match word {
            "sent" => Self::Sent,
            "delivered" => Self::Delivered,
            "read" | "played" => Self::Read,
            "failed" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Meta's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Other(word) => word,
        }
    }
}

/// Where a message stands. `state` is the ledger's, the times are Meta's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) state: String,
    pub(super) wamid: Option<String>,
    pub(super) accepted_at: Option<DateTime<Utc>>,
    pub(super) sent_at: Option<DateTime<Utc>>,
    pub(super) delivered_at: Option<DateTime<Utc>>,
    pub(super) read_at: Option<DateTime<Utc>>,
    /// When the person wrote after it was accepted, by our clock.
    pub(super) replied_at: Option<DateTime<Utc>>,
    pub(super) failed_at: Option<DateTime<Utc>>,
    pub(super) error_code: Option<i32>,
}

impl Progress {
    /// Merges one status; `true` when it is news that people and programs should hear.
    pub(super) fn merge(&mut self, update: &StatusUpdate, now: DateTime<Utc>) -> bool {
        if self.wamid.is_none() {
            self.wamid = Some(update.wamid.as_str().to_owned());
        }
        self.accepted_at.get_or_insert(now);
        let at = update.happened_at;
        let is_news = match update.status {
            Status::Sent => earliest(&mut self.sent_at, at) && self.delivered_at.is_none(),
            Status::Delivered => earliest(&mut self.delivered_at, at) && self.read_at.is_none(),
            Status::Read => {
                let is_news = earliest(&mut self.read_at, at);
                if self.delivered_at.is_none() {
                    self.delivered_at = Some(at); // Meta skips `delivered` when the chat was open
                }
                is_news
            }
            Status::Failed => {
                let is_news = earliest(&mut self.failed_at, at) && self.delivered_at.is_none();
                self.error_code = self.error_code.or(update.error_code);
                is_news
            }
            Status::Other(_) => false,
        };
        let has_arrived = self.delivered_at.is_some();
        let state = match self.state.as_str() {
            _ if has_arrived => "accepted",
            _ if self.failed_at.is_some() => "failed",
            // Meta says nothing when it drops a message: that it was sent says nothing either.
            "expired" => "expired",
            _ => "accepted",
        };
        self.state = state.to_owned();
        is_news
    }
}

impl Progress {
    /// News of a try that had failed and was followed by another one: whether it is worth anything. That it
    /// reached a phone after all is, and then it is the message, unless the other try was taken, too.
    pub(super) fn takes_back(&mut self, update: &StatusUpdate) -> bool {
        if !matches!(update.status, Status::Delivered | Status::Read) {
            return false;
        }
        if self.state == "failed" {
            self.wamid = None;
        }
        true
    }

    /// The person wrote; `true` when that is the first answer to it.
    pub(super) fn answer(&mut self, now: DateTime<Utc>) -> bool {
        let is_answer = self.accepted_at.is_some_and(|at| now - at <= ANSWERED_WITHIN);
        if is_answer && self.replied_at.is_none() {
            self.replied_at = Some(now);
            return true;
        }
        false
    }

    /// How its recipient ended, as campaigns count it.
    pub(super) fn end(&self) -> Option<End> {
        End::of(&self.state, self.error_code)
    }

    /// The steps it has made: each at Meta implies those before it.
    pub(super) fn reached(&self) -> Vec<Reached> {
        let is_read = self.read_at.is_some();
        let is_delivered = is_read || self.delivered_at.is_some();
        let is_sent = is_delivered || self.sent_at.is_some();
        let steps = [
            (is_sent, Reached::Sent),
            (is_delivered, Reached::Delivered),
            (is_read, Reached::Read),
            (self.replied_at.is_some(), Reached::Replied),
        ];
        steps.into_iter().filter_map(|(is_made, step)| is_made.then_some(step)).collect()
    }
}

/// Keeps the earlier time; `true` when there was none before.
fn earliest(slot: &mut Option<DateTime<Utc>>, at: DateTime<Utc>) -> bool {
    let is_first = slot.is_none();
    *slot = Some(slot.map_or(at, |known| known.min(at)));
    is_first
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use kernel::Wamid;
    use kernel::ids::ConnectionId;
    use uuid::Uuid;

    use super::*;

    fn update(word: &str, second: i64) -> StatusUpdate {
        StatusUpdate {
            event_id: Uuid::nil(),
            connection_id: ConnectionId::from_uuid(Uuid::nil()),
            wamid: Wamid::new("wamid.X"),
            status: Status::read(word),
            happened_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(second),
            error_code: (word == "failed").then_some(131_026),
            attempt_id: None,
        }
    }

    fn merged(news: &[(&str, i64)]) -> Progress {
        let mut progress = Progress { state: "sending".into(), ..Progress::default() };
        for (word, second) in news {
            progress.merge(&update(word, *second), DateTime::UNIX_EPOCH);
        }
        progress
    }

    #[test]
    fn every_order_of_the_news_ends_in_the_same_place() {
        let news = [("sent", 1), ("delivered", 2), ("read", 3), ("sent", 4), ("failed", 5)];
        let straight = merged(&news);
        let mut orders = vec![news.to_vec()];
        for _ in 0..120 {
            // Every rotation and swap of two neighbours reaches all permutations in the end.
            let mut next = orders.last().unwrap().clone();
            next.rotate_left(1);
            next.swap(0, orders.len() % 4 + 1);
            assert_eq!(merged(&next), straight, "{next:?}");
            orders.push(next);
        }
        assert_eq!(straight.state, "accepted", "a delivered message has not failed");
    }

    #[test]
    fn news_is_told_once_and_never_backwards() {
        let mut progress = Progress::default();
        let mut told = |word, second| progress.merge(&update(word, second), DateTime::UNIX_EPOCH);
        assert!(told("read", 3));
        assert!(!told("delivered", 2), "read implied it");
        assert!(!told("sent", 1), "older than what is known");
        assert!(!told("read", 3));
        assert!(!told("warning", 9));
    }

    #[test]
    fn what_expired_has_arrived_when_a_phone_says_so_and_not_when_meta_sent_it() {
        let expired = |news: &[(&str, i64)]| {
            let mut progress = Progress { state: "expired".into(), ..Progress::default() };
            for (word, second) in news {
                progress.merge(&update(word, *second), DateTime::UNIX_EPOCH);
            }
            progress.state
        };
        assert_eq!(expired(&[("sent", 1)]), "expired");
        assert_eq!(expired(&[("failed", 1)]), "failed");
        for news in [&[("delivered", 1), ("sent", 2)], &[("failed", 1), ("read", 2)]] {
            assert_eq!(expired(news), "accepted");
        }
    }

    #[test]
    fn a_failure_is_final_until_a_phone_shows_otherwise() {
        assert_eq!(merged(&[("sent", 1), ("failed", 2)]).state, "failed");
        assert_eq!(merged(&[("sent", 1), ("failed", 2)]).error_code, Some(131_026));
        assert_eq!(merged(&[("failed", 2), ("delivered", 3)]).state, "accepted");
    }
}

//! How far a message came, in one word.

use serde::{Deserialize, Serialize};
use storage::messages::{Delivery, Direction, Message, State};

/// How far a message came. It follows the ledger, where news only ever adds: it never moves backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// A person wrote it.
    Received,
    /// It waits for its turn.
    Queued,
    /// It is being handed to Meta.
    Sending,
    /// Meta took it.
    Accepted,
    /// Meta sent it.
    Sent,
    /// It reached the phone.
    Delivered,
    /// The person read it.
    Read,
    /// It will not arrive.
    Failed,
    /// Whether Meta took it is not known.
    Uncertain,
    /// It was called back before Meta was asked.
    Cancelled,
    /// Meta could not deliver it while it lived.
    Expired,
}

impl Status {
    pub(super) fn of(message: &Message) -> Self {
        match (&message.delivery, message.direction.as_str()) {
            (Some(delivery), _) => Self::in_ledger(delivery),
            (None, direction) if direction == Direction::Inbound.as_str() => Self::Received,
            // Seen only because it was sent.
            (None, direction) if direction == Direction::Echo.as_str() => Self::Sent,
            (None, _) => Self::Uncertain,
        }
    }

    /// The same for storage.
    pub(super) const fn state(self) -> State {
        match self {
            Self::Received => State::Received,
            Self::Queued => State::Queued,
            Self::Sending => State::Sending,
            Self::Accepted => State::Accepted,
            Self::Sent => State::Sent,
            Self::Delivered => State::Delivered,
            Self::Read => State::Read,
            Self::Failed => State::Failed,
            Self::Uncertain => State::Uncertain,
            Self::Cancelled => State::Cancelled,
        }
    }

    fn in_ledger(delivery: &Delivery) -> Self {
        match delivery.state.as_str() {
            // Held: its campaign is paused.
            "ready" | "held" => Self::Queued,
            "sending" => Self::Sending,
            "accepted" if delivery.read_at.is_some() => Self::Read,
            "accepted" if delivery.delivered_at.is_some() => Self::Delivered,
            "accepted" if delivery.sent_at.is_some() => Self::Sent,
            "accepted" => Self::Accepted,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            "expired" => Self::Expired,
            // `unknown`; the table allows no other state.
            _ => Self::Uncertain,
        }
    }
}

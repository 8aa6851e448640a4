//! What is certain after a try to send.

use std::time::Duration;

use kernel::{UserId, WaId, Wamid};
use thiserror::Error;

use crate::ErrorClass;

/// How a try to send ended.
#[derive(Debug)]
pub enum SendOutcome {
    /// Meta took the message on. It can still fail later, which a status webhook tells.
    Accepted {
        /// The message's id.
        wamid: Wamid,
        /// Only for templates; `None` for anything else.
        message_status: Option<MessageStatus>,
        /// The recipient's number as Meta knows it: may differ from the one we sent to.
        wa_id: Option<WaId>,
        /// The recipient's business-scoped user id.
        user_id: Option<UserId>,
    },
    /// Meta refused the message: it was not sent and will not be.
    Rejected(GraphError),
    /// The request never reached Meta complete: it was not sent and will not be.
    NotSent {
        /// What stopped it.
        why: NotSentReason,
    },
    /// The message may or may not have been sent; only a status webhook can tell.
    Doubt {
        /// What leaves it open.
        why: DoubtReason,
        /// Meta itself answered that something went wrong: most probably nothing was sent.
        soft: bool,
    },
}

/// What Meta made of a template message that it took on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// On its way.
    Accepted,
    /// Meta first watches how others like the template. Must not be sent again.
    Held,
    /// The template is paused.
    Paused,
    /// A word that we don't know, as received.
    Unknown(String),
}

/// An error answer of Meta's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphError {
    /// What the code calls for.
    pub class: ErrorClass,
    /// Meta's error code.
    pub code: i32,
    /// Meta's older, finer code.
    pub subcode: Option<i32>,
    /// The HTTP status; never decides anything for a documented code.
    pub http_status: u16,
    /// What Meta's support asks for.
    pub fbtrace_id: Option<String>,
    /// How long Meta asks us to wait.
    pub retry_after: Option<Duration>,
}

/// Why the write fence refused to let the body pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// The deadline had passed: this process may have been paused, and its claim given away.
    TooLate,
    /// The sender's flag was set: the message was paused or cancelled.
    Cancelled,
}

/// Why a message was certainly not sent.
#[derive(Debug, Error)]
pub enum NotSentReason {
    /// The fence held the message back.
    #[error("held back before the first byte")]
    HeldBack(HeldBack),
    /// No connection: the name did not resolve, nobody listened, TLS failed, or it took too long.
    #[error("no connection")]
    NoConnection(#[source] reqwest::Error),
    /// The connection ended, or the time was over, before the body was handed to it.
    #[error("the connection took nothing")]
    NothingTaken(#[source] reqwest::Error),
    /// The request could not be put together.
    #[error("the request can not be put together")]
    Unbuildable(#[source] serde_json::Error),
}

/// Why it is unknown whether a message was sent.
#[derive(Debug, Error)]
pub enum DoubtReason {
    /// The time was over after the body was handed to the connection.
    #[error("no answer in time")]
    TimedOut(#[source] reqwest::Error),
    /// The connection ended after the body was handed to it.
    #[error("the connection was lost")]
    ConnectionLost(#[source] reqwest::Error),
    /// The answer is not from the Graph API, or is cut off or too long.
    #[error("an unreadable answer with HTTP status {http_status}")]
    Unreadable {
        /// The HTTP status.
        http_status: u16,
    },
    /// A success without the message's id.
    #[error("accepted without an id")]
    NoId,
    /// An error that leaves it open.
    #[error("Meta's error {}", .0.code)]
    Answered(GraphError),
}

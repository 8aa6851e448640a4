//! Why a POST or a handshake was not taken.

use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use messaging::PublishError;
use thiserror::Error;
use whatsapp::webhook::NotJson;

use crate::meters::Outcome;

/// Every way to be refused. Meta delivers again whatever is not answered 200.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("one X-Hub-Signature-256 of the form sha256=<64 lower-case hex digits> is required")]
    NoSignature,
    #[error("no secret in force made this signature")]
    WrongSignature,
    #[error("no app has this address")]
    UnknownApp,
    #[error("the verify token is wrong")]
    WrongToken,
    #[error("the challenge is not 1 to 128 of A-Z, a-z, 0-9, _ and -")]
    BadChallenge,
    #[error("the body must not be compressed")]
    Encoded,
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body broke off or is framed wrongly")]
    Unreadable(#[source] PayloadError),
    #[error("the body cannot be read")]
    NotJson(#[from] NotJson),
    #[error("the connection is over its limit")]
    OverLimit { after: Duration },
    #[error("too many large bodies at once")]
    Crowded,
    #[error("this instance is stopping")]
    Draining,
    #[error("the events are not known to be at the broker")]
    Unavailable(#[from] PublishError),
    #[error("the body's work failed")]
    Failed(#[from] tokio::task::JoinError),
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSignature | Self::WrongSignature => StatusCode::UNAUTHORIZED,
            Self::UnknownApp => StatusCode::NOT_FOUND,
            Self::WrongToken => StatusCode::FORBIDDEN,
            Self::BadChallenge | Self::Unreadable(_) | Self::NotJson(_) => StatusCode::BAD_REQUEST,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::OverLimit { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Crowded | Self::Draining | Self::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable word in the body.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NoSignature => "signature_missing",
            Self::WrongSignature => "signature_invalid",
            Self::UnknownApp => "not_found",
            Self::WrongToken => "verify_token_invalid",
            Self::BadChallenge => "challenge_invalid",
            Self::Encoded => "unsupported_media",
            Self::TooLarge => "too_large",
            Self::TooSlow => "request_timeout",
            Self::Unreadable(_) => "bad_request",
            Self::NotJson(_) => "invalid_json",
            Self::OverLimit { .. } => "quota_exceeded",
            Self::Crowded | Self::Unavailable(_) => "dependency_unavailable",
            Self::Draining => "draining",
            Self::Failed(_) => "internal",
        }
    }

    /// When trying again makes sense, in whole seconds.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::OverLimit { after } => Some(after.as_millis().div_ceil(1_000))
                .map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX).max(1)),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        }
    }

    /// Whether Meta may have sent it and comes again later: a status is then late, not missing.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self.outcome(), Outcome::Unavailable | Outcome::OverLimit)
            || matches!(self, Self::TooSlow)
    }

    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::NoSignature | Self::WrongSignature | Self::UnknownApp => Outcome::BadSignature,
            Self::WrongToken
            | Self::BadChallenge
            | Self::Encoded
            | Self::TooLarge
            | Self::TooSlow
            | Self::Unreadable(_)
            | Self::NotJson(_) => Outcome::Malformed,
            Self::OverLimit { .. } => Outcome::OverLimit,
            Self::Crowded | Self::Draining | Self::Unavailable(_) | Self::Failed(_) => {
                Outcome::Unavailable
            }
        }
    }
}

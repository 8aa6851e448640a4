//! Why a change of a campaign was refused.

use service::{Code, Problem, RolledBack};
use storage::StorageError;
use storage::campaigns::standing::Status;
use thiserror::Error;

/// The change did not happen.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    /// The database failed.
    #[error("campaign cannot be stored")]
    Storage(#[from] StorageError),
    /// There is no such campaign in the workspace.
    #[error("no such campaign")]
    NotFound,
    /// The campaign has changed since the caller read it.
    #[error("campaign has changed since it was read")]
    Stale,
    /// The connection is not the workspace's, or has ended.
    #[error("no such connection")]
    UnknownConnection,
    /// `PostgreSQL` knows no such time zone.
    #[error("no such time zone")]
    UnknownZone,
    /// The schedule begins at a moment that has passed.
    #[error("schedule begins in the past")]
    InThePast,
    /// The schedule begins when the campaign has ended.
    #[error("schedule begins after the campaign's end")]
    AfterItsEnd,
    /// What it asks for cannot be done in the campaign's state.
    #[error("campaign is {}", status.as_str())]
    Conflict {
        /// Where the campaign stands.
        status: Status,
        /// What can be done instead, in a sentence.
        advice: &'static str,
    },
    /// The campaign cannot start.
    #[error("campaign cannot start: {code}")]
    NotStartable {
        /// Where the campaign stands.
        status: Status,
        /// Why, for programs.
        code: &'static str,
        /// Why, for people.
        reason: &'static str,
    },
    /// Somebody changed the campaign or sent another file while this one was read.
    #[error("another change came in between")]
    Overtaken,
}

impl From<diesel::result::Error> for ChangeError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<ChangeError> for RolledBack {
    fn from(error: ChangeError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Storage(error) => error.into(),
            ChangeError::NotFound => Self::not_found(),
            ChangeError::Stale => Self::new(
                Code::EtagMismatch,
                "The campaign has changed since you read it. Read it again.",
            ),
            ChangeError::UnknownConnection => Self::invalid(
                "/connection",
                "unknown_connection",
                "there is no such connection in this workspace",
            ),
            ChangeError::UnknownZone => Self::invalid(
                "/time_zone",
                "unknown_time_zone",
                "a time zone is written Europe/Berlin, or `recipient`",
            ),
            ChangeError::InThePast => {
                Self::invalid("/at", "in_the_past", "this moment has passed there")
            }
            ChangeError::AfterItsEnd => {
                Self::invalid("/at", "after_end", "the campaign has ended by then; see its ends_at")
            }
            ChangeError::Conflict { status, advice } => {
                let detail = format!("The campaign is {}. {advice}", words(status));
                Self::new(Code::StateConflict, detail).with("status", status.as_str())
            }
            ChangeError::NotStartable { status, code, reason } => {
                Self::new(Code::CampaignNotStartable, reason)
                    .with("status", status.as_str())
                    .with("reason_code", code)
            }
            ChangeError::Overtaken => Self::new(
                Code::StateConflict,
                "The campaign was changed, or got another file, while this one was read. \
                 Nothing of it is used; send it again.",
            ),
        }
    }
}

fn words(status: Status) -> String {
    status.as_str().replace('_', " ")
}

//! Why a change of a campaign was refused.

use service::{Code, Problem, RolledBack};
use storage::StorageError;
use storage::campaigns::standing::Status;
use storage::templates::Standing;
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
    /// Meta does not take messages of its template.
    #[error("template is {}", standing.status)]
    TemplateNotSendable {
        /// Where the campaign stands.
        status: Status,
        /// The template's name and language.
        template: (String, String),
        /// Where the template stands.
        standing: Standing,
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
            ChangeError::TemplateNotSendable { status, template, standing } => {
                template_not_sendable(status, &template, &standing)
            }
            ChangeError::Overtaken => Self::new(
                Code::StateConflict,
                "The campaign was changed, or got another file, while this one was read. \
                 Nothing of it is used; send it again.",
            ),
        }
    }
}

/// Says what became of the template, and what to do instead.
fn template_not_sendable(
    status: Status,
    (name, language): &(String, String),
    standing: &Standing,
) -> Problem {
    let (code, what) = match standing.status.as_str() {
        "PAUSED" => ("template_paused", "was paused by Meta for low quality"),
        "DISABLED" => ("template_disabled", "was disabled by Meta for good"),
        "REJECTED" => ("template_rejected", "was rejected by Meta"),
        "PENDING" | "IN_APPEAL" => ("template_pending", "is waiting for Meta's approval"),
        "DELETED" | "PENDING_DELETION" => ("template_deleted", "was deleted at Meta"),
        _ => ("template_not_approved", "is not approved by Meta"),
    };
    let since = standing.since.format("%-d %b at %H:%M UTC");
    let detail = format!(
        "Template '{name}' ({language}) {what}; so it stands since {since}. Choose another template, \
         or wait until it is active and sync the templates."
    );
    let found = format!("status is {}", standing.status);
    Problem::new(Code::CampaignNotStartable, detail)
        .with("status", status.as_str())
        .with("reason_code", code)
        .and_invalid("/template", code, found)
}

fn words(status: Status) -> String {
    status.as_str().replace('_', " ")
}

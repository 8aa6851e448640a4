//! Why a change of a bot was refused.

use kernel::ids::{BotId, ConnectionId};
use service::{Code, Problem};
use storage::StorageError;
use thiserror::Error;

/// The change did not happen.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    /// The database failed.
    #[error("bot cannot be stored")]
    Storage(#[from] StorageError),
    /// There is no such bot or rule in the workspace.
    #[error("no such bot or rule")]
    NotFound,
    /// The bot has changed since the caller read it.
    #[error("bot has changed since it was read")]
    Stale,
    /// A connection is not the workspace's.
    #[error("no such connection at position {position}")]
    UnknownConnection {
        /// Where it stands in the request.
        position: usize,
    },
    /// A connection has another bot already.
    #[error("connection {connection} has a bot")]
    Taken {
        /// The connection.
        connection: ConnectionId,
        /// Its bot.
        by: BotId,
    },
    /// The bot has as many rules as a bot may have.
    #[error("too many rules")]
    TooManyRules,
    /// The new order is not one of the bot's rules.
    #[error("order does not name each rule once")]
    BadOrder,
}

impl From<diesel::result::Error> for ChangeError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Storage(error) => error.into(),
            ChangeError::NotFound => Self::not_found(),
            ChangeError::Stale => Self::new(
                Code::EtagMismatch,
                "The bot has changed since you read it. Read it again.",
            ),
            ChangeError::UnknownConnection { position } => Self::invalid(
                format!("/connections/{position}"),
                "unknown_connection",
                "there is no such connection in this workspace",
            ),
            ChangeError::Taken { connection, by } => {
                let detail = format!("{connection} is answered by {by}. Take it from there first.");
                Self::new(Code::StateConflict, detail)
                    .with("existing", serde_json::json!({ "id": by }))
            }
            ChangeError::TooManyRules => Self::new(
                Code::StateConflict,
                format!("A bot has at most {} rules.", super::rules::MOST_RULES),
            ),
            ChangeError::BadOrder => {
                Self::invalid("/rules", "invalid_order", "name each rule of the bot exactly once")
            }
        }
    }
}

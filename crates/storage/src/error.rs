//! What can go wrong between a query and its answer.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::deadpool::PoolError;
use kernel::Retryable;
use thiserror::Error;

use crate::sealed::SealError;

/// A query or a transaction did not happen.
#[derive(Debug, Error)]
pub enum StorageError {
    /// No connection became free in time, or the server is away.
    #[error("no database connection")]
    Pool(#[from] PoolError),
    /// PostgreSQL answered with an error, or the connection broke.
    #[error("database query failed")]
    Query(#[from] DieselError),
    /// A stored secret could not be opened.
    #[error("stored secret cannot be opened")]
    Sealed(#[from] SealError),
}

impl StorageError {
    /// The name of the unique constraint that refused a row, if that is what happened.
    pub fn violated_unique(&self) -> Option<&str> {
        match self {
            Self::Query(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info)) => {
                info.constraint_name()
            }
            Self::Query(_) | Self::Pool(_) | Self::Sealed(_) => None,
        }
    }
}

impl Retryable for StorageError {
    /// Data that PostgreSQL refuses stays refused; everything else passes when the server is back.
    fn is_transient(&self) -> bool {
        match self {
            Self::Pool(_) => true,
            Self::Sealed(_) => false,
            Self::Query(DieselError::DatabaseError(kind, info)) => match kind {
                DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction
                | DatabaseErrorKind::ClosedConnection => true,
                // Deadlocks, cancelled statements and a server that is starting or stopping all arrive
                // as `Unknown`.
                DatabaseErrorKind::Unknown => !is_about_the_data(info.message()),
                // A connection that broke, or a command that no connection can carry.
                DatabaseErrorKind::UnableToSendCommand => !is_about_the_command(info.message()),
                _ => false,
            },
            Self::Query(
                DieselError::RollbackTransaction
                | DieselError::AlreadyInTransaction
                | DieselError::BrokenTransactionManager
                | DieselError::RollbackErrorOnCommit { .. },
            ) => true,
            Self::Query(_) => false,
        }
    }
}

/// Diesel hides the SQLSTATE of errors it has no kind for, so the text has to tell: these are
/// PostgreSQL's phrases for a row that will be refused again (`lc_messages` is set to C).
fn is_about_the_data(message: &str) -> bool {
    const PHRASES: [&str; 8] = [
        "invalid byte sequence",
        "invalid input",
        "out of range",
        "index row size",
        "index row requires",
        "value too long",
        "unsupported Unicode",
        "null character",
    ];
    PHRASES.iter().any(|phrase| message.contains(phrase))
}

/// Of what never reached PostgreSQL, these are the client's phrases for what it will not send again.
fn is_about_the_command(message: &str) -> bool {
    const PHRASES: [&str; 4] = [
        "error encoding message",
        "error serializing parameter",
        "error deserializing column",
        "unexpected number of parameters",
    ];
    PHRASES.iter().any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsent(message: &str) -> StorageError {
        let information = Box::new(message.to_owned());
        let kind = DatabaseErrorKind::UnableToSendCommand;
        StorageError::Query(DieselError::DatabaseError(kind, information))
    }

    #[test]
    fn a_connection_that_broke_passes_and_a_command_that_cannot_be_sent_does_not() {
        for message in
            ["connection closed", "error communicating with the server", "channel closed"]
        {
            assert!(unsent(message).is_transient(), "{message}");
        }
        assert!(!unsent("error serializing parameter 3").is_transient());
    }
}

//! Why something was not shown or done.

use coordination::{RedisAway, StoreAway};
use diesel_async::pooled_connection::deadpool::PoolError;
use storage::StorageError;
use thiserror::Error;

use crate::locks::HeldLock;

/// Nothing was changed, unless the variant says otherwise.
#[derive(Debug, Error)]
pub enum OpsError {
    /// PostgreSQL did not answer.
    #[error("PostgreSQL does not answer")]
    Database(#[from] StorageError),
    /// Where locks are kept did not answer; a release may have happened all the same.
    #[error("the locks' store does not answer")]
    Locks(#[from] StoreAway),
    /// Redis did not answer about a limit.
    #[error("Redis does not answer")]
    Limits(#[from] RedisAway),
    /// No lock or limit of the registry is called this.
    #[error("the registry has no `{name}`; it has {known}")]
    Unknown {
        /// As asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Nobody holds the lock, or whoever asks may not see it.
    #[error("nobody holds it")]
    Free,
    /// The ids are not those of this limit, or are nobody's.
    #[error("there is no such thing to limit: {key}")]
    NoSuchKey {
        /// As asked for.
        key: String,
    },
    /// Masked names of several locks are the same.
    #[error("{count} locks look like this")]
    Ambiguous {
        /// How many.
        count: usize,
    },
    /// Somebody else holds the lock by now.
    #[error("the lock belongs to {} now", .now.as_ref().map_or("somebody else", |now| &now.owner))]
    OwnerChanged {
        /// Who, if it was seen.
        now: Option<Box<HeldLock>>,
    },
    /// A token begins with the time at which it was made: fewer characters could be the next owner's.
    #[error("an owner's token is named with all that is shown of it")]
    ShortPrefix,
    /// The limit is not a number that can be kept.
    #[error("a limit is a number from 1 to {}", i32::MAX)]
    Limit,
    /// The audit log needs a reason.
    #[error("a reason has 1 to 500 characters")]
    Reason,
    /// It concerns the whole installation, and a workspace asked.
    #[error("only the installation's operator may change it")]
    InstallationOnly,
    /// The override was changed since it was read.
    #[error("it has changed since it was read")]
    Stale,
}

impl From<diesel::result::Error> for OpsError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<PoolError> for OpsError {
    fn from(error: PoolError) -> Self {
        Self::Database(error.into())
    }
}

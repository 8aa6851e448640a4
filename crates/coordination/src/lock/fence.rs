//! Numbers that let the database refuse a holder whose lock was lost without its knowing.

use std::fmt;

/// Grows with every grant of one key, on every backend, also after Redis lost its data: the larger
/// of the previous one plus one and the backend's clock in microseconds.
///
/// The guard in SQL, for a row that remembers the highest fence that wrote it:
///
/// ```sql
/// UPDATE template_syncs SET state = $2, fence = $3 WHERE id = $1 AND fence <= $3
/// ```
///
/// No row changed: a later holder has written, and this one must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub(crate) i64);

impl Fence {
    /// The number to compare in SQL; fits a `bigint`.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

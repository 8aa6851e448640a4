//! The words every crate shares: identifiers, time, and whether a failure is worth retrying.
//!
//! Depends on no other crate of ours and does no I/O.

mod clock;
mod failure;
pub mod ids;
mod names;
mod statement;

pub use self::clock::{Clock, ManualClock, SystemClock};
pub use self::failure::{Retryable, chain};
pub use self::names::{PhoneNumberId, UserId, WaId, WabaId, Wamid};

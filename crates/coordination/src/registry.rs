//! The registry of lock and limit names: the only place where a Redis key is spelled.
//!
//! Names and times are a public contract; operators search for them. `docs/registry.md` is written
//! from here. A key holds identifiers only: a key with a clock reading or a random part in it is a
//! lock nobody else can ever find.

pub(crate) mod key;
mod limits;
mod locks;
mod page;

pub use self::limits::{Adaptive, Algorithm, LimitAway, LimitName, Over, Policy, PolicySpec};
pub use self::locks::{
    LockClass, LockName, LockSpec, Protection, Reminder, ReminderId, Tick, WhenAway,
};
pub use self::page::page;

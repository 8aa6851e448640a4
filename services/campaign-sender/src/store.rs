//! The tables that only this service writes.

mod change;

pub(crate) mod campaigns;
pub(crate) mod log;
pub(crate) mod pace;
pub(crate) mod roster;
pub(crate) mod schedule;
pub(crate) mod trials;
pub(crate) mod uploads;

pub(crate) use self::change::ChangeError;

//! The tables that only this service writes.

mod change;

pub(crate) mod campaigns;
pub(crate) mod ending;
pub(crate) mod expiry;
pub(crate) mod feeding;
pub(crate) mod freezing;
pub(crate) mod log;
pub(crate) mod pace;
pub(crate) mod roster;
pub(crate) mod schedule;
pub(crate) mod trials;
pub(crate) mod uploads;
pub(crate) mod work;

pub(crate) use self::change::ChangeError;

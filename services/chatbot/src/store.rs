//! Queries on bots and their rules, which only this service writes.
//!
//! Invariant: every change of a bot or its rules goes through [`bots::touch`], which locks the bot
//! and raises its version: changes of one bot happen one after the other, and cached rules notice.

pub(crate) mod bots;
mod change;
pub(crate) mod rules;

pub(crate) use self::change::ChangeError;

//! Hands messages to Meta: reserve, call, settle (ADR-0004).
//!
//! Whoever wants to send only inserts into the send ledger; the [`Sender`] of some process claims the
//! row, posts it and writes down what came of it.
//!
//! ```text
//! ready ─claim, committed─▶ sending ─POST─▶ accepted ─▶ sent ─▶ delivered ─▶ read
//!                              │      └────▶ failed | ready again (certainly not sent)
//!                              └ outcome unknown ─▶ a status echoes the attempt ─▶ accepted
//!                                                 └▶ watermark passed ─▶ ready again | unknown
//! ```
//!
//! Invariants:
//! - the attempt is committed before the first byte of its POST may leave;
//! - no byte leaves after the attempt's deadline, by this process's own monotonic clock;
//! - an attempt whose outcome is unknown is never repeated by a clock, only by the watermark;
//! - messages to one person leave one after the other, in the order they were enqueued.

mod admission;
pub mod callback;
mod content;
mod doubt;
mod lines;
mod outcome;
mod sender;
mod settler;

pub use self::content::{Content, ContentError};
pub use self::sender::{Sender, SenderDependencies, SenderOptions};

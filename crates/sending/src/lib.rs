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
//! - messages to one person leave one after the other, in the order they were enqueued; only a
//!   campaign's message that still waits for its turn is overtaken by replies;
//! - each stream (a connection's replies, one campaign on it) waits for its own limits and for nobody
//!   else's.

mod admission;
pub mod callback;
mod content;
mod doubt;
mod lines;
mod outcome;
mod post;
mod pump;
mod rests;
mod room;
mod sender;
mod settler;
mod stops;
mod streams;

pub use self::content::{Content, ContentError};
pub use self::sender::{Sender, SenderDependencies, SenderOptions};

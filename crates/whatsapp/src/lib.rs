//! WhatsApp Cloud API: who signed a webhook, what is in it, and how to send a message.
//!
//! Knows nothing of our database, queues or limits; `sending` and the services compose it with them.

pub mod error_class;
pub mod graph;
mod json;
pub mod outgoing;
pub mod placeholder;
pub mod signature;
pub mod template;
pub mod webhook;

pub use self::error_class::ErrorClass;

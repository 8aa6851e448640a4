//! What the broker layer promises, against a real RabbitMQ.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can not go on fails")]

mod bundles;
mod consuming;
mod failing;
mod outages;
mod proxy;
mod publishing;
mod registry_page;
mod shared_channel;
mod stand;
mod stopping;

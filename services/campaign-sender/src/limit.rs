//! How many messages a connection may send (R1), as campaigns ask for it.

use coordination::{Lane, Limit, LimitName};
use kernel::ids::ConnectionId;

/// The limit of a connection that has `own` per minute, or none of its own. What an operator set at run time
/// comes on top: [`coordination::Limiter::in_force`].
pub(crate) fn of(connection: ConnectionId, own: Option<i32>, by_default: u32) -> Limit {
    let limit =
        Limit::of(LimitName::WhatsAppApi(connection)).by_default(by_default).lane(Lane::Campaign);
    match own.and_then(|own| u32::try_from(own).ok()) {
        Some(own) => limit.at_most(own),
        None => limit,
    }
}

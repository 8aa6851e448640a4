//! Makes message ids of the real layout: base64 of a length-prefixed number and a hex id.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::dice;

/// Hands out wamids that never repeat, not even between two runs with the same seed.
///
/// Otherwise a second run against the same database would look like one long redelivery.
#[derive(Debug)]
pub(crate) struct Wamids {
    nonce: u64,
    next: AtomicU64,
}

impl Wamids {
    pub(crate) fn new() -> Self {
        Self { nonce: dice::nonce(), next: AtomicU64::new(0) }
    }

    /// The id of a message from a business to the person `number`.
    pub(crate) fn outbound(&self, number: &str) -> String {
        self.make(number, 0x11, "")
    }

    /// The id of a message from the person `number` to a business.
    pub(crate) fn inbound(&self, number: &str) -> String {
        self.make(number, 0x12, "3A")
    }

    fn make(&self, number: &str, direction: u8, prefix: &str) -> String {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let unique = dice::distinct(self.nonce, index);
        let id = format!("{prefix}{unique:016X}{:02X}", index & 0xFF);
        encode(number, direction, &id)
    }
}

/// Packs the parts the way Meta does; numbers are cut at 255 bytes, which none has.
fn encode(number: &str, direction: u8, id: &str) -> String {
    let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
    let mut raw = Vec::with_capacity(number.len() + id.len() + 9);
    raw.extend([0x1C, 0x18, length(number)]);
    raw.extend(number.bytes().take(255));
    raw.extend([0x15, 0x02, 0x00, direction, 0x18, length(id)]);
    raw.extend(id.bytes());
    raw.push(0);
    format!("wamid.{}", STANDARD.encode(raw))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_layout_is_that_of_a_real_wamid() {
        assert_eq!(
            encode("4915755512345", 0x11, "7D3FF75FB091173B05"),
            "wamid.HBgNNDkxNTc1NTUxMjM0NRUCABEYEjdEM0ZGNzVGQjA5MTE3M0IwNQA="
        );
    }

    #[test]
    fn no_wamid_is_given_out_twice() {
        let wamids = Wamids::new();
        let made: HashSet<String> = (0..10_000).map(|_| wamids.inbound("4915755512345")).collect();
        assert_eq!(made.len(), 10_000);
    }
}

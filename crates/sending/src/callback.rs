//! The text that travels with every message and comes back in every status of it.
//!
//! It holds random and opaque ids only: every app subscribed to the account sees it. It is untrusted
//! when it comes back, because another app can send the same text.

use kernel::ids::{AttemptId, MessageId};
use uuid::Uuid;

/// Says whose text it is, and which layout it has.
const MARK: &str = "sw1";

/// Writes the text of an attempt: `sw1.<attempt>.<message>.<epoch>`, under 90 characters (Meta echoes
/// 256 at least).
pub fn write(attempt: AttemptId, message: MessageId, epoch: i32) -> String {
    format!("{MARK}.{}.{}.{epoch}", attempt.as_uuid().simple(), message.as_uuid().simple())
}

/// The attempt in a text that came back; `None` for a text that is not ours.
pub fn read(text: &str) -> Option<AttemptId> {
    let mut parts = text.split('.');
    if parts.next() != Some(MARK) {
        return None;
    }
    parts.next().and_then(|attempt| Uuid::try_parse(attempt).ok()).map(AttemptId::from_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_short() {
        let attempt = AttemptId::from_uuid(Uuid::from_u128(7));
        let text = write(attempt, MessageId::new(), i32::MAX);
        assert_eq!(read(&text), Some(attempt));
        assert!(text.len() < 90, "{} characters", text.len());
    }

    #[test]
    fn a_foreign_text_names_no_attempt() {
        for text in ["", "sw1", "sw1.", "sw1.x.y.1", "sw2.00000000000000000000000000000007", "c:42"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

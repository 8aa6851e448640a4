//! Links that open a file without a key, for a while: each export signs its own.

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use kernel::ids::ExportId;
use sha2::Sha256;

/// How long a link is good.
const GOOD_FOR: TimeDelta = TimeDelta::minutes(15);

/// A link to the file of `id`, and until when it is good.
pub(super) fn make(
    id: ExportId,
    key: &[u8],
    now: DateTime<Utc>,
) -> Option<(String, DateTime<Utc>)> {
    let until = now + GOOD_FOR;
    let expires = until.timestamp();
    let signature = hex::encode(mac(id, key, expires)?.finalize().into_bytes());
    Some((format!("/v1/contact-exports/{id}/file?expires={expires}&signature={signature}"), until))
}

/// Whether the link was made with this key. Takes the same time wherever it is wrong.
pub(super) fn is_ours(id: ExportId, key: &[u8], expires: i64, signature: &str) -> bool {
    let signature = hex::decode(signature).ok();
    let mac = mac(id, key, expires).zip(signature);
    mac.is_some_and(|(mac, signature)| mac.verify_slice(&signature).is_ok())
}

fn mac(id: ExportId, key: &[u8], expires: i64) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id} {expires}").as_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_one_file_until_its_time() {
        let now: DateTime<Utc> = "2026-11-30T10:00:00Z".parse().unwrap();
        let (id, other, key) = (ExportId::new(), ExportId::new(), [7; 32]);
        let (link, until) = make(id, &key, now).unwrap();
        let signature = link.rsplit_once("signature=").unwrap().1;
        let expires = until.timestamp();
        assert!(is_ours(id, &key, expires, signature));
        assert!(!is_ours(other, &key, expires, signature));
        assert!(!is_ours(id, &[8; 32], expires, signature));
        assert!(!is_ours(id, &key, expires + 1, signature));
        assert!(!is_ours(id, &key, expires, "00"));
        assert!(!is_ours(id, &key, expires, "no hex"));
    }
}

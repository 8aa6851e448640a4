//! Signs and escapes webhook bodies the way Meta does.
//!
//! Written apart from the product's own verification on purpose: the two must agree on the bytes,
//! and a mistake shared by both would never be seen.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// An app secret, prepared once so that signing costs only the hashing of the body.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha256>);

impl Signer {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length, so this cannot fail")]
    pub(crate) fn new(app_secret: &str) -> Self {
        Self(Hmac::new_from_slice(app_secret.as_bytes()).expect("HMAC takes a key of any length"))
    }

    /// The value of `X-Hub-Signature-256` for `body`.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(body);
        let mut header = String::with_capacity(71);
        header.push_str("sha256=");
        header.push_str(&hex::encode(mac.finalize().into_bytes()));
        header
    }
}

/// The value of `X-Hub-Signature-256` that Meta would send with exactly these bytes.
pub fn signature(app_secret: &str, body: &[u8]) -> String {
    Signer::new(app_secret).sign(body)
}

/// Rewrites JSON the way Meta puts it on the wire: non-ASCII as `\uXXXX` in lower-case hex
/// (characters beyond U+FFFF as a surrogate pair) and `/` as `\/`.
///
/// Both occur only inside JSON strings, so the meaning stays the same and the bytes do not.
pub fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len() + 64);
    for character in json.chars() {
        match character {
            '/' => escaped.push_str("\\/"),
            character if character.is_ascii() => escaped.push(character),
            character => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    write!(escaped, "\\u{unit:04x}").ok();
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_changes_the_bytes_and_keeps_the_meaning() {
        let json = r#"{"a":"Olá 👩 https://x/y"}"#;
        let escaped = escape(json);
        assert_eq!(escaped, r#"{"a":"Ol\u00e1 \ud83d\udc69 https:\/\/x\/y"}"#);
        let (one, two): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(json).unwrap(), serde_json::from_str(&escaped).unwrap());
        assert_eq!(one, two);
    }
}

//! Who sent a webhook: HMAC-SHA256 over the exact bytes received.
//!
//! Invariant: nothing is compared outside `Mac::verify_slice`, which takes constant time.
//! The body must not be re-serialised first: Meta signs the escaped form that it sends.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header that carries the signature. The older SHA-1 header is never looked at.
pub const HEADER: &str = "X-Hub-Signature-256";

const PREFIX: &[u8] = b"sha256=";

/// A well-formed signature, not yet compared with anything.
///
/// Parsing is apart from checking, so that a request without one is refused before its body is read.
#[derive(Clone, Copy, Debug)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads `sha256=` and exactly 64 lower-case hex digits; anything else is `None`.
    ///
    /// Upper-case digits are refused: Meta never sends them, and one spelling is easier to reason about.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let digits = header.strip_prefix(PREFIX)?;
        if digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut tag = [0; 32];
        hex::decode_to_slice(digits, &mut tag).ok()?;
        Some(Self(tag))
    }

    /// Whether `secret` made this signature for `body`. An empty secret never matches.
    pub fn is_by(&self, secret: &SecretString, body: &[u8]) -> bool {
        mac(secret, body).is_some_and(|mac| mac.verify_slice(&self.0).is_ok())
    }

    /// The position of the first of the active `secrets` that made this signature for `body`.
    ///
    /// There are several while a secret is being rotated, and when one address serves several apps.
    pub fn signer<'s>(
        &self,
        secrets: impl IntoIterator<Item = &'s SecretString>,
        body: &[u8],
    ) -> Option<usize> {
        secrets.into_iter().position(|secret| self.is_by(secret, body))
    }
}

/// Makes the header's value for `body`, as Meta would; `None` for an empty secret.
pub fn sign(secret: &SecretString, body: &[u8]) -> Option<String> {
    let tag = mac(secret, body)?.finalize().into_bytes();
    Some(format!("sha256={}", hex::encode(tag)))
}

fn mac(secret: &SecretString, body: &[u8]) -> Option<Hmac<Sha256>> {
    let key = secret.expose_secret().as_bytes();
    if key.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(body);
    Some(mac)
}

//! Which events are copies of one another.
//!
//! Invariants: the parts are unmistakable (each carries its length) and each kind has its own domain,
//! so two kinds never share an identity. The encoding is fixed for ever: a ledger of 30 days holds it.

use sha2::{Digest, Sha256};

use super::canonical;

/// An event about a message that is known, as far as its identity needs it.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// A person wrote it.
    Message,
    /// Somebody wrote it on a phone of the business.
    Echo,
    /// News about a message of ours.
    Status {
        /// Meta's word.
        status: &'a str,
        /// The number it went to.
        recipient: &'a str,
        /// Meta's error code, of a failure.
        code: Option<&'a str>,
    },
}

/// The identity that Meta's event about message `wamid` on this number has, or would have: to find what
/// came of its copies.
pub fn of_known(phone_number_id: &str, wamid: &str, known: Known<'_>) -> [u8; 16] {
    let (line, wamid) = (Some(phone_number_id), Some(wamid));
    match known {
        Known::Message => of_parts("message", &[line, wamid]),
        Known::Echo => of_parts("echo", &[line, wamid]),
        Known::Status { status, recipient, code } => {
            of_parts("status", &[line, wamid, Some(status), Some(recipient), code])
        }
    }
}

/// The first 16 bytes of SHA-256 over `domain` and `parts`.
pub(super) fn of_parts(domain: &str, parts: &[Option<&str>]) -> [u8; 16] {
    let mut hash = started(domain, parts);
    hash.update([0xff]);
    shortened(hash)
}

/// Like [`of_parts`], with the canonical form of `json` as the last part.
pub(super) fn of_json(domain: &str, parts: &[Option<&str>], json: &str) -> [u8; 16] {
    let mut hash = started(domain, parts);
    let mut form = Vec::new();
    canonical::append(json, &mut form);
    hash.update([0xfe]);
    hash.update(&form);
    shortened(hash)
}

fn started(domain: &str, parts: &[Option<&str>]) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(b"switchyard webhook 1\0");
    for part in [Some(domain)].iter().chain(parts) {
        match part {
            Some(text) => {
                hash.update([1]);
                hash.update(text.len().to_be_bytes());
                hash.update(text.as_bytes());
            }
            None => hash.update([0]),
        }
    }
    hash
}

fn shortened(hash: Sha256) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    short
}

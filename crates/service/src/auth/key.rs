//! The text of a key: `swk_live_<id: 32 hex digits>_<secret>`; `swk_test_…` for a test key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::ids::ApiKeyId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::StoredKey;

const LIVE: &str = "swk_live_";
const TEST: &str = "swk_test_";
/// Longer than any secret we make: what is longer is not worth a hash.
const LONGEST_SECRET: usize = 128;

/// A key as a caller presents it.
pub(super) struct PresentedKey {
    pub(super) id: ApiKeyId,
    pub(super) is_live: bool,
    secret_sha256: [u8; 32],
}

impl PresentedKey {
    /// Reads the value of an `Authorization` header.
    pub(super) fn parse(authorization: &str) -> Option<Self> {
        let (scheme, key) = authorization.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let key = key.trim();
        let (is_live, rest) = match key.strip_prefix(LIVE) {
            Some(rest) => (true, rest),
            None => (false, key.strip_prefix(TEST)?),
        };
        let (id, secret) = rest.split_once('_')?;
        if id.len() != 32 || secret.is_empty() || secret.len() > LONGEST_SECRET {
            return None;
        }
        let id = ApiKeyId::from_uuid(Uuid::try_parse(id).ok()?);
        Some(Self { id, is_live, secret_sha256: Sha256::digest(secret).into() })
    }

    pub(super) fn matches(&self, stored: &StoredKey) -> bool {
        self.secret_sha256.ct_eq(&stored.secret_sha256).into()
    }
}

/// A new key: its text is shown once, the rest is stored.
#[derive(Debug)]
pub struct MintedKey {
    /// Its public part.
    pub id: ApiKeyId,
    /// What the caller presents.
    pub text: SecretString,
    /// What is stored of the secret.
    pub secret_sha256: [u8; 32],
    /// The secret's last four characters, to recognise it by.
    pub last4: String,
}

/// Makes a live key from 32 random bytes.
pub fn mint() -> MintedKey {
    let id = ApiKeyId::new();
    let secret = SecretString::from(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let exposed = secret.expose_secret();
    MintedKey {
        id,
        text: format!("{LIVE}{}_{exposed}", id.as_uuid().simple()).into(),
        secret_sha256: Sha256::digest(exposed).into(),
        last4: exposed.get(exposed.len().saturating_sub(4)..).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minted_key_is_recognised_and_no_other_text_is() {
        let minted = mint();
        let text = minted.text.expose_secret();
        let presented = PresentedKey::parse(&format!("bearer {text}")).unwrap();
        assert_eq!((presented.id, presented.is_live), (minted.id, true));
        assert_eq!(presented.secret_sha256, minted.secret_sha256);
        assert!(text.ends_with(&minted.last4) && minted.last4.len() == 4);
        assert!(!format!("{minted:?}").contains(text));

        for wrong in [
            "",
            "Bearer",
            "Bearer swk_live_",
            "Basic swk_live_00000000000000000000000000000000_x",
            "Bearer swk_dead_00000000000000000000000000000000_x",
            "Bearer swk_live_00000000000000000000000000000000_",
            "Bearer swk_live_00000000-0000-0000-0000-00000000_x",
            "Bearer swk_live_zz000000000000000000000000000000_x",
        ] {
            assert!(PresentedKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}

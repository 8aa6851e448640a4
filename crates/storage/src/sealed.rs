//! Secrets at rest: AES-256-GCM, bound to the workspace and the column they belong to.
//!
//! Invariant: a ciphertext moved to another workspace or column does not open.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::ids::WorkspaceId;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use zeroize::Zeroizing;

/// First byte of every ciphertext, so that a later scheme can live beside this one.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;

/// A secret could not be sealed or opened.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SealError {
    /// The master key is not base64 of 32 bytes.
    #[error(
        "the master key must be base64 of exactly 32 bytes (make one: openssl rand -base64 32)"
    )]
    MasterKey,
    /// The ciphertext was made with another key, for another place, or is damaged.
    #[error("sealed with another master key, moved from another row, or damaged")]
    Refused,
}

/// Seals and opens secrets with the installation's master key.
#[derive(Clone)]
pub struct Sealer {
    cipher: Aes256Gcm,
}

/// Which column a secret belongs to: part of what is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// `connections.access_token_sealed`.
    AccessToken,
    /// `meta_app_secrets.secret_sealed`.
    AppSecret,
    /// `meta_apps.verify_token_sealed`.
    VerifyToken,
}

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "connections.access_token",
            Self::AppSecret => "meta_app_secrets.secret",
            Self::VerifyToken => "meta_apps.verify_token",
        }
    }
}

impl Sealer {
    /// Takes the master key: base64 of 32 bytes.
    ///
    /// # Errors
    ///
    /// [`SealError::MasterKey`] when it is anything else.
    pub fn new(master_key: &SecretString) -> Result<Self, SealError> {
        let key = STANDARD
            .decode(master_key.expose_secret().trim())
            .map(Zeroizing::new)
            .ok()
            .filter(|key| key.len() == 32)
            .ok_or(SealError::MasterKey)?;
        let cipher = Aes256Gcm::new_from_slice(&key).ok().ok_or(SealError::MasterKey)?;
        Ok(Self { cipher })
    }

    /// Encrypts `secret` for one place.
    ///
    /// # Errors
    ///
    /// [`SealError::Refused`] when the secret is longer than the cipher allows (64 GiB).
    pub fn seal(
        &self,
        workspace: WorkspaceId,
        column: Column,
        secret: &SecretString,
    ) -> Result<Vec<u8>, SealError> {
        let nonce_bytes: [u8; NONCE_BYTES] = rand::random();
        let aad = associated(workspace, column);
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &aad };
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce_bytes), payload)
            .ok()
            .ok_or(SealError::Refused)?;
        let mut out = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce_bytes);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Decrypts what [`Sealer::seal`] made for the same place.
    ///
    /// # Errors
    ///
    /// [`SealError::Refused`] when key, place or bytes are not the same.
    pub fn open(
        &self,
        workspace: WorkspaceId,
        column: Column,
        sealed: &[u8],
    ) -> Result<SecretString, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError::Refused)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Refused)?;
        if *version != VERSION {
            return Err(SealError::Refused);
        }
        let aad = associated(workspace, column);
        let opened = self
            .cipher
            .decrypt(&Nonce::from(*nonce), Payload { msg: body, aad: &aad })
            .ok()
            .ok_or(SealError::Refused)?;
        String::from_utf8(opened).map(SecretString::from).ok().ok_or(SealError::Refused)
    }
}

fn associated(workspace: WorkspaceId, column: Column) -> Vec<u8> {
    format!("switchyard/{VERSION}/{workspace}/{}", column.name()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&SecretString::from(STANDARD.encode([7_u8; 32]))).unwrap()
    }

    #[test]
    fn a_secret_opens_only_in_its_own_place() {
        let (sealer, home) = (sealer(), WorkspaceId::new());
        let sealed = sealer.seal(home, Column::AccessToken, &SecretString::from("EAAG")).unwrap();
        let opened = sealer.open(home, Column::AccessToken, &sealed).unwrap();
        assert_eq!(opened.expose_secret(), "EAAG");
        assert!(sealer.open(WorkspaceId::new(), Column::AccessToken, &sealed).is_err());
        assert!(sealer.open(home, Column::AppSecret, &sealed).is_err());
        assert!(!sealed.windows(4).any(|w| w == b"EAAG"));
    }

    #[test]
    fn damaged_or_foreign_bytes_are_refused_not_fatal() {
        let (sealer, home) = (sealer(), WorkspaceId::new());
        for bytes in [&[][..], &[1], &[1; 13], &[2; 40], &[0; 64]] {
            assert_eq!(sealer.open(home, Column::AppSecret, bytes).err(), Some(SealError::Refused));
        }
    }

    #[test]
    fn a_short_master_key_is_refused() {
        for key in ["", "c2hvcnQ=", "not base64!"] {
            assert!(matches!(Sealer::new(&SecretString::from(key)), Err(SealError::MasterKey)));
        }
    }
}

//! A Meta app: whose secret signs webhooks, and for whom it may speak.

use anyhow::ensure;
use bytes::Bytes;
use kernel::ids::WorkspaceId;
use settings::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tracing::warn;
use whatsapp::signature::Signature;

/// An app with its secrets open.
pub(crate) struct App {
    /// Its owner, as 16 bytes; empty for the installation's own app, which may speak for everybody.
    pub(crate) workspace: Bytes,
    verify_token: Option<SecretString>,
    secrets: Vec<SecretString>,
}

impl App {
    /// The installation's own app.
    ///
    /// # Errors
    ///
    /// When a secret or the token is there, but empty.
    pub(crate) fn of_settings(meta: &settings::Meta) -> anyhow::Result<Self> {
        if let Some(secrets) = &meta.app_secret {
            ensure!(
                !secrets.expose_secret().split(',').any(|secret| secret.trim().is_empty()),
                "meta.app_secret holds an empty secret, with which anybody could sign: \
                 give it the Meta app's secret, or remove it",
            );
        }
        if let Some(token) = &meta.verify_token {
            ensure!(
                !token.expose_secret().is_empty(),
                "meta.verify_token is empty: give it a value, or remove it",
            );
        }
        let secrets = meta.app_secrets();
        if secrets.is_empty() {
            warn!(
                "no meta.app_secret: every POST to /webhooks/whatsapp is refused with 401; set \
                 SWITCHYARD__META__APP_SECRET to the Meta app's secret"
            );
        }
        Ok(Self { workspace: Bytes::new(), verify_token: meta.verify_token.clone(), secrets })
    }

    /// A tenant's app.
    pub(crate) fn of_tenant(
        workspace: WorkspaceId,
        verify_token: Option<SecretString>,
        secrets: Vec<SecretString>,
    ) -> Self {
        Self { workspace: contracts::uuid_bytes(workspace.as_uuid()), verify_token, secrets }
    }

    /// Whether a secret in force made `signature` for `body`.
    pub(crate) fn has_signed(&self, signature: &Signature, body: &[u8]) -> bool {
        signature.signer(&self.secrets, body).is_some()
    }

    /// Whether `token` is the verify token; without one, nothing is.
    pub(crate) fn knows_token(&self, token: &str) -> bool {
        self.verify_token.as_ref().is_some_and(|known| {
            let known = known.expose_secret().as_bytes();
            !known.is_empty() && bool::from(known.ct_eq(token.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(secret: Option<&str>, token: Option<&str>) -> settings::Meta {
        settings::Meta {
            app_secret: secret.map(SecretString::from),
            verify_token: token.map(SecretString::from),
            ..settings::Meta::default()
        }
    }

    #[test]
    fn an_empty_secret_is_refused_at_the_start_and_never_accepts_everybody() {
        for secret in ["", " ", ",", "one,", "one, ,two"] {
            assert!(App::of_settings(&meta(Some(secret), None)).is_err(), "{secret:?}");
        }
        assert!(App::of_settings(&meta(Some("one, two"), None)).is_ok());
        assert!(App::of_settings(&meta(None, Some(""))).is_err());
    }

    #[test]
    fn without_any_secret_or_token_nobody_is_believed() {
        let app = App::of_settings(&meta(None, None)).unwrap();
        let signature = format!("sha256={}", "0".repeat(64));
        assert!(!app.has_signed(&Signature::parse(signature.as_bytes()).unwrap(), b""));
        assert!(!app.knows_token(""));
    }
}

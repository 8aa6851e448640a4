//! What operators do with locks.

use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::Locks;
use super::store::{Broken, Holder, StoreAway};
use crate::registry::LockClass;
use crate::registry::key::LockKey;

impl Locks {
    /// Who holds locks of `class`, `limit` of them at most. Searches all keys: for people, not for
    /// programs.
    ///
    /// # Errors
    ///
    /// [`StoreAway`] when the backend does not answer.
    pub async fn holders(&self, class: LockClass, limit: usize) -> Result<Vec<Holder>, StoreAway> {
        self.shared.store.holders(Some(class), limit).await
    }

    /// [`Self::holders`] of every class in one search.
    ///
    /// # Errors
    ///
    /// As [`Self::holders`].
    pub async fn all_holders(&self, limit: usize) -> Result<Vec<Holder>, StoreAway> {
        self.shared.store.holders(None, limit).await
    }

    /// Takes the lock `key` (as [`Holder::key`] spells it) from its holder, whose token must begin
    /// with `token_prefix`; the holder learns it at its next renewal or at its release. `by` and
    /// `reason` are logged.
    ///
    /// # Errors
    ///
    /// [`StoreAway`] when the backend does not answer; whether the lock was broken is unknown then.
    pub async fn break_lock(
        &self,
        key: &str,
        token_prefix: &str,
        by: &str,
        reason: &str,
    ) -> Result<Broken, StoreAway> {
        let templates = LockClass::ALL.into_iter().map(|class| (class, class.spec().key));
        let mut named = templates
            .filter_map(|(class, template)| Some((class, LockKey::from_plain(template, key)?)));
        let Some((class, name)) = named.next().filter(|_| !token_prefix.is_empty()) else {
            return Ok(Broken::Unknown);
        };
        let broken = self.shared.store.break_lock(&name, token_prefix).await?;
        // A name may hold a person's number: only its hash is logged.
        let digest = Sha256::digest(key.as_bytes());
        let key_hash = hex::encode(digest.iter().take(8).copied().collect::<Vec<u8>>());
        let label = class.spec().label;
        warn!(
            event = "lock.broken",
            lock.class = label,
            lock.key_hash = key_hash,
            by,
            reason,
            ?broken
        );
        Ok(broken)
    }
}

//! Locks that are held now, and how an operator takes one away.

mod classes;
mod words;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use coordination::{Broken, Holder, LockClass, LockTimes, StoreAway};
use kernel::chain;
use kernel::ids::AuditId;
use serde::Serialize;
use serde_json::json;
use tracing::{error, info};

pub use self::classes::ClassLine;
pub use self::words::{Life, time_in_words};

use crate::audit::{self, Entry};
use crate::desk::patiently;
use crate::names::{self, Naming};
use crate::view::{self, Owned};
use crate::{Actor, Desk, OpsError, View};

/// Holders that are looked at: more would fit on no screen.
const MOST: usize = 2_000;

/// A lock that somebody holds.
#[derive(Clone, Debug, Serialize)]
pub struct HeldLock {
    object: &'static str,
    /// Its name, masked unless that was not wanted.
    pub name: String,
    /// The registry's name of its class.
    pub class: &'static str,
    /// The process that holds it; empty when it is not one of ours.
    pub owner: String,
    /// What a release must name.
    pub owner_token_prefix: String,
    /// The number of this grant, if its class has such.
    pub fence: Option<i64>,
    /// For how long it has been held.
    pub age_ms: Option<u64>,
    /// Until it frees itself, unless it is renewed.
    pub ttl_left_ms: u64,
    /// How long it lasts from its grant or its renewal.
    pub ttl_ms: u64,
    /// How many wait for it.
    pub waiters: u64,
    /// Whether its holder shows signs of life.
    pub life: Life,
    /// What the thing it is named after is called, e.g. a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The above in words.
    pub explanation: String,
    /// What would happen after a release.
    pub if_released: String,
    /// As the store spells it.
    #[serde(skip)]
    pub(crate) plain: String,
}

/// What is wanted of a release.
#[derive(Clone, Copy, Debug)]
pub struct Release<'r> {
    /// The lock's name, masked or plain.
    pub name: &'r str,
    /// The owner whom it is taken from: the first characters of its token, as many as are shown.
    pub owner_token_prefix: &'r str,
    /// For the audit log.
    pub reason: &'r str,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Released {
    object: &'static str,
    /// The lock's name, masked.
    pub name: String,
    /// Whether it was taken from its holder, or was free by then.
    pub outcome: Outcome,
    /// How many waited; the first of them has it now.
    pub waiters: u64,
    /// The entry of the audit log.
    pub audit: AuditId,
}

/// Whether a release changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Taken from its holder.
    Released,
    /// Its holder had given it back, or it had run out.
    AlreadyFree,
}

impl Desk {
    /// Who holds locks of the class with this label, or of all, the oldest first.
    ///
    /// # Errors
    ///
    /// [`OpsError::Unknown`] for a label the registry does not have; else when a store does not answer.
    pub async fn held_locks(
        &self,
        view: View,
        label: Option<&str>,
        naming: Naming,
    ) -> Result<Vec<HeldLock>, OpsError> {
        let classes = match label {
            Some(label) => vec![names::class(label).ok_or_else(|| unknown(label))?],
            None => LockClass::ALL.into(),
        };
        self.of_classes(view, &classes, naming).await
    }

    /// Those locks that are called `name`, which may be masked: then there may be several.
    ///
    /// # Errors
    ///
    /// [`OpsError::Unknown`] when the registry has no such name, [`OpsError::Free`] when nobody whom
    /// `view` sees holds it; else when a store does not answer.
    pub async fn find_locks(
        &self,
        view: View,
        name: &str,
        naming: Naming,
    ) -> Result<Vec<HeldLock>, OpsError> {
        let classes = names::classes_of(name);
        if classes.is_empty() {
            return Err(unknown(name));
        }
        let mut found = self.of_classes(view, &classes, naming).await?;
        found.retain(|held| held.is_called(name));
        if found.is_empty() { Err(OpsError::Free) } else { Ok(found) }
    }

    /// Takes a lock from its holder and gives it to the next waiter, if there is one. The intention is
    /// in the audit log before the lock is touched, the outcome afterwards.
    ///
    /// # Errors
    ///
    /// [`OpsError::OwnerChanged`] when the holder is another one by now, [`OpsError::Free`] when there
    /// is none; [`OpsError::Ambiguous`] when a masked name fits several; [`OpsError::Locks`] when it is
    /// not known whether the lock was taken.
    pub async fn release_lock(
        &self,
        view: View,
        actor: &Actor,
        release: Release<'_>,
    ) -> Result<Released, OpsError> {
        let reason = audit::reason(release.reason)?;
        let prefix = release.owner_token_prefix;
        let found = self.find_locks(view, release.name, Naming::Masked).await?;
        let of_owner = |held: &&HeldLock| prefix.starts_with(&held.owner_token_prefix);
        let held = match found.iter().filter(of_owner).collect::<Vec<_>>().as_slice() {
            [] if found.iter().any(|held| held.owner_token_prefix.starts_with(prefix)) => {
                return Err(OpsError::ShortPrefix);
            }
            [] => {
                let now = found.into_iter().next().map(Box::new);
                return Err(OpsError::OwnerChanged { now });
            }
            [held] => (*held).clone(),
            several => return Err(OpsError::Ambiguous { count: several.len() }),
        };
        let before = serde_json::to_value(&held).ok();
        let entry = |action, before, after, follows| Entry {
            actor,
            view,
            action,
            target: &held.name,
            reason,
            before,
            after,
            follows,
        };
        let audit = self.log(entry("lock.release", before, None, None)).await?;
        let locks = self.coordination.locks();
        let broken = locks.break_lock(&held.plain, prefix, &actor.name, reason).await;
        let outcome = json!({ "outcome": outcome_word(&broken) });
        // The intention is logged; an outcome that is not is in the process's log.
        if let Err(failed) =
            self.log(entry("lock.released", None, Some(outcome), Some(audit))).await
        {
            error!(audit.id = %audit, error = %chain(&failed), "the outcome of a release is not in the audit log");
        }
        info!(event = "lock.release", lock.class = held.class, actor = actor.name, reason, audit.id = %audit,
              outcome = outcome_word(&broken), "a lock was released by hand");
        let outcome = match broken? {
            Broken::Released => Outcome::Released,
            Broken::Free => Outcome::AlreadyFree,
            Broken::OwnerChanged => return Err(OpsError::OwnerChanged { now: None }),
            Broken::Unknown => return Err(unknown(release.name)),
        };
        let HeldLock { name, waiters, .. } = held;
        Ok(Released { object: "lock_release", name, outcome, waiters, audit })
    }

    async fn log(&self, entry: Entry<'_>) -> Result<AuditId, OpsError> {
        let mut conn = self.db.connection().await?;
        Ok(audit::write(&mut conn, entry).await?)
    }

    async fn of_classes(
        &self,
        view: View,
        classes: &[LockClass],
        naming: Naming,
    ) -> Result<Vec<HeldLock>, OpsError> {
        let locks = self.coordination.locks();
        let found = patiently(async || match classes {
            [class] => locks.holders(*class, MOST).await,
            _ => locks.all_holders(MOST).await,
        });
        let with_class = |holder: Holder| {
            let class =
                names::classes_of(&holder.key).into_iter().find(|class| classes.contains(class))?;
            Some((class, holder))
        };
        let held: Vec<(LockClass, Holder)> =
            found.await?.into_iter().filter_map(with_class).collect();
        let owners = self.owners(&held).await?;
        let mut shown: Vec<HeldLock> = held
            .into_iter()
            .filter_map(|(class, holder)| {
                let ids = names::lock_ids(&class.spec(), &holder.key)?.to_owned();
                let owned = owners.get(names::first_id(&ids));
                let times = self.coordination.locks().times(class);
                view.sees(owned).then(|| HeldLock::new(class, times, holder, &ids, owned, naming))
            })
            .collect();
        shown.sort_by(|one, other| {
            (Reverse(one.age_ms), &one.plain).cmp(&(Reverse(other.age_ms), &other.plain))
        });
        // A search may find a key twice.
        shown.dedup_by(|one, other| one.plain == other.plain);
        Ok(shown)
    }

    async fn owners(
        &self,
        held: &[(LockClass, Holder)],
    ) -> Result<HashMap<String, Owned>, OpsError> {
        let ids =
            held.iter().filter_map(|(class, holder)| names::lock_ids(&class.spec(), &holder.key));
        let ids: Vec<&str> = ids.map(names::first_id).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut conn = self.db.connection().await?;
        Ok(view::owners(&mut conn, ids.into_iter()).await?)
    }
}

impl HeldLock {
    fn new(
        class: LockClass,
        times: LockTimes,
        holder: Holder,
        ids: &str,
        owned: Option<&Owned>,
        naming: Naming,
    ) -> Self {
        let spec = class.spec();
        let life = Life::of(&times, holder.ttl_left);
        Self {
            object: "lock",
            name: names::lock_name(&spec, ids, naming),
            class: spec.label,
            explanation: words::explanation(life, &times, &holder),
            if_released: words::if_released(&spec, life, holder.waiters),
            owner: holder.owner,
            owner_token_prefix: holder.token_prefix,
            fence: holder.fence.map(coordination::Fence::get),
            age_ms: holder.age.map(milliseconds),
            ttl_left_ms: milliseconds(holder.ttl_left),
            ttl_ms: milliseconds(times.ttl),
            waiters: holder.waiters,
            life,
            subject: owned.and_then(|owned| owned.name.clone()),
            plain: holder.key,
        }
    }

    fn is_called(&self, name: &str) -> bool {
        let ids = |class: LockClass| names::lock_ids(&class.spec(), &self.plain).map(str::to_owned);
        let class = names::class(self.class);
        let masked = class.and_then(|class| {
            ids(class).map(|ids| names::lock_name(&class.spec(), &ids, Naming::Masked))
        });
        self.plain == name || masked.as_deref() == Some(name)
    }
}

fn unknown(name: &str) -> OpsError {
    let known = LockClass::ALL.map(|class| class.spec().label).join(", ");
    OpsError::Unknown { name: name.to_owned(), known }
}

fn outcome_word(broken: &Result<Broken, StoreAway>) -> &'static str {
    match broken {
        Ok(Broken::Released) => "released",
        Ok(Broken::Free) => "already_free",
        Ok(Broken::OwnerChanged) => "owner_changed",
        Ok(Broken::Unknown) => "refused",
        Err(_) => "unknown",
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! The classes of the registry, with how many of their locks are held.

use coordination::registry::WhenAway;
use coordination::{LockClass, Mode, Override};
use serde::Serialize;

use super::{Desk, OpsError, milliseconds, unknown};
use crate::View;
use crate::names::{self, Naming};

/// One kind of lock.
#[derive(Clone, Debug, Serialize)]
pub struct ClassLine {
    object: &'static str,
    /// Its name in the registry.
    pub class: &'static str,
    /// Its id in the register.
    pub id: &'static str,
    /// Its names, as a template of ids.
    pub template: &'static str,
    /// How long a lock of a dead holder stays.
    pub ttl_ms: u64,
    /// Renewed while held, up to this long; never if that is not said.
    pub renewed_up_to_ms: Option<u64>,
    /// What a caller does that did not get it.
    pub when_taken: &'static str,
    /// What keeps the data right without it.
    pub protection: &'static str,
    /// `skipped`, `refused` or `kept_in_postgresql`.
    pub when_redis_is_away: &'static str,
    /// `off`, `observe` or `enforce`.
    pub mode: &'static str,
    /// How many are held; in all classes two thousand at most.
    pub held: usize,
    /// How many wait for one.
    pub waiters: u64,
}

impl Desk {
    /// The class with this label, or every one in the register's order.
    ///
    /// # Errors
    ///
    /// [`OpsError::Unknown`] for a label the registry does not have; else when a store does not answer.
    pub async fn lock_classes(
        &self,
        view: View,
        label: Option<&str>,
    ) -> Result<Vec<ClassLine>, OpsError> {
        let classes = match label {
            Some(label) => vec![names::class(label).ok_or_else(|| unknown(label))?],
            None => LockClass::ALL.into(),
        };
        let held = self.of_classes(view, &classes, Naming::Masked).await?;
        let mut conn = self.db.connection().await?;
        let changed = Override::in_force(&mut conn).await?;
        let overrides = self.coordination.overrides();
        let line = |class: LockClass| {
            let (spec, times) = (class.spec(), self.coordination.locks().times(class));
            let of_class = || held.iter().filter(|held| held.class == spec.label);
            let row = changed.iter().find(|row| row.kind == "lock" && row.name == spec.label);
            let mode = row.and_then(|row| row.mode).unwrap_or_else(|| overrides.lock_mode(class));
            ClassLine {
                object: "lock_class",
                class: spec.label,
                id: spec.id,
                template: spec.key,
                ttl_ms: milliseconds(times.ttl),
                renewed_up_to_ms: times.max_hold.map(milliseconds),
                when_taken: spec.when_taken,
                protection: spec.protection,
                when_redis_is_away: match spec.when_away {
                    WhenAway::Skip(_) => "skipped",
                    WhenAway::Deny => "refused",
                    WhenAway::Postgres => "kept_in_postgresql",
                },
                mode: Mode::label(mode),
                held: of_class().count(),
                waiters: of_class().map(|held| held.waiters).sum(),
            }
        };
        Ok(classes.into_iter().map(line).collect())
    }
}

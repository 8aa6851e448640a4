//! Limits: what they are, who is near them, and how an operator changes one at run time.

mod hottest;
mod policies;
pub mod rate;

use std::collections::HashMap;
use std::time::Duration;

use coordination::{Change, InForce, LimitName, Mode, Override, Policy};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use kernel::ids::AuditId;
use serde::Serialize;
use serde_json::{Value, json};
use tracing::info;

pub use self::hottest::UsedLimit;
pub use self::policies::{Override as OverrideShown, PolicyLine};

use crate::audit::{self, Entry};
use crate::names::{self, Naming};
use crate::view::{self, Owned};
use crate::{Actor, Desk, OpsError, View};

/// A change of a limit.
#[derive(Clone, Debug)]
pub struct NewLimit<'l> {
    /// The policy's name in the registry.
    pub policy: &'l str,
    /// The ids of the one thing it is for, `cnx_…` or `cnx_…:15551234567`; `None`: the policy's
    /// default, for everything without a setting of its own.
    pub key: Option<&'l str>,
    /// Units in the policy's window; `None` ends an earlier change.
    pub most: Option<u32>,
    /// How long it lasts; `None`: until it is ended.
    pub lasts: Option<Duration>,
    /// For the audit log.
    pub reason: &'l str,
    /// The version it was decided upon, if that matters.
    pub version: Option<Version>,
}

/// Which change a limit was read with; 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub i64);

/// What came of a change.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    object: &'static str,
    /// The policy's name in the registry.
    pub policy: &'static str,
    /// Whose limit, masked; `None`: the default.
    pub key: Option<String>,
    /// What the thing is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Units per window before.
    pub before: u32,
    /// Units per window now.
    pub limit: u32,
    /// The window.
    pub per_ms: u64,
    /// When it ends by itself.
    pub ends_in_ms: Option<u64>,
    /// The entry of the audit log.
    pub audit: AuditId,
    /// The change's version.
    #[serde(skip)]
    pub version: Version,
}

/// The thing a limit is for.
struct Target {
    policy: Policy,
    name: Option<LimitName>,
    owned: Option<Owned>,
}

impl Desk {
    /// Changes a limit for every process, within 5 s. The entry in the audit log commits with it.
    ///
    /// # Errors
    ///
    /// [`OpsError::Unknown`] for a policy that does not exist, [`OpsError::NoSuchKey`] for ids that are
    /// nobody's or not seen, [`OpsError::InstallationOnly`] for a workspace that would change a default,
    /// [`OpsError::Stale`] when the version is another by now; else when PostgreSQL does not answer.
    pub async fn set_limit(
        &self,
        view: View,
        actor: &Actor,
        new: NewLimit<'_>,
    ) -> Result<Changed, OpsError> {
        let reason = audit::reason(new.reason)?;
        if new.most.is_some_and(|most| most == 0 || i32::try_from(most).is_err()) {
            return Err(OpsError::Limit);
        }
        let mut conn = self.db.connection().await?;
        let target = self.target(&mut conn, view, new.policy, new.key).await?;
        let change = Change { by: actor.name.clone(), reason: reason.to_owned(), lasts: new.lasts };
        let changed = (*conn)
            .transaction(async |tx| self.commit(tx, view, actor, &target, &new, &change).await)
            .await?;
        info!(event = "limit.changed", policy = changed.policy, before = changed.before, now = changed.limit,
              actor = actor.name, reason, audit.id = %changed.audit, "a limit was changed by hand");
        Ok(changed)
    }

    async fn commit(
        &self,
        tx: &mut AsyncPgConnection,
        view: View,
        actor: &Actor,
        target: &Target,
        new: &NewLimit<'_>,
        change: &Change,
    ) -> Result<Changed, OpsError> {
        // Changes are rare: one after the other. Reading goes on.
        diesel::sql_query("LOCK TABLE coordination_overrides IN SHARE ROW EXCLUSIVE MODE")
            .execute(tx)
            .await?;
        let rows = Override::in_force(tx).await?;
        let before = target.place(&rows);
        let version = before.map_or(Version(0), |row| Version(row.version));
        if new.version.is_some_and(|known| known != version) {
            return Err(OpsError::Stale);
        }
        let own = self.own_limits(tx, target.name.iter()).await?;
        let was = self.effective(target.policy, target.name.as_ref(), &rows, &own);
        match new.most {
            Some(most) => target.as_override(most).write(tx, change).await?,
            None => target.end(tx, before, change).await?,
        }
        let rows = Override::in_force(tx).await?;
        let now = self.effective(target.policy, target.name.as_ref(), &rows, &own);
        let after = target.place(&rows);
        let entry = Entry {
            actor,
            view,
            action: "limit.set",
            target: &target.shown(),
            reason: &change.reason,
            before: Some(logged(was, before)),
            after: Some(logged(now, after)),
            follows: None,
        };
        let spec = target.policy.spec();
        Ok(Changed {
            object: "limit_change",
            policy: spec.label,
            key: target.key(),
            subject: target.owned.as_ref().and_then(|owned| owned.name.clone()),
            before: was,
            limit: now,
            per_ms: milliseconds(spec.per),
            ends_in_ms: new.most.and(new.lasts).map(milliseconds),
            audit: audit::write(tx, entry).await?,
            version: after.map_or(Version(0), |row| Version(row.version)),
        })
    }

    async fn target(
        &self,
        conn: &mut AsyncPgConnection,
        view: View,
        label: &str,
        key: Option<&str>,
    ) -> Result<Target, OpsError> {
        let policy = names::policy(label).ok_or_else(|| unknown(label))?;
        let Some(key) = key.filter(|_| !names::is_global(&policy.spec())) else {
            return match (view, key) {
                (_, Some(key)) => Err(OpsError::NoSuchKey { key: key.to_owned() }),
                (View::Workspace(_), None) => Err(OpsError::InstallationOnly),
                (View::Installation, None) => Ok(Target { policy, name: None, owned: None }),
            };
        };
        let none = || OpsError::NoSuchKey { key: key.to_owned() };
        let name = LimitName::parse(policy, key).ok_or_else(none)?;
        let first = names::first_id(key);
        let mut owners = view::owners(conn, std::iter::once(first)).await?;
        // A mistyped id would change nothing, unseen.
        let owned = owners.remove(first).filter(|owned| view.sees(Some(owned))).ok_or_else(none)?;
        Ok(Target { policy, name: Some(name), owned: Some(owned) })
    }

    /// How many units a limit admits now: what was set for it, then what its connection has of its own,
    /// then what was set for the policy, then the installation's default.
    fn effective(
        &self,
        policy: Policy,
        name: Option<&LimitName>,
        rows: &[InForce],
        own: &HashMap<LimitName, u32>,
    ) -> u32 {
        let set = |key: &str| {
            let row = rows.iter().find(|row| is_at(row, policy, key));
            row.and_then(|row| row.most)
        };
        name.and_then(|name| set(&name.key()).or_else(|| own.get(name).copied()))
            .or_else(|| set(""))
            .unwrap_or_else(|| self.default(policy))
    }

    /// What the installation's settings give this policy.
    fn default(&self, policy: Policy) -> u32 {
        match policy {
            Policy::WhatsAppApi => self.defaults.whatsapp_api_per_minute,
            Policy::Webhook => self.defaults.webhook_per_minute,
            Policy::Bot => self.defaults.bot_per_minute,
            Policy::TemplateSync => self.defaults.template_sync_per_minute,
            Policy::Pair | Policy::Response | Policy::Reminder => policy.spec().most,
        }
    }
}

impl Target {
    fn place<'r>(&self, rows: &'r [InForce]) -> Option<&'r InForce> {
        let key = self.name.as_ref().map(LimitName::key).unwrap_or_default();
        rows.iter().find(|row| is_at(row, self.policy, &key) && row.most.is_some())
    }

    fn as_override(&self, most: u32) -> Override {
        match &self.name {
            Some(name) => Override::LimitMostOf(name.clone(), most),
            None => Override::LimitMost(self.policy, most),
        }
    }

    /// Ends a change of the limit; what was said about the policy's mode stays.
    async fn end(
        &self,
        tx: &mut AsyncPgConnection,
        before: Option<&InForce>,
        change: &Change,
    ) -> Result<(), OpsError> {
        self.as_override(1).clear(tx).await?;
        let mode = before.and_then(|row| row.mode.map(|mode| (mode, row.change.lasts)));
        if let Some((mode, lasts)) = mode {
            let kept = Change { lasts, ..change.clone() };
            Override::LimitMode(self.policy, mode).write(tx, &kept).await?;
        }
        Ok(())
    }

    fn key(&self) -> Option<String> {
        let spec = self.policy.spec();
        self.name.as_ref().map(|name| names::shown(spec.key, &name.key(), Naming::Masked))
    }

    fn shown(&self) -> String {
        let label = self.policy.spec().label;
        self.key().map_or_else(|| label.to_owned(), |key| format!("{label}:{key}"))
    }
}

fn is_at(row: &InForce, policy: Policy, key: &str) -> bool {
    row.kind == "limit" && row.name == policy.spec().label && row.key == key
}

fn logged(limit: u32, row: Option<&InForce>) -> Value {
    let mode = row.and_then(|row| row.mode).map(Mode::label);
    let lasts_ms = row.and_then(|row| row.change.lasts).map(milliseconds);
    json!({ "limit": limit, "is_override": row.is_some(), "mode": mode, "ends_in_ms": lasts_ms })
}

fn unknown(label: &str) -> OpsError {
    let known = Policy::ALL.map(|policy| policy.spec().label).join(", ");
    OpsError::Unknown { name: label.to_owned(), known }
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

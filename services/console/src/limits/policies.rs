//! The policies of the registry, with what operators changed.

use coordination::{InForce, Limit, LimitName, Mode, Policy};
use kernel::chain;
use serde::Serialize;
use tracing::debug;

use super::{Desk, OpsError, UsedLimit, Version, is_at, milliseconds, unknown};
use crate::View;
use crate::desk::patiently;
use crate::names::{self, Naming};
use crate::view;

/// One limit of the registry as it is in force.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyLine {
    object: &'static str,
    /// Its name.
    pub policy: &'static str,
    /// Its id in the register.
    pub id: &'static str,
    /// What it counts, as a template of ids.
    pub template: &'static str,
    /// Units per window, unless something has a limit of its own.
    pub limit: u32,
    /// The same by the installation's settings.
    pub default: u32,
    /// The window.
    pub per_ms: u64,
    /// `off`, `observe` or `enforce`.
    pub mode: &'static str,
    /// What happens over the limit.
    pub over: &'static str,
    /// What is answered while Redis is away.
    pub when_redis_is_away: &'static str,
    /// What operators changed of the default.
    pub r#override: Option<Override>,
    /// How many single limits operators changed, where they may be seen.
    pub overridden_keys: usize,
    /// The version of the default.
    #[serde(skip)]
    pub version: Version,
}

/// A change by hand.
#[derive(Clone, Debug, Serialize)]
pub struct Override {
    /// Units per window.
    pub limit: Option<u32>,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How long ago.
    pub age_ms: u64,
    /// When it ends by itself; never if that is not said.
    pub ends_in_ms: Option<u64>,
}

impl From<&InForce> for Override {
    fn from(row: &InForce) -> Self {
        Self {
            limit: row.most,
            by: row.change.by.clone(),
            reason: row.change.reason.clone(),
            age_ms: milliseconds(row.age),
            ends_in_ms: row.change.lasts.map(milliseconds),
        }
    }
}

impl Desk {
    /// Every policy, in the register's order. Who changed a default, and why, is the installation's.
    ///
    /// # Errors
    ///
    /// When PostgreSQL does not answer.
    pub async fn policies(&self, view: View) -> Result<Vec<PolicyLine>, OpsError> {
        let mut conn = self.db.connection().await?;
        let rows = coordination::Override::in_force(&mut conn).await?;
        let first = |row: &InForce| names::first_id(&row.key).to_owned();
        let ids: Vec<String> = rows.iter().filter(|row| !row.key.is_empty()).map(first).collect();
        let owners = view::owners(&mut conn, ids.iter().map(String::as_str)).await?;
        let line = |policy| {
            let mut line = self.policy(policy, &rows);
            let of_policy =
                rows.iter().filter(|row| !row.key.is_empty() && is_at(row, policy, &row.key));
            line.overridden_keys =
                of_policy.filter(|row| view.sees(owners.get(&first(row)))).count();
            if view != View::Installation {
                line.r#override = None;
            }
            line
        };
        Ok(Policy::ALL.into_iter().map(line).collect())
    }

    fn policy(&self, policy: Policy, rows: &[InForce]) -> PolicyLine {
        let spec = policy.spec();
        let changed = rows.iter().find(|row| is_at(row, policy, ""));
        let overrides = self.coordination.overrides();
        let mode = changed.and_then(|row| row.mode).unwrap_or_else(|| overrides.limit_mode(policy));
        let most = changed.filter(|row| row.most.is_some());
        PolicyLine {
            object: "limit_policy",
            policy: spec.label,
            id: spec.id,
            template: spec.key,
            limit: self.effective(policy, None, rows, &std::collections::HashMap::new()),
            default: self.default(policy),
            per_ms: milliseconds(spec.per),
            mode: Mode::label(mode),
            over: spec.then,
            when_redis_is_away: spec.when_away.as_str(),
            r#override: most.map(Override::from),
            overridden_keys: 0,
            version: most.map_or(Version(0), |row| Version(row.version)),
        }
    }

    /// One policy's line.
    ///
    /// # Errors
    ///
    /// [`OpsError::Unknown`] for a name the registry does not have; else as [`Self::policies`].
    pub async fn find_policy(&self, view: View, label: &str) -> Result<PolicyLine, OpsError> {
        let lines = self.policies(view).await?;
        lines.into_iter().find(|line| line.policy == label).ok_or_else(|| unknown(label))
    }

    /// How much of one thing's limit is used.
    ///
    /// # Errors
    ///
    /// [`OpsError::Unknown`] for a policy, [`OpsError::NoSuchKey`] for ids that are nobody's or not seen;
    /// else when a store does not answer.
    pub async fn find_limit(
        &self,
        view: View,
        label: &str,
        key: &str,
        naming: Naming,
    ) -> Result<UsedLimit, OpsError> {
        let mut conn = self.db.connection().await?;
        let asked = (!key.is_empty()).then_some(key);
        let target = self.target(&mut conn, view, label, asked).await?;
        let name = target.name.clone().or_else(|| LimitName::parse(target.policy, ""));
        let name = name.ok_or_else(|| OpsError::NoSuchKey { key: key.to_owned() })?;
        let rows = coordination::Override::in_force(&mut conn).await?;
        let own = self.own_limits(&mut conn, std::iter::once(&name)).await?;
        drop(conn);
        let most = self.effective(target.policy, Some(&name), &rows, &own);
        let limiter = self.coordination.limiter();
        let asked = Limit::of(name.clone()).at_most(most);
        let usage = patiently(async || limiter.show(&asked).await).await?;
        let mut shown = UsedLimit::new(target.policy, &name.key(), &usage, most, naming);
        shown.subject = target.owned.and_then(|owned| owned.name);
        shown.has_own_setting = own.contains_key(&name);
        let row = rows.iter().find(|row| is_at(row, target.policy, &name.key()));
        shown.r#override = row.filter(|row| row.most.is_some()).map(Override::from);
        shown.version = row.map_or(Version(0), |row| Version(row.version));
        match limiter.learnt(name).await {
            Ok(learnt) if learnt.factor < 1.0 => shown.slowed_to = Some(learnt.factor),
            Ok(_) => (),
            Err(away) => debug!(error = %chain(&away), "what the limit has learnt is not shown"),
        }
        Ok(shown)
    }
}

//! The limits of which most is used.

use std::cmp::Reverse;
use std::collections::HashMap;

use coordination::{Limit, LimitName, Override as Row, Policy, Usage};
use diesel::sql_types::{self, Array, Integer, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use kernel::ids::ConnectionId;
use kernel::statement;
use serde::Serialize;
use storage::StorageError;
use uuid::Uuid;

use super::{Desk, OpsError, OverrideShown, Version, is_at, milliseconds, unknown};
use crate::View;
use crate::desk::patiently;
use crate::names::{self, Naming};
use crate::view;

/// Keys of one policy that are looked at.
const MOST: usize = 1_000;

/// How much of a limit is used.
#[derive(Clone, Debug, Serialize)]
pub struct UsedLimit {
    object: &'static str,
    /// The policy's name in the registry.
    pub policy: &'static str,
    /// Whose: ids, masked unless that was not wanted; empty for the whole installation.
    pub key: String,
    /// What the thing is called, e.g. a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Units per window in force.
    pub limit: u32,
    /// The window.
    pub per_ms: u64,
    /// Units that count now.
    pub used: u32,
    /// When all of it will be free, if nobody asks any more.
    pub resets_in_ms: u64,
    /// Whether the connection has a limit of its own (`PUT /v1/connections/{id}/limits`).
    pub has_own_setting: bool,
    /// What Meta's refusals have left of the rate, 0.05 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowed_to: Option<f64>,
    /// What an operator changed.
    pub r#override: Option<OverrideShown>,
    /// The change's version.
    #[serde(skip)]
    pub version: Version,
}

impl UsedLimit {
    pub(super) fn new(policy: Policy, ids: &str, usage: &Usage, most: u32, naming: Naming) -> Self {
        let spec = policy.spec();
        Self {
            object: "limit",
            policy: spec.label,
            key: names::shown(spec.key, ids, naming),
            subject: None,
            limit: most,
            per_ms: milliseconds(spec.per),
            used: usage.used,
            resets_in_ms: milliseconds(usage.resets_in),
            has_own_setting: false,
            slowed_to: None,
            r#override: None,
            version: Version(0),
        }
    }
}

statement! {
    OwnLimits(ids: Vec<Uuid>) -> (sql_types::Uuid, Nullable<Integer>, Nullable<Integer>) {
        "SELECT id, whatsapp_api_per_minute, webhook_per_minute FROM connections WHERE id = ANY("
        [ids: Array<sql_types::Uuid>] ")"
    }
}

impl Desk {
    /// The fullest `top` limits of the policy with this label, or of each policy; the fullest first.
    ///
    /// # Errors
    ///
    /// [`OpsError::Unknown`] for a label the registry does not have; else when a store does not answer.
    pub async fn hottest_limits(
        &self,
        view: View,
        label: Option<&str>,
        top: usize,
        naming: Naming,
    ) -> Result<Vec<UsedLimit>, OpsError> {
        let policies = match label {
            Some(label) => vec![names::policy(label).ok_or_else(|| unknown(label))?],
            None => Policy::ALL.into(),
        };
        let mut found = Vec::new();
        for policy in policies {
            let asked = async || self.coordination.limiter().inspect(policy, MOST).await;
            let used = patiently(asked).await?;
            let used = used.into_iter().map(|usage| (names::limit_ids(&usage.key), usage));
            let seen = self.seen(view, used.collect()).await?;
            for (ids, usage, subject) in seen.into_iter().take(top) {
                found.push((policy, ids, usage, subject));
            }
        }
        let mut shown = self.shown(found, naming).await?;
        shown.sort_by_key(|used| {
            Reverse(u64::from(used.used) * 1_000 / u64::from(used.limit.max(1)))
        });
        Ok(shown)
    }

    async fn seen(
        &self,
        view: View,
        used: Vec<(String, Usage)>,
    ) -> Result<Vec<(String, Usage, Option<String>)>, OpsError> {
        if used.is_empty() {
            return Ok(Vec::new());
        }
        let mut conn = self.db.connection().await?;
        let owners =
            view::owners(&mut conn, used.iter().map(|(ids, _)| names::first_id(ids))).await?;
        let seen = used.into_iter().filter_map(|(ids, usage)| {
            let owned = owners.get(names::first_id(&ids));
            let subject = owned.and_then(|owned| owned.name.clone());
            view.sees(owned).then_some((ids, usage, subject))
        });
        Ok(seen.collect())
    }

    async fn shown(
        &self,
        found: Vec<(Policy, String, Usage, Option<String>)>,
        naming: Naming,
    ) -> Result<Vec<UsedLimit>, OpsError> {
        let names: Vec<Option<LimitName>> =
            found.iter().map(|(policy, ids, ..)| LimitName::parse(*policy, ids)).collect();
        let mut conn = self.db.connection().await?;
        let rows = Row::in_force(&mut conn).await?;
        let own = self.own_limits(&mut conn, names.iter().flatten()).await?;
        drop(conn);
        let mut shown = Vec::new();
        for ((policy, ids, mut usage, subject), name) in found.into_iter().zip(names) {
            let most = match &name {
                Some(name) => self.effective(policy, Some(name), &rows, &own),
                None => usage.limit,
            };
            // What counts is counted by the limit in force.
            if let Some(name) = name.clone().filter(|_| most != usage.limit) {
                usage = self.coordination.limiter().show(&Limit::of(name).at_most(most)).await?;
            }
            let mut used = UsedLimit::new(policy, &ids, &usage, most, naming);
            used.subject = subject;
            used.has_own_setting = name.as_ref().is_some_and(|name| own.contains_key(name));
            let row = rows.iter().find(|row| !ids.is_empty() && is_at(row, policy, &ids));
            used.r#override = row.filter(|row| row.most.is_some()).map(OverrideShown::from);
            shown.push(used);
        }
        Ok(shown)
    }

    /// What connections have of their own, of R1 and R4.
    pub(super) async fn own_limits<'n>(
        &self,
        conn: &mut AsyncPgConnection,
        names: impl Iterator<Item = &'n LimitName>,
    ) -> Result<HashMap<LimitName, u32>, StorageError> {
        let connection = |name: &LimitName| match name {
            LimitName::WhatsAppApi(id) | LimitName::Webhook(id) => Some(id.as_uuid()),
            _ => None,
        };
        let ids: Vec<Uuid> = names.filter_map(connection).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(Uuid, Option<i32>, Option<i32>)> = OwnLimits { ids }.load(conn).await?;
        let own = rows.into_iter().flat_map(|(id, api, webhook)| {
            let id = ConnectionId::from_uuid(id);
            [(LimitName::WhatsAppApi(id), api), (LimitName::Webhook(id), webhook)]
        });
        let set = |most: Option<i32>| {
            most.and_then(|most| u32::try_from(most).ok()).filter(|most| *most > 0)
        };
        Ok(own.filter_map(|(name, most)| set(most).map(|most| (name, most))).collect())
    }
}

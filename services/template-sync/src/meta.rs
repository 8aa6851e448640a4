//! Calls to Meta about templates, each asked for before.
//!
//! Invariant: no call is made before R1 and R2 admitted it. R2 is cut so that all connections of one
//! account together stay below what Meta allows an app on one account.

use std::sync::Arc;
use std::time::Duration;

use coordination::{Decision, Feedback, Limit, LimitName, Limiter};
use kernel::ids::TemplateSyncId;
use secrecy::SecretString;
use storage::StorageError;
use storage::connections::Connection;
use storage::sealed::{Column, Sealer};
use whatsapp::graph::{CallError, GraphClient};

use crate::Options;

/// Calls about one account in a minute, of all its connections: 4,800 an hour, where Meta allows 5,000
/// (Meta, rate limits of the management API, Nov 2025).
const PER_ACCOUNT: u32 = 80;
const MINUTE: Duration = Duration::from_secs(60);

/// Calls Meta; cheap to clone.
#[derive(Clone)]
pub(crate) struct Meta {
    pub(crate) graph: Arc<GraphClient>,
    limiter: Limiter,
    sealer: Sealer,
    options: Options,
}

/// The moment for a call has not come: ask again after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotYet(pub(crate) Duration);

impl Meta {
    pub(crate) const fn new(
        graph: Arc<GraphClient>,
        limiter: Limiter,
        sealer: Sealer,
        options: Options,
    ) -> Self {
        Self { graph, limiter, sealer, options }
    }

    /// The connection's access token.
    pub(crate) fn token(&self, connection: &Connection) -> Result<SecretString, StorageError> {
        let workspace = connection.workspace_id();
        Ok(self.sealer.open(workspace, Column::AccessToken, &connection.access_token_sealed)?)
    }

    /// Asks R2 for a new sync, which is its first page's admission, too. `sharing` connections have
    /// the account.
    pub(crate) async fn admit_sync(
        &self,
        connection: &Connection,
        sharing: u32,
        sync: TemplateSyncId,
    ) -> Result<(), NotYet> {
        let limit = self.sync_limit(connection, sharing);
        admitted(self.limiter.check_unit(&limit, sync.as_uuid()).await)
    }

    /// Asks R1 and R2 for one more call.
    pub(crate) async fn admit_call(
        &self,
        connection: &Connection,
        sharing: u32,
    ) -> Result<(), NotYet> {
        let limits = [self.api_limit(connection), self.sync_limit(connection, sharing)];
        admitted(self.limiter.check(&limits, 1).await)
    }

    /// Asks for the first page of a sync: R2 has admitted it, if the sync was requested just now.
    pub(crate) async fn admit_first(
        &self,
        connection: &Connection,
        sharing: u32,
        sync: TemplateSyncId,
    ) -> Result<(), NotYet> {
        self.admit_sync(connection, sharing, sync).await?;
        admitted(self.limiter.check(&[self.api_limit(connection)], 1).await)
    }

    /// Lets the connection slow down when Meta said that it is too fast.
    pub(crate) async fn learn(&self, connection: &Connection, error: &CallError) {
        let code = error.code().unwrap_or(429);
        // 80008 is about management calls alone: no message has to wait for it.
        if let Some(retry_after) = error.throttled()
            && code != 80_008
        {
            let throttled = Feedback::Throttled { code, retry_after };
            self.limiter.feedback(connection.id(), throttled).await;
        }
    }

    fn api_limit(&self, connection: &Connection) -> Limit {
        let limit = Limit::of(LimitName::WhatsAppApi(connection.id()))
            .by_default(self.options.api_per_minute);
        match connection.whatsapp_api_per_minute.and_then(|own| u32::try_from(own).ok()) {
            Some(own) => limit.at_most(own),
            None => limit,
        }
    }

    fn sync_limit(&self, connection: &Connection, sharing: u32) -> Limit {
        let (most, per) = share(self.options.sync_per_minute, sharing);
        Limit::of(LimitName::TemplateSync(connection.id())).by_default(most).per(per)
    }
}

fn admitted(decision: Decision) -> Result<(), NotYet> {
    match decision {
        Decision::Go(_permit) => Ok(()),
        Decision::Wait { after, .. } => Err(NotYet(after)),
    }
}

/// What one of `sharing` connections may ask an account, and in which time.
fn share(per_minute: u32, sharing: u32) -> (u32, Duration) {
    let sharing = sharing.max(1);
    match PER_ACCOUNT / sharing {
        0 => (1, MINUTE * sharing.div_ceil(PER_ACCOUNT)),
        share => (per_minute.min(share), MINUTE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_of_an_account_together_stay_below_metas_limit() {
        for sharing in [1, 2, 7, 8, 9, 40, 80, 81, 200, 1_000] {
            let (most, per) = share(10, sharing);
            let hourly = f64::from(most * sharing) * 3_600.0 / per.as_secs_f64();
            assert!(hourly <= 4_800.0, "{sharing}: {hourly}");
            assert!((1..=10).contains(&most), "{sharing}: {most}");
        }
        assert_eq!(share(10, 1), (10, MINUTE));
    }
}

//! Acts upon webhooks about templates.

use std::collections::BTreeSet;
use std::sync::Arc;

use diesel_async::AsyncConnection;
use kernel::{Clock, WabaId};
use relay::Relay;
use storage::events::Event;
use storage::{AsyncPgConnection, Database, StorageError};
use tracing::info;
use whatsapp::webhook::model::{TemplateChange, TemplateNews};

use super::meters;
use crate::store::accounts::{self, Account};
use crate::store::news::{self, Piece};
use crate::store::schedules;
use crate::store::telling::{self, Whose};

/// Webhooks in one transaction at most.
const MOST: i64 = 200;

/// Takes news in; clones share it.
#[derive(Clone)]
pub(super) struct News {
    db: Database,
    relay: Relay,
    clock: Arc<dyn Clock>,
}

/// What a set of webhooks came to.
#[derive(Default)]
struct Acted {
    webhooks: usize,
    told: Vec<Event>,
}

impl News {
    pub(super) const fn new(db: Database, relay: Relay, clock: Arc<dyn Clock>) -> Self {
        Self { db, relay, clock }
    }

    /// Acts upon everything there is.
    pub(super) async fn act(&self) -> Result<(), StorageError> {
        loop {
            let mut conn = self.db.connection().await?;
            let acted = (*conn).transaction(async |tx| self.take(tx).await).await?;
            drop(conn);
            if acted.webhooks == 0 {
                return Ok(());
            }
            meters::news(acted.webhooks);
            info!(webhooks = acted.webhooks, "news about templates taken in");
            self.relay.publish(acted.told).await;
        }
    }

    async fn take(&self, tx: &mut AsyncPgConnection) -> Result<Acted, StorageError> {
        let pieces = news::take(tx, MOST).await?;
        let wabas: BTreeSet<String> = pieces.iter().map(|piece| piece.waba.clone()).collect();
        let mut acted = Acted { webhooks: pieces.len(), told: Vec::new() };
        if pieces.is_empty() {
            return Ok(acted);
        }
        let accounts = accounts::owners(tx, wabas.into_iter().collect()).await?;
        let mut unclear = BTreeSet::new();
        for account in accounts {
            let waba = WabaId::new(account.waba.clone());
            accounts::lock(tx, account.workspace, &waba).await?;
            for piece in pieces.iter().filter(|piece| concerns(piece, &account)) {
                let told = self.learn(tx, &account, piece).await?;
                match told {
                    Some(told) => acted.told.extend(told),
                    None => {
                        unclear.insert(account.connection);
                    }
                }
            }
        }
        let unclear: Vec<_> = unclear.into_iter().collect();
        schedules::ask(tx, &unclear, self.clock.now()).await?;
        Ok(acted)
    }

    /// Takes one webhook in; `None` when only a look at Meta can tell what it means.
    async fn learn(
        &self,
        tx: &mut AsyncPgConnection,
        account: &Account,
        piece: &Piece,
    ) -> Result<Option<Vec<Event>>, StorageError> {
        let Some(told) = TemplateNews::parse(&piece.item) else { return Ok(None) };
        if told.change == TemplateChange::Unclear {
            return Ok(None);
        }
        let (waba, now) = (WabaId::new(account.waba.clone()), self.clock.now());
        let known = news::lock(tx, account.workspace, &waba, &told.id).await?;
        let Some(mut known) = known else { return Ok(None) };
        let Some(turn) = known.learn(told.change, piece.at) else { return Ok(Some(Vec::new())) };
        news::write(tx, known, now).await?;
        let whose =
            Whose { workspace: account.workspace, waba: &waba, connection: account.connection };
        telling::tell(tx, whose, &[turn], now).await.map(Some)
    }
}

/// Whether a webhook is about an account of this workspace: a tenant's own app speaks for nobody else.
fn concerns(piece: &Piece, account: &Account) -> bool {
    piece.waba == account.waba
        && piece.app_workspace.is_none_or(|workspace| workspace == account.workspace)
}

//! A workspace with a connection, in a database of its own.

use chrono::{DateTime, Utc};
use diesel_async::SimpleAsyncConnection;
use kernel::ids::{ConnectionId, WorkspaceId};
use kernel::{Clock, PhoneNumberId, SystemClock, WaId, WabaId};
use storage::connections::{self, Limits, NewConnection};
use storage::contacts::Sighting;
use storage::{Pooled, workspaces};
use testkit::{TestDatabase, unique_name};

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) workspace: WorkspaceId,
    pub(crate) connection: ConnectionId,
}

impl World {
    pub(crate) async fn new() -> Self {
        let db = TestDatabase::create().await.unwrap();
        let mut conn = db.database().connection().await.unwrap();
        let workspace = workspaces::ensure(&mut conn, "Acme", now()).await.unwrap();
        let connection = ConnectionId::new();
        let new = NewConnection {
            id: connection,
            workspace_id: workspace,
            name: "Main".into(),
            phone_number_id: PhoneNumberId::new(unique_name()),
            waba_id: WabaId::new("104996122399160"),
            display_phone_number: None,
            access_token_sealed: vec![1],
            limits: Limits::default(),
        };
        connections::insert(&mut conn, new, now()).await.unwrap();
        drop(conn);
        Self { db, workspace, connection }
    }

    pub(crate) async fn conn(&self) -> Pooled {
        self.db.database().connection().await.unwrap()
    }

    pub(crate) async fn count(&self, what: &str) -> i64 {
        self.db.count(&format!("SELECT count(*) AS count FROM {what}")).await.unwrap()
    }

    pub(crate) async fn run(&self, statements: &str) {
        self.conn().await.batch_execute(statements).await.unwrap();
    }

    pub(crate) fn person(&self, number: &str) -> Sighting {
        Sighting {
            workspace_id: self.workspace,
            wa_id: Some(WaId::new(number)),
            user_id: None,
            name: Some("Lena".into()),
        }
    }
}

pub(crate) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

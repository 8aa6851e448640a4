//! Tenants' own apps: their addresses, their secrets, their workspaces.

use std::sync::Arc;

use chrono::TimeDelta;
use kernel::ids::{MetaAppId, WorkspaceId};
use kernel::{Clock, ManualClock, SystemClock};
use settings::SecretString;
use storage::meta_apps::{self, MetaApp};
use storage::sealed::Column;
use storage::{Database, workspaces};
use testkit::{TestDatabase, eventually};

use crate::bodies::messages;
use crate::client::Request;
use crate::stand::{PATH, SECRET, Setup, sealer, with_stand};

pub(crate) const TOKEN: &str = "token-of-a-tenant";
pub(crate) const TENANT_SECRET: &str = "first-secret-of-a-tenant";

/// Stores a workspace with an app; answers with both ids.
pub(crate) async fn tenant(database: &Database, slug: &str) -> (WorkspaceId, MetaAppId) {
    let (mut conn, now) = (database.connection().await.unwrap(), SystemClock.now());
    let workspace = workspaces::ensure(&mut conn, slug, now).await.unwrap();
    let seal = |column, text| sealer().seal(workspace, column, &SecretString::from(text)).unwrap();
    let app = MetaApp {
        id: MetaAppId::new(),
        workspace_id: workspace,
        slug: slug.to_owned(),
        verify_token_sealed: seal(Column::VerifyToken, TOKEN),
        secrets_sealed: vec![seal(Column::AppSecret, TENANT_SECRET)],
        created_at: now,
    };
    meta_apps::insert(&mut conn, &app, now).await.unwrap();
    (workspace, app.id)
}

fn body() -> Vec<u8> {
    messages("290184457761305", &["4915755512345"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apps_events_carry_its_workspace_and_no_other_secret_opens_its_door() {
    let database = TestDatabase::create().await.unwrap();
    let setup = Setup { database: database.database().clone(), ..Setup::default() };
    with_stand(setup, async move |stand| {
        let acme = format!("{PATH}/acme");
        let signed = async |path: &str, secret: &str| {
            Request::signed(path, secret, body()).send(stand.address).await.status
        };
        assert_eq!(signed(&acme, TENANT_SECRET).await, 404, "there is no such app yet");
        let (workspace, _) = tenant(database.database(), "acme").await;
        stand.knows(&acme, TOKEN).await;

        assert_eq!(signed(&acme, TENANT_SECRET).await, 200);
        let kept = stand.kept().await;
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].event.app_workspace_id, workspace.as_uuid().as_bytes().as_slice());

        assert_eq!(signed(&acme, SECRET).await, 401, "the default app's secret");
        assert_eq!(signed(PATH, TENANT_SECRET).await, 401, "a tenant's secret at the default door");
        assert_eq!(signed(&format!("{PATH}/ACME"), TENANT_SECRET).await, 404);
        assert_eq!(signed(PATH, SECRET).await, 200);
        let kept = stand.kept().await;
        assert_eq!(kept.len(), 1);
        assert!(kept[0].event.app_workspace_id.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_secret_is_rotated_both_are_believed_and_then_only_the_new_one() {
    let database = TestDatabase::create().await.unwrap();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let used: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let setup = Setup { database: database.database().clone(), clock: used, ..Setup::default() };
    with_stand(setup, async move |stand| {
        let path = format!("{PATH}/acme");
        let (workspace, app) = tenant(database.database(), "acme").await;
        stand.knows(&path, TOKEN).await;
        let signed = async |secret: &str| {
            Request::signed(&path, secret, body()).send(stand.address).await.status
        };
        let becomes = async |secret: &'static str, status: u16| {
            eventually("the secrets in force are known", async || {
                (signed(secret).await == status).then_some(())
            })
            .await;
        };
        assert_eq!(signed("second").await, 401);

        let second = SecretString::from("second");
        let sealed = sealer().seal(workspace, Column::AppSecret, &second).unwrap();
        let mut conn = database.database().connection().await.unwrap();
        let (now, retire) = (clock.now(), clock.now() + TimeDelta::hours(24));
        let rotated = meta_apps::rotate_secret(&mut conn, workspace, app, &sealed, retire, now);
        assert!(rotated.await.unwrap());
        becomes("second", 200).await;
        assert_eq!(signed(TENANT_SECRET).await, 200, "the old one, for a day");

        clock.advance(TimeDelta::hours(25));
        becomes(TENANT_SECRET, 401).await;
        assert_eq!(signed("second").await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_goes_on_being_used_while_the_database_is_away() {
    let database = TestDatabase::create().await.unwrap();
    let setup = Setup { database: database.database().clone(), ..Setup::default() };
    with_stand(setup, async move |stand| {
        let path = format!("{PATH}/acme");
        tenant(database.database(), "acme").await;
        stand.knows(&path, TOKEN).await;
        drop(database);
        for _ in 0..3 {
            // Each unknown app makes the door look again, in vain.
            let unknown = Request::signed(&format!("{PATH}/unknown"), SECRET, body());
            assert_eq!(unknown.send(stand.address).await.status, 404);
            let known = Request::signed(&path, TENANT_SECRET, body());
            assert_eq!(known.send(stand.address).await.status, 200);
        }
        assert_eq!(stand.kept().await.len(), 3);
    })
    .await;
}

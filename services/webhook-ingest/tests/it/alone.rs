//! The service as a process of its own.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use messaging::{Broker, BrokerOptions, Topology};
use service::Life;
use settings::{SecretString, Settings};
use testkit::{Servers, eventually, master_key, unique_name};
use tokio::time::timeout;

use crate::bodies::messages;
use crate::client::Request;
use crate::stand::{PATH, SECRET};

fn settings(listen: SocketAddr, prefix: &str) -> Settings {
    let servers = Servers::from_env();
    let mut settings = Settings::default();
    settings.http.listen = listen;
    settings.amqp.prefix = prefix.to_owned();
    settings.amqp.url = Some(servers.amqp_url.parse().unwrap());
    settings.redis.url = Some(servers.redis_url.parse().unwrap());
    settings.redis.namespace = unique_name();
    // Nothing listens there: the default app works all the same.
    settings.database.url = Some("postgres://nobody@127.0.0.1:1/nothing".parse().unwrap());
    settings.security.master_key = Some(master_key());
    settings.meta.app_secret = Some(SecretString::from(SECRET));
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_its_own_starts_without_database_serves_and_stops() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let prefix = format!("{}.", unique_name());
    let life = Life::default();
    webhook_ingest::run_alone(&life, settings(free, &prefix)).await.unwrap();
    eventually("ready", async || {
        (Request::new("GET", "/readyz").send(free).await.status == 200).then_some(())
    })
    .await;
    let body = messages("290184457761305", &["4915755512345"]);
    assert_eq!(Request::signed(PATH, SECRET, body).send(free).await.status, 200);

    life.stop();
    life.tasks().close();
    let stopped = timeout(Duration::from_secs(20), life.tasks().wait()).await;
    let url = Servers::from_env().amqp_url;
    let topology = Topology::default().with_prefix(prefix);
    Broker::delete_topology(&BrokerOptions::new(&url, topology, "ingest test").unwrap())
        .await
        .unwrap();
    assert!(stopped.is_ok(), "stopped in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_secret_stops_the_start() {
    let mut settings = settings(SocketAddr::from(([127, 0, 0, 1], 0)), &unique_name());
    // Nothing is declared at a broker that is not there.
    settings.amqp.url = Some("amqp://nobody@127.0.0.1:1/%2f".parse().unwrap());
    settings.meta.app_secret = Some(SecretString::from(""));
    let life = Life::default();
    let error = webhook_ingest::run_alone(&life, settings).await.unwrap_err();
    assert!(error.to_string().contains("meta.app_secret"), "{error:#}");
}

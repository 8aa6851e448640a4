//! A real listener, from its first connection to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use service::{Life, Listener, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn anywhere() -> Listener {
    Listener { name: "test", address: SocketAddr::from(([127, 0, 0, 1], 0)), workers: Some(1) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_hand_is_answered_after_the_stop_and_then_nobody_listens() {
    let life = Life::default();
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let shared = web::Data::new((Arc::clone(&begun), Arc::clone(&finish)));
    let address = serve(&life, anywhere(), move |config| {
        let slow = async |state: web::Data<(Arc<Notify>, Arc<Notify>)>| {
            state.0.notify_one();
            state.1.notified().await;
            "done"
        };
        config
            .app_data(web::Data::clone(&shared))
            .service(web::resource("/slow").route(web::get().to(slow)));
    })
    .unwrap();

    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(REQUEST).await.unwrap();
    timeout(PATIENCE, begun.notified()).await.unwrap();
    life.stop();
    life.tasks().close();
    timeout(PATIENCE, nobody_listens(address)).await.unwrap();
    assert!(!life.tasks().is_empty(), "the stop waits for the request");
    finish.notify_one();

    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("done"), "{answer}");
    timeout(PATIENCE, life.tasks().wait()).await.unwrap();
}

async fn nobody_listens(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_an_error_that_names_it() {
    let life = Life::default();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = serve(&life, Listener { address, ..anywhere() }, |_| ()).unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let life = Life::default();
    let address = serve(&life, anywhere(), |_| ()).unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");

    life.stop();
    life.tasks().close();
    timeout(PATIENCE, life.tasks().wait()).await.unwrap();
}

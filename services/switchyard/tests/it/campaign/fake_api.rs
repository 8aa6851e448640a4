//! An HTTP API that answers what a test says, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Asked {
    /// Method and target, as in a request's first line.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// Status and body of an answer.
pub(crate) type Answer = (u16, String);

type Answers = Mutex<Box<dyn FnMut(&Asked) -> Answer + Send>>;

pub(crate) struct FakeApi {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeApi {
    pub(crate) async fn start(answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer: Box<dyn FnMut(&Asked) -> Answer + Send> = Box::new(answer);
        let (log, answers) = (Arc::clone(&asked), Arc::new(Mutex::new(answer)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
                tokio::spawn(async move { serve(stream, &log, &answers).await });
            }
        });
        Self { url, asked }
    }

    /// Nobody listens there.
    pub(crate) fn nobody() -> Self {
        Self { url: "http://127.0.0.1:1".to_owned(), asked: Arc::default() }
    }

    /// Answers every request alike.
    pub(crate) async fn always(status: u16, body: &Value) -> Self {
        let body = body.to_string();
        Self::start(move |_| (status, body.clone())).await
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }
}

/// One request to a connection.
async fn serve(stream: TcpStream, log: &Mutex<Vec<Asked>>, answers: &Answers) {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines[0].split(' ').map(str::to_owned);
    let headers: HashMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let asked = Asked {
        method: first.next().unwrap(),
        target: first.next().unwrap(),
        headers,
        body: String::from_utf8(body).unwrap(),
    };
    let (status, body) = (answers.lock().unwrap())(&asked);
    log.lock().unwrap().push(asked);
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nretry-after: 7\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.ok();
}

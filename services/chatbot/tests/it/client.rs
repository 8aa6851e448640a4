//! Calls the API in process, with a key of one workspace.

use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{Data, ServiceConfig};
use chatbot::Chatbot;
use futures_util::future::BoxFuture;
use kernel::SystemClock;
use kernel::ids::{ApiKeyId, WorkspaceId};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use service::auth::{MintedKey, mint};
use service::{Auth, KeyStore, Role, StoredKey};

pub(crate) struct Client {
    chatbot: Chatbot,
    key: Arc<Key>,
}

struct Key {
    minted: MintedKey,
    stored: StoredKey,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

struct OneKey(Arc<Key>);

impl KeyStore for OneKey {
    fn find(&self, id: ApiKeyId) -> BoxFuture<'_, anyhow::Result<Option<StoredKey>>> {
        let found = (id == self.0.minted.id).then_some(self.0.stored);
        Box::pin(async move { Ok(found) })
    }
}

impl Client {
    pub(crate) fn new(chatbot: &Chatbot, workspace: WorkspaceId) -> Self {
        Self::of_role(chatbot, workspace, Role::Marketer)
    }

    pub(crate) fn of_role(chatbot: &Chatbot, workspace: WorkspaceId, role: Role) -> Self {
        let minted = mint();
        let stored = StoredKey {
            workspace,
            role,
            secret_sha256: minted.secret_sha256,
            expires_at: None,
            revoked_at: None,
        };
        Self { chatbot: chatbot.clone(), key: Arc::new(Key { minted, stored }) }
    }

    /// Makes something and returns its id.
    pub(crate) async fn created(&self, path: &str, body: Value) -> String {
        let answer = self.call(Method::POST, path, body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Value::Null).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        self.call_with(method, path, body, None).await
    }

    pub(crate) async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Value,
        if_match: Option<&str>,
    ) -> Answer {
        let (chatbot, key) = (self.chatbot.clone(), Arc::clone(&self.key));
        let routes = move |config: &mut ServiceConfig| {
            let store = Arc::new(OneKey(Arc::clone(&key)));
            config.app_data(Data::new(Auth::new(store, Arc::new(SystemClock))));
            chatbot.routes(config);
        };
        let app = init_service(service::app(&routes)).await;
        let authorization = format!("Bearer {}", self.key.minted.text.expose_secret());
        let mut request = TestRequest::default()
            .method(method)
            .uri(path)
            .insert_header(("request-id", "req_0123456789"))
            .insert_header(("authorization", authorization));
        if let Some(etag) = if_match {
            request = request.insert_header(("if-match", etag));
        }
        if !body.is_null() {
            request = request.set_json(body);
        }
        let response = match try_call_service(&app, request.to_request()).await {
            Ok(response) => response.into_parts().1,
            Err(error) => error.error_response(),
        };
        let status = response.status().as_u16();
        let shown = ["etag", "link", "location"].into_iter().filter_map(|name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some((name.to_owned(), value.to_owned()))
        });
        let headers = shown.collect();
        let body = to_bytes(response.into_body()).await.unwrap_or_default();
        Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or(json!(null)) }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// For a snapshot: ids are numbered, times and cursors masked.
    pub(crate) fn shown(&self) -> String {
        let mut shown = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            shown.push_str(&format!("{name}: {value}\n"));
        }
        masked(&format!("{shown}\n{:#}\n", self.body))
    }
}

fn masked(text: &str) -> String {
    let ids = regex::Regex::new("(bot|rul|cnx)_[0-9a-f]{32}").unwrap();
    let mut known: Vec<String> = Vec::new();
    let masked = ids.replace_all(text, |found: &regex::Captures<'_>| {
        let position = known.iter().position(|id| *id == found[0]).unwrap_or_else(|| {
            known.push(found[0].to_owned());
            known.len() - 1
        });
        format!("{}_<{}>", &found[1], position + 1)
    });
    let times = regex::Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z").unwrap();
    let masked = times.replace_all(&masked, "<time>");
    let cursors = regex::Regex::new(r#"(cursor=|"next_cursor": ")[\w-]+"#).unwrap();
    cursors.replace_all(&masked, "$1<cursor>").into_owned()
}

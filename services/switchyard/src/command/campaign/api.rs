//! Calls the HTTP API, and says how to mend what it refuses.
//!
//! Invariant: the key goes into one header of requests to the address that was given, and nowhere else:
//! redirects are not followed.

use std::path::Path;
use std::time::Duration;

use kernel::ids::CampaignId;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use url::Url;

use super::model::{Campaign, Seen};
use crate::cli::campaign::Reach;
use crate::exit::{Exit, Failure, OrFix};

/// How long the API may take to say anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Things on a page, at most (HTTP API, lists).
const PAGE: usize = 200;
const GIVE_A_KEY: &str = "put a key into a file (switchyard keys create --workspace NAME --role marketer > key), \
                          then: --api-key-file key";

/// The API, as one key sees it.
pub(in crate::command) struct Api {
    http: reqwest::Client,
    base: Url,
    key: SecretString,
}

/// Why a call failed.
#[derive(Debug, Error)]
pub(in crate::command) enum ApiError {
    /// There was no answer.
    #[error("{base} does not answer")]
    Away {
        base: Url,
        #[source]
        cause: reqwest::Error,
    },
    /// The API said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The answer is not what this API answers.
    #[error("{base} answers something else than this API")]
    Strange {
        base: Url,
        #[source]
        cause: serde_json::Error,
    },
    /// There is no campaign of this name.
    #[error("no campaign is called '{name}'")]
    NoSuchName { name: String },
    /// The name stands for several.
    #[error("{} campaigns are called '{name}': {}", ids.len(), ids.join(", "))]
    Ambiguous { name: String, ids: Vec<String> },
}

/// How the API said no.
#[derive(Debug, Error)]
#[error("{detail}{}", self.pointed())]
pub(in crate::command) struct Refusal {
    status: u16,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<String>,
    /// What is at it already.
    existing: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
    errors: Vec<FieldError>,
    existing: Option<Existing>,
}

#[derive(Debug, Deserialize)]
struct Existing {
    id: String,
}

#[derive(Debug, Deserialize)]
struct FieldError {
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    detail: String,
}

impl Refusal {
    fn pointed(&self) -> String {
        let each = self.errors.iter().map(|error| match error.pointer.as_str() {
            "" => format!(" {}", error.detail),
            pointer => format!(" {pointer}: {}", error.detail),
        });
        each.collect()
    }
}

impl ApiError {
    /// Whether the same call may be answered in a moment.
    pub(in crate::command) fn is_transient(&self) -> bool {
        match self {
            Self::Away { .. } => true,
            Self::Refused(refusal) => matches!(refusal.status, 429 | 500..=599),
            Self::Strange { .. } | Self::NoSuchName { .. } | Self::Ambiguous { .. } => false,
        }
    }

    /// The HTTP status of a refusal.
    pub(in crate::command) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::Away { .. }
            | Self::Strange { .. }
            | Self::NoSuchName { .. }
            | Self::Ambiguous { .. } => None,
        }
    }

    /// What is at it already, when the API refused for that.
    pub(in crate::command) fn existing(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.existing.as_deref(),
            Self::Away { .. }
            | Self::Strange { .. }
            | Self::NoSuchName { .. }
            | Self::Ambiguous { .. } => None,
        }
    }

    fn end(&self) -> (Exit, String) {
        let look = "see which there are: switchyard campaign ls".to_owned();
        match self {
            Self::Away { cause, .. } => {
                let exit = if cause.is_timeout() { Exit::TimedOut } else { Exit::Failed };
                (exit, "start the API, or say where it is: --url (SWITCHYARD_URL)".to_owned())
            }
            Self::Strange { .. } => {
                (Exit::Failed, "say where the API is: --url (SWITCHYARD_URL)".to_owned())
            }
            Self::NoSuchName { .. } => (Exit::NotFound, look),
            Self::Ambiguous { .. } => (Exit::Conflict, "name one by its id".to_owned()),
            Self::Refused(refusal) => match refusal.status {
                400 | 422 => (Exit::Usage, "correct what is named above".to_owned()),
                401 => (Exit::NotAllowed, GIVE_A_KEY.to_owned()),
                403 => (
                    Exit::NotAllowed,
                    "use a key whose role may do this: switchyard keys create --role marketer"
                        .to_owned(),
                ),
                404 => (Exit::NotFound, look),
                409 | 412 => {
                    (Exit::Conflict, "look at it, then decide: switchyard campaign show".to_owned())
                }
                429 => {
                    let wait = refusal.retry_after.as_deref().unwrap_or("some");
                    (Exit::TimedOut, format!("wait {wait} seconds, then try again"))
                }
                _ => (Exit::Failed, "try again; nothing was changed".to_owned()),
            },
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let (exit, fix) = error.end();
        Self::new(error, fix).with(exit)
    }
}

impl Api {
    /// Reads the key; calls nothing yet.
    pub(in crate::command) fn new(reach: &Reach) -> Result<Self, Failure> {
        let mut base = reach.url.clone();
        if !matches!(base.scheme(), "http" | "https") {
            let problem = anyhow::anyhow!("{base} is not an HTTP address");
            return Err(Failure::new(problem, "write --url http://HOST:PORT").with(Exit::Usage));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .build()
            .or_fix("try again; if it stays, report it")?;
        Ok(Self { http, base, key: key(reach.api_key_file.as_deref())? })
    }

    /// A campaign by id, or by its exact name.
    pub(super) async fn find(&self, named: &str) -> Result<Seen, ApiError> {
        if named.parse::<CampaignId>().is_ok() {
            return self.campaign(Method::GET, named, "", None).await;
        }
        let query = [("q", named.to_owned())];
        let found = self.list("v1/campaigns", &query, usize::MAX).await?;
        let mut seen = Vec::new();
        for document in found.things {
            let one = self.read_campaign(document)?;
            if one.campaign.name == named {
                seen.push(one);
            }
        }
        let name = named.to_owned();
        match (seen.pop(), seen.as_slice()) {
            (Some(one), []) => Ok(one),
            (None, _) => Err(ApiError::NoSuchName { name }),
            (Some(last), others) => {
                let ids = others.iter().map(|one| one.campaign.id.clone());
                Err(ApiError::Ambiguous { name, ids: ids.chain([last.campaign.id]).collect() })
            }
        }
    }

    /// Reads a campaign, or does `/verb` with it; both answer with how it is now.
    pub(super) async fn campaign(
        &self,
        method: Method,
        id: &str,
        verb: &str,
        body: Option<&Value>,
    ) -> Result<Seen, ApiError> {
        let document = self.json(method, &format!("v1/campaigns/{id}{verb}"), &[], body).await?;
        self.read_campaign(document)
    }

    /// Reads a campaign out of an answer.
    pub(super) fn read_campaign(&self, document: Value) -> Result<Seen, ApiError> {
        match Campaign::deserialize(&document) {
            Ok(campaign) => Ok(Seen { document, campaign }),
            Err(cause) => Err(ApiError::Strange { base: self.base.clone(), cause }),
        }
    }

    /// The first `most` things of a list, page by page.
    pub(in crate::command) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        most: usize,
    ) -> Result<Listed, ApiError> {
        let mut listed = Listed { things: Vec::new(), has_more: true };
        let mut cursor = None;
        while listed.has_more && listed.things.len() < most {
            let limit = PAGE.min(most - listed.things.len());
            let mut query = query.to_vec();
            query.push(("limit", limit.to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let document = self.json(Method::GET, path, &query, None).await?;
            let page = Page::deserialize(document)
                .map_err(|cause| ApiError::Strange { base: self.base.clone(), cause })?;
            listed.things.extend(page.data);
            listed.has_more = page.has_more && page.next_cursor.is_some();
            cursor = page.next_cursor;
        }
        Ok(listed)
    }

    /// Calls, and reads the JSON of the answer.
    pub(in crate::command) async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let response = self.call(method, path, query, body, "application/json").await?;
        self.read_json(response).await
    }

    async fn read_json(&self, response: Response) -> Result<Value, ApiError> {
        let bytes = response.bytes().await.map_err(|cause| self.away(cause))?;
        serde_json::from_slice(&bytes)
            .map_err(|cause| ApiError::Strange { base: self.base.clone(), cause })
    }

    /// Sends a form with this boundary, and reads the JSON of the answer.
    pub(in crate::command) async fn send_form(
        &self,
        path: &str,
        boundary: &str,
        form: Body,
    ) -> Result<Value, ApiError> {
        let kind = format!("multipart/form-data; boundary={boundary}");
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, kind).body(form);
        self.read_json(self.send(request).await?).await
    }

    /// Calls; an answer that is no success is an error.
    pub(in crate::command) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
        accept: &str,
    ) -> Result<Response, ApiError> {
        let mut request = self.request(method, path).query(query).header(ACCEPT, accept);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        self.http.request(method, url).bearer_auth(self.key.expose_secret())
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let response = request.send().await.map_err(|cause| self.away(cause))?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(ApiError::Refused(refusal(response).await)),
        }
    }

    /// The connection broke.
    pub(in crate::command) fn away(&self, cause: reqwest::Error) -> ApiError {
        ApiError::Away { base: self.base.clone(), cause: cause.without_url() }
    }
}

/// The first things of a list.
pub(in crate::command) struct Listed {
    pub(in crate::command) things: Vec<Value>,
    /// Whether there are others behind them.
    pub(in crate::command) has_more: bool,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Value>,
    #[serde(default)]
    has_more: bool,
    next_cursor: Option<String>,
}

async fn refusal(response: Response) -> Refusal {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    // What is no problem document came from something in between: its status says most.
    let body = response.bytes().await.unwrap_or_default();
    let problem = serde_json::from_slice::<Problem>(&body).unwrap_or_default();
    let detail = match problem.detail.as_str() {
        "" => plain(status),
        detail => detail.to_owned(),
    };
    let existing = problem.existing.map(|existing| existing.id);
    Refusal { status: status.as_u16(), detail, errors: problem.errors, retry_after, existing }
}

fn plain(status: StatusCode) -> String {
    format!("the answer is {status}")
}

fn key(file: Option<&Path>) -> Result<SecretString, Failure> {
    let Some(file) = file else {
        let problem = anyhow::anyhow!("there is no API key");
        return Err(Failure::new(problem, GIVE_A_KEY).with(Exit::Usage));
    };
    let unfit = |problem: anyhow::Error| Failure::new(problem, GIVE_A_KEY).with(Exit::Usage);
    let text = std::fs::read_to_string(file)
        .map_err(|error| unfit(anyhow::Error::new(error).context(file.display().to_string())))?;
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unfit(anyhow::anyhow!("{} does not hold an API key", file.display())));
    }
    Ok(SecretString::from(key))
}

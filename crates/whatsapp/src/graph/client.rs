//! The HTTP client.
//!
//! Invariant: one call of [`GraphClient::send`] makes at most one request: no redirect is followed and
//! nothing is retried here, because only the ledger knows whether a repeat is safe.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, redirect, retry};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use url::Url;

use super::GraphSetupError;
use super::answer::read_answer;
use super::fence::{Fence, FencedBody, Passage};
use super::metrics::Metrics;
use super::outcome::{DoubtReason, NotSentReason, SendOutcome};
use super::request::SendRequest;

/// More than any answer to a send; a longer one is not from Meta.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// How to reach the Graph API.
#[derive(Clone, Debug)]
pub struct GraphOptions {
    /// The root, without the version: `https://graph.facebook.com`, or a simulator.
    pub base_url: Url,
    /// The version in every path, for instance `v25.0`.
    pub api_version: String,
    /// Time to make a connection, TLS included.
    pub connect_timeout: Duration,
    /// Time for a whole request, from the first look at the connection pool to the answer's last byte.
    /// The send's own deadline must be shorter.
    pub timeout: Duration,
    /// How long an unused connection is kept: less than Meta keeps it, or requests meet closed ones.
    pub pool_idle_timeout: Duration,
}

impl GraphOptions {
    /// The defaults, with the Graph API at `base_url`.
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            api_version: "v25.0".to_owned(),
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(15),
            pool_idle_timeout: Duration::from_secs(20),
        }
    }
}

/// Sends messages through the Graph API. Cheap to share; holds the connection pool.
pub struct GraphClient {
    pub(super) http: reqwest::Client,
    /// The base URL with the version.
    pub(super) root: Url,
    pub(super) metrics: Metrics,
}

impl GraphClient {
    /// Builds the client; nothing is connected yet. Installs the TLS provider if none is installed,
    /// and registers the metrics, so the recorder must be in place.
    ///
    /// # Errors
    /// When the base URL is no HTTP address, or the machine has no CA certificates for `https`.
    pub fn new(options: &GraphOptions) -> Result<Self, GraphSetupError> {
        super::install_tls();
        let base = &options.base_url;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(GraphSetupError::BaseUrl);
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .timeout(options.timeout)
            .pool_idle_timeout(options.pool_idle_timeout)
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy();
        if base.scheme() == "http" {
            // A simulator: must work on a machine without any CA certificates.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            http: builder.build().map_err(GraphSetupError::Client)?,
            root: below(base, &[&options.api_version]),
            metrics: Metrics::register(base.host_str().unwrap_or_default().to_owned()),
        })
    }

    /// Makes one try to send one message and says what is certain afterwards.
    ///
    /// The future must be run to its end: dropping it leaves the message in doubt.
    pub async fn send(&self, request: SendRequest<'_>) -> SendOutcome {
        let span = info_span!(
            "POST graph messages",
            otel.kind = "client",
            http.response.status_code = Empty,
            meta.code = Empty,
            meta.fbtrace_id = Empty,
        );
        self.post(request).instrument(span).await
    }

    async fn post(&self, request: SendRequest<'_>) -> SendOutcome {
        let json = match request.to_json() {
            Ok(json) => Bytes::from(json),
            Err(error) => {
                return SendOutcome::NotSent { why: NotSentReason::Unbuildable(error) };
            }
        };
        let (body, fence) = FencedBody::new(json, request.deadline, request.cancelled);
        let started = Instant::now();
        let answer = self
            .http
            .post(below(&self.root, &[request.phone_number_id.as_str(), "messages"]))
            .bearer_auth(request.token.expose_secret())
            .header(CONTENT_TYPE, "application/json")
            .body(reqwest::Body::wrap(body))
            .send()
            .await;
        let status = answer.as_ref().ok().map(|response| response.status().as_u16());
        let outcome = match answer {
            Ok(response) => read(response).await,
            Err(error) => without_answer(error.without_url(), &fence),
        };
        self.record(status, started.elapsed(), &outcome);
        outcome
    }

    fn record(&self, status: Option<u16>, took: Duration, outcome: &SendOutcome) {
        self.metrics.request(status, took);
        let span = Span::current();
        if let Some(status) = status {
            span.record("http.response.status_code", status);
        }
        if let SendOutcome::Rejected(error)
        | SendOutcome::Doubt { why: DoubtReason::Answered(error), .. } = outcome
        {
            self.metrics.error(error.code);
            span.record("meta.code", error.code);
            if let Some(trace) = &error.fbtrace_id {
                span.record("meta.fbtrace_id", trace);
            }
        }
    }
}

/// `url` with more segments, each escaped.
pub(super) fn below(url: &Url, segments: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// What is certain when there is no answer.
fn without_answer(error: reqwest::Error, fence: &Fence) -> SendOutcome {
    // Closed first: what is not handed over by now never will be.
    let passage = fence.close();
    let why = match passage {
        Passage::Held(why) => NotSentReason::HeldBack(why),
        _ if error.is_connect() => NotSentReason::NoConnection(error),
        Passage::Unasked => NotSentReason::NothingTaken(error),
        Passage::HandedOver => return SendOutcome::Doubt { why: lost(error), soft: false },
    };
    SendOutcome::NotSent { why }
}

fn lost(error: reqwest::Error) -> DoubtReason {
    if error.is_timeout() {
        DoubtReason::TimedOut(error)
    } else {
        DoubtReason::ConnectionLost(error)
    }
}

/// How long Meta asks to wait.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?;
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

async fn read(mut response: Response) -> SendOutcome {
    let http_status = response.status().as_u16();
    let retry_after = retry_after(&response);
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(part)) if body.len() + part.len() <= ANSWER_MAX_BYTES => {
                body.extend_from_slice(&part);
            }
            Ok(Some(_)) => {
                let why = DoubtReason::Unreadable { http_status };
                return SendOutcome::Doubt { why, soft: false };
            }
            Ok(None) => return read_answer(http_status, retry_after, &body),
            Err(error) => {
                return SendOutcome::Doubt { why: lost(error.without_url()), soft: false };
            }
        }
    }
}

//! Campaigns as a client of the API sees them, and a recount of them that shares nothing with the
//! product.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::eventually_within;
use url::Url;

use crate::installation::Installation;

/// A client of the API that takes one process after the other, as behind a load balancer.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    key: String,
    doors: Arc<Mutex<Vec<Url>>>,
    next: Arc<AtomicUsize>,
}

/// A campaign that was made.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub(crate) id: String,
    /// Of the campaign and of its template, so that Meta's side can tell campaigns apart.
    pub(crate) name: &'static str,
    pub(crate) recipients: usize,
}

impl Client {
    pub(crate) fn of(installation: &Installation) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3));
        let this = Self {
            http: http.build().unwrap(),
            key: installation.key.clone(),
            doors: Arc::default(),
            next: Arc::default(),
        };
        this.point_to(installation);
        this
    }

    /// Learns where the processes are now.
    pub(crate) fn point_to(&self, installation: &Installation) {
        *self.doors.lock().unwrap() = installation.urls();
    }

    /// One try; `None` when nobody answers.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(StatusCode, Value)> {
        self.try_once(method, path, body).await.ok()
    }

    /// One try; the error says whether anything may have been heard.
    pub(crate) async fn try_once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), reqwest::Error> {
        let door = {
            let doors = self.doors.lock().unwrap();
            doors[self.next.fetch_add(1, Ordering::Relaxed) % doors.len()].clone()
        };
        let request = self.http.request(method, door.join(path).unwrap()).bearer_auth(&self.key);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or(Value::Null)))
    }

    /// Tries until it is answered with success.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let what = format!("{method} {path} succeeds");
        let mut last = None;
        eventually_within(Duration::from_secs(60), &what, async || {
            let answer = self.call(method.clone(), path, body).await;
            let status = answer.as_ref().map(|(status, _)| *status);
            if status != last && !status.is_some_and(|status| status.is_success()) {
                println!("{method} {path}: {answer:?}");
            }
            last = status;
            answer.filter(|(status, _)| status.is_success()).map(|(_, body)| body)
        })
        .await
    }

    /// A draft for people with the numbers `4915200000000 + first` and on.
    pub(crate) async fn draft(
        &self,
        connection: &str,
        name: &'static str,
        on_uncertain: &str,
        people: std::ops::Range<usize>,
    ) -> Campaign {
        let template = json!({
            "name": name, "language": "en", "params": {"body": ["{{name|friend}}"]},
        });
        let campaign = json!({
            "name": name, "connection": connection, "template": template,
            "audience": {"upload": true}, "on_uncertain": on_uncertain,
        });
        let (status, created) =
            self.call(Method::POST, "v1/campaigns", Some(&campaign)).await.unwrap();
        assert_eq!(status, 201, "{created}");
        let id = created["id"].as_str().unwrap().to_owned();
        let recipients = people.len();
        self.upload(&id, people).await;
        Campaign { id, name, recipients }
    }

    async fn upload(&self, campaign: &str, people: std::ops::Range<usize>) {
        let lines: Vec<String> = people.map(|person| format!("+{}", number(person))).collect();
        let path = format!("v1/campaigns/{campaign}/audience/file");
        let door = self.doors.lock().unwrap()[0].join(&path).unwrap();
        let request = self.http.put(door).bearer_auth(&self.key).header("content-type", "text/csv");
        let body = format!("phone\n{}\n", lines.join("\n"));
        let answer = request.timeout(Duration::from_secs(60)).body(body).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{path}: {status} {}", answer.text().await.unwrap());
    }

    pub(crate) async fn act(&self, campaign: &Campaign, verb: &str) -> Value {
        self.ask(Method::POST, &format!("v1/campaigns/{}/{verb}", campaign.id), None).await
    }

    pub(crate) async fn show(&self, campaign: &Campaign) -> Option<Value> {
        let path = format!("v1/campaigns/{}", campaign.id);
        let (status, shown) = self.call(Method::GET, &path, None).await?;
        status.is_success().then_some(shown)
    }
}

/// The digits of a person's number.
pub(crate) fn number(person: usize) -> String {
    format!("49152{person:08}")
}

/// The counts of a campaign as the API shows them.
pub(crate) fn counts(shown: &Value) -> BTreeMap<&str, i64> {
    let counts = shown["counts"].as_object().unwrap();
    counts.iter().map(|(name, n)| (name.as_str(), n.as_i64().unwrap())).collect()
}

/// Sees that the numbers shown add up and none is below zero.
pub(crate) fn adds_up(shown: &Value) {
    let counts = counts(shown);
    let parts = ["pending", "in_flight", "accepted", "failed", "skipped", "uncertain", "expired"];
    let sum: i64 = parts.iter().map(|part| counts[part]).sum();
    assert_eq!(sum, counts["total"], "{shown}");
    assert!(counts.values().all(|n| *n >= 0), "{shown}");
}

/// What a recount of all rows, in one snapshot, finds to be counted wrongly.
const RECOUNT: &str = "
    WITH rows AS (
        SELECT r.campaign_id, CASE
            WHEN o.state IN ('accepted', 'failed') THEN o.state
            WHEN o.state = 'unknown' THEN 'uncertain'
            WHEN o.state = 'cancelled' OR r.skip_reason IS NOT NULL THEN 'skipped'
            WHEN o.id IS NULL AND c.state = 'cancelled' THEN 'skipped'
            ELSE 'open' END AS state
        FROM campaign_recipients r
        LEFT JOIN campaign_chunks c USING (campaign_id, chunk)
        LEFT JOIN outbound_messages o ON o.id = r.id),
    truth AS (
        SELECT campaign_id, state, count(*) AS n FROM rows WHERE state <> 'open' GROUP BY 1, 2
        UNION ALL SELECT campaign_id, 'total', count(*) FROM rows GROUP BY 1),
    counted AS (
        SELECT campaign_id, state, sum(n)::bigint AS n FROM campaign_counts
        WHERE state IN ('accepted', 'failed', 'skipped', 'uncertain') GROUP BY 1, 2
        UNION ALL SELECT id, 'total', total FROM campaigns)
    SELECT string_agg(format('%s: %s counted, %s there', state, counted.n, truth.n), ', ') AS text
    FROM truth FULL JOIN counted USING (campaign_id, state)
    WHERE COALESCE(truth.n, 0) <> COALESCE(counted.n, 0)";

/// Sees that the counts kept are those a recount finds; `false` when PostgreSQL does not answer.
pub(crate) async fn is_recounted(installation: &Installation) -> bool {
    let Ok(wrong) = installation.db.text(RECOUNT).await else { return false };
    assert_eq!(wrong, "", "counts and rows differ");
    true
}

//! The first chapter: one message, delivered three times, answered once.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use graph_simulator::signature;
use kernel::{Clock, SystemClock};
use serde_json::json;
use storage::StorageError;
use tokio::time::sleep;

use super::Teller;
use super::look::{self, Moment};
use super::proof::Proof;
use super::stage::{ADA, NUMBER, Stage};
use crate::exit::{DATABASE_AWAY, Failure, OrFix};
use crate::screen::Tone;

/// Meta comes again soon when it has not seen the answer.
const LATER: Duration = Duration::from_millis(600);
/// Far more than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

const READ: &str = "SELECT count(*) FROM events WHERE type = 'message.read'";

/// One line of the trace.
struct Seen {
    at: DateTime<Utc>,
    stage: &'static str,
    what: String,
    note: String,
    tone: Tone,
}

/// Delivers the message three times and shows what became of each.
pub(super) async fn tell(teller: Teller, stage: &Stage) -> Result<Proof, Failure> {
    teller.title("1. One message, delivered three times");
    let begun = Instant::now();
    let body = webhook();
    let (trace, suppressions) = tokio::join!(deliver(stage, &body), watch_suppressed(2));
    let (mut trace, acknowledged) = trace?;
    trace.extend(suppressions);
    let replied = stage.simulator.wait_until_sent(1, PATIENCE).await;
    replied.or_fix("run it with -v and report what it logs")?;
    stage.simulator.wait_until_delivered(PATIENCE).await.or_fix("run it again with -v")?;
    wait_until_read(stage).await.or_fix(DATABASE_AWAY)?;
    for sent in stage.simulator.sent_to(ADA) {
        let reply = sent.text.unwrap_or_default();
        trace.push(seen(sent.at, "send", &format!("Meta took \"{reply}\""), Tone::Strong));
    }
    let moments = look::moments(&stage.db).await.or_fix(DATABASE_AWAY)?;
    trace.extend(moments.iter().filter_map(known));
    trace.sort_by_key(|seen| seen.at);
    for seen in &trace {
        show(teller, seen);
    }
    teller.say("");
    let mut proof = prove(stage, acknowledged).await.or_fix(DATABASE_AWAY)?;
    proof.took_ms = begun.elapsed().as_millis();
    proof.show(teller);
    Ok(proof)
}

/// The webhook as Meta sends it.
fn webhook() -> Vec<u8> {
    let now = SystemClock.now().timestamp();
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "493055501200", "phone_number_id": NUMBER },
        "contacts": [{ "profile": { "name": "Ada" }, "wa_id": ADA }],
        "messages": [{
            "from": ADA, "id": format!("wamid.DEMO{now}"), "timestamp": now.to_string(),
            "type": "text", "text": { "body": "test" },
        }],
    });
    let entry =
        json!({ "id": "104996122399160", "changes": [{ "field": "messages", "value": value }] });
    json!({ "object": "whatsapp_business_account", "entry": [entry] }).to_string().into_bytes()
}

/// Twice at the same moment, and once more later; also says how many were answered 200.
async fn deliver(stage: &Stage, body: &[u8]) -> Result<(Vec<Seen>, i64), Failure> {
    let (first, second) = tokio::join!(
        post(stage, body, "\"test\" from Ada"),
        post(stage, body, "the same, at the same moment"),
    );
    sleep(LATER).await;
    let third = post(stage, body, "the same, 600 ms later").await;
    let (mut posts, mut acknowledged) = (Vec::new(), 0);
    for post in [first, second, third] {
        let (seen, is_acknowledged) = post?;
        posts.push(seen);
        acknowledged += i64::from(is_acknowledged);
    }
    Ok((posts, acknowledged))
}

async fn post(stage: &Stage, body: &[u8], what: &str) -> Result<(Seen, bool), Failure> {
    let begun = Instant::now();
    let request = stage
        .http
        .post(stage.door())
        .header("content-type", "application/json")
        .header("x-hub-signature-256", signature(&stage.app_secret, body))
        .body(body.to_vec());
    let at = SystemClock.now();
    let answer = request.send().await.or_fix("run it with -v and report what it logs")?;
    let took = begun.elapsed().as_secs_f64() * 1_000.0;
    let note = format!("{} after {took:.1} ms", answer.status().as_u16());
    let is_acknowledged = answer.status() == 200;
    let tone = if is_acknowledged { Tone::Plain } else { Tone::Bad };
    Ok((Seen { note, ..seen(at, "webhook", what, tone) }, is_acknowledged))
}

/// Notes when copies are suppressed, until there are `most`.
async fn watch_suppressed(most: i64) -> Vec<Seen> {
    let begun = Instant::now();
    let mut copies = Vec::new();
    let mut known = 0;
    while known < most && begun.elapsed() < PATIENCE {
        if known < look::suppressed() {
            known += 1;
            let what = format!("copy {} suppressed", known + 1);
            let note = "the ledger knows it".to_owned();
            copies.push(Seen { note, ..seen(SystemClock.now(), "inbound", &what, Tone::Warn) });
        } else {
            sleep(LOOK).await;
        }
    }
    copies
}

async fn wait_until_read(stage: &Stage) -> Result<(), StorageError> {
    let begun = Instant::now();
    while look::count(&stage.db, READ).await? == 0 && begun.elapsed() < PATIENCE {
        sleep(LOOK).await;
    }
    Ok(())
}

/// What the product noted, in words; nothing for what is said elsewhere.
fn known(moment: &Moment) -> Option<Seen> {
    let (stage, what) = match moment.what.as_str() {
        "contact.created" => ("inbound", "Ada is a new contact"),
        "conversation.opened" => ("inbound", "a conversation begins"),
        "message.received" => ("inbound", "her message is stored"),
        "bot.replied" => ("bot", "rule \"test\" matched: its one turn"),
        "message.sent" => ("status", "sent"),
        "message.delivered" => ("status", "delivered"),
        "message.read" => ("status", "read"),
        _ => return None,
    };
    Some(seen(moment.at, stage, what, Tone::Plain))
}

fn seen(at: DateTime<Utc>, stage: &'static str, what: &str, tone: Tone) -> Seen {
    Seen { at, stage, what: what.to_owned(), note: String::new(), tone }
}

fn show(teller: Teller, seen: &Seen) {
    let time = teller.tint(Tone::Faint, &seen.at.format("%H:%M:%S%.3f").to_string());
    let what = teller.tint(seen.tone, &format!("{:<38}", seen.what));
    teller.say(format!("  {time}  {:<8}  {what}  {}", seen.stage, seen.note).trim_end());
}

async fn prove(stage: &Stage, acknowledged: i64) -> Result<Proof, StorageError> {
    let count = async |sql: &str| look::count(&stage.db, sql).await;
    let contacts = count("SELECT count(*) FROM contacts").await?;
    let conversations = count("SELECT count(*) FROM conversations").await?;
    let stored = count("SELECT count(*) FROM messages WHERE direction = 'inbound'").await?;
    let turns = count("SELECT count(*) FROM bot_turns").await?;
    let received = i64::try_from(stage.simulator.sent_to(ADA).len()).unwrap_or(i64::MAX);
    let read = count(READ).await?;
    let mut proof = Proof::default();
    proof.add("webhooks answered 200", Some(3), (3, acknowledged), "");
    proof.add("contacts", None, (1, contacts), "");
    proof.add("conversations", None, (1, conversations), "");
    let note = format!("{} copies suppressed", look::suppressed());
    proof.add("messages stored", Some(3), (1, stored), note);
    proof.add("bot turns", None, (1, turns), "");
    let note = if received == 1 { "Meta received 1 message" } else { "" };
    proof.add("replies at Meta", None, (1, received), note);
    proof.add("replies read", None, (1, read), "");
    Ok(proof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_nowhere_else_is_told() {
        let told = |what: &str| {
            known(&Moment { what: what.to_owned(), at: SystemClock.now() }).map(|seen| seen.stage)
        };
        assert_eq!(told("message.read"), Some("status"));
        assert_eq!(told("message.accepted"), None);
    }
}

//! The second chapter: many customers at once, copies of their webhooks, answers of Meta that get
//! lost; and still one reply each.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use graph_simulator::{Accept, Answer, Faults, InboundMessage, Repeat, SendRule};
use storage::StorageError;
use tokio::time::sleep;

use super::Teller;
use super::look;
use super::proof::Proof;
use super::stage::{NUMBER, Stage};
use crate::exit::{DATABASE_AWAY, Failure, OrFix};
use crate::screen::grouped;

const CUSTOMERS: usize = 200;
/// Within R3: a bot answers a conversation five times a minute.
const EACH: usize = 5;
const MESSAGES: usize = CUSTOMERS * EACH;
/// Every fifth webhook is delivered twice.
const COPY_EVERY: usize = 5;
const COPIES: usize = MESSAGES / COPY_EVERY;
/// Sends that Meta takes without our seeing its answer.
const LOST_ANSWERS: u64 = 10;
/// The longest anything may take without progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Between two lines of progress where nothing can be redrawn.
const PROGRESS: Duration = Duration::from_secs(5);

/// Throws the storm and proves what came of it.
pub(super) async fn tell(teller: Teller, stage: &Stage) -> Result<Proof, Failure> {
    teller.title(&format!(
        "2. A storm: {CUSTOMERS} customers write {EACH} messages each, all at once"
    ));
    teller.say(&format!(
        "  {COPIES} webhooks come twice, and {LOST_ANSWERS} of Meta's answers get lost after it took the reply."
    ));
    teller.say("");
    let begun = Instant::now();
    let (sent_before, copies_before) = (stage.simulator.sent_count(), look::suppressed());
    let lost = SendRule::new(Answer::Reset).accepting(Accept::Yes).times(LOST_ANSWERS);
    stage.simulator.set_faults(Faults { sends: vec![lost], ..Faults::default() });
    throw(stage);
    follow(teller, stage, begun, sent_before).await;
    teller.screen.redraw("  waiting for the last statuses, and for copies that come late");
    // A reply too many would come late: let everything settle before counting.
    if let Err(error) = stage.simulator.wait_until_delivered(PATIENCE).await {
        tracing::warn!(error = %kernel::chain(&error), "webhooks are still under way");
    }
    settle(stage, copies_before).await.or_fix(DATABASE_AWAY)?;
    teller.screen.redraw("");
    let took_ms = begun.elapsed().as_millis();
    let mut proof = prove(stage, copies_before).await.or_fix(DATABASE_AWAY)?;
    proof.took_ms = took_ms;
    proof.show(teller);
    Ok(proof)
}

fn customer(at: usize) -> String {
    format!("49176{:07}", 1_000_000 + at)
}

/// All first messages, then all second ones, ...: conversations begin at the same moment.
fn throw(stage: &Stage) {
    for at in 0..MESSAGES {
        let (person, number) = (at % CUSTOMERS, at / CUSTOMERS + 1);
        let text = format!("order {person}-{number}");
        let name = format!("Customer {person}");
        let message = InboundMessage::text(NUMBER, customer(person), name, text);
        stage.simulator.deliver(vec![message], 1, repeat(at));
    }
}

/// Half of the copies come at once, half as a redelivery.
const fn repeat(at: usize) -> Repeat {
    if !at.is_multiple_of(COPY_EVERY) {
        Repeat::ONCE
    } else if at.is_multiple_of(2 * COPY_EVERY) {
        Repeat::at_once(2)
    } else {
        Repeat::spaced(2, Duration::from_millis(600))
    }
}

/// Shows progress until every reply is there, or none has come for a while.
async fn follow(teller: Teller, stage: &Stage, begun: Instant, sent_before: usize) {
    let screen = teller.screen;
    let (mut known, mut moved) = (0, Instant::now());
    let mut told = Instant::now();
    while known < MESSAGES && moved.elapsed() < PATIENCE {
        let replies = stage.simulator.sent_count() - sent_before;
        if replies != known {
            (known, moved) = (replies, Instant::now());
        }
        if screen.can_redraw() {
            screen.redraw(&progress(known, begun.elapsed()));
        } else if told.elapsed() >= PROGRESS {
            screen.talk(&progress(known, begun.elapsed()));
            told = Instant::now();
        }
        sleep(LOOK).await;
    }
}

fn progress(replies: usize, elapsed: Duration) -> String {
    const WIDTH: usize = 40;
    let filled = (replies * WIDTH / MESSAGES).min(WIDTH);
    let bar = format!("{}{}", "#".repeat(filled), " ".repeat(WIDTH - filled));
    let (replies, all) = (shown(replies), shown(MESSAGES));
    format!("  [{bar}] {replies} / {all} replies at Meta   {:.1} s", elapsed.as_secs_f64())
}

fn shown(count: usize) -> String {
    grouped(whole(count))
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

const OPEN: &str =
    "SELECT count(*) FROM send_attempts WHERE state IN ('sending', 'doubt', 'unknown')";
const UNREAD: &str = "SELECT count(*) FROM outbound_messages WHERE read_at IS NULL";

/// Waits until no send is open, every reply is read and every copy is recognised.
async fn settle(stage: &Stage, copies_before: i64) -> Result<(), StorageError> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let is_settled = look::suppressed() - copies_before >= whole(COPIES)
            && look::count(&stage.db, OPEN).await? == 0
            && look::count(&stage.db, UNREAD).await? == 0;
        if is_settled {
            break;
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn prove(stage: &Stage, copies_before: i64) -> Result<Proof, StorageError> {
    let count = async |sql: &str| look::count(&stage.db, sql).await;
    // Ada, of the first chapter, has one of each.
    let conversations = count("SELECT count(*) FROM conversations").await? - 1;
    let stored = count("SELECT count(*) FROM messages WHERE direction = 'inbound'").await? - 1;
    let read = count("SELECT count(*) FROM outbound_messages WHERE read_at IS NOT NULL").await? - 1;
    let (open, incidents) =
        (count(OPEN).await?, count("SELECT count(*) FROM duplicate_incidents").await?);
    let at_meta = at_meta(stage);
    let caused = whole(MESSAGES + COPIES);
    let suppressed = look::suppressed() - copies_before;
    let mut proof = Proof::default();
    proof.add("conversations", None, (whole(CUSTOMERS), conversations), "");
    let note = format!("{} copies suppressed", grouped(suppressed));
    proof.add("inbound messages", Some(caused), (whole(MESSAGES), stored), note);
    let replies = (whole(MESSAGES), at_meta.replies);
    proof.add("replies at Meta", Some(whole(MESSAGES)), replies, "one for each order");
    let lost = Some(i64::try_from(LOST_ANSWERS).unwrap_or(i64::MAX));
    proof.add("sends left in doubt", lost, (0, open), "Meta's statuses proved each");
    proof.add("replies read", None, (whole(MESSAGES), read), "");
    proof.add("lost", None, (0, at_meta.lost), "");
    proof.add("duplicated", None, (0, at_meta.duplicated + incidents), "");
    Ok(proof)
}

struct AtMeta {
    /// Replies to orders.
    replies: i64,
    /// Orders without reply.
    lost: i64,
    /// Replies too many.
    duplicated: i64,
}

/// What Meta received, order by order.
fn at_meta(stage: &Stage) -> AtMeta {
    let received: HashMap<(String, String), usize> = stage
        .simulator
        .count_by(|sent| (sent.recipient.clone(), sent.text.clone().unwrap_or_default()));
    let (mut replies, mut lost, mut duplicated) = (0, 0, 0);
    for person in 0..CUSTOMERS {
        for number in 1..=EACH {
            let reply = (customer(person), format!("noted: order {person}-{number}"));
            let count = received.get(&reply).copied().map_or(0, whole);
            replies += count;
            lost += i64::from(count == 0);
            duplicated += (count - 1).max(0);
        }
    }
    AtMeta { replies, lost, duplicated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_webhooks_comes_twice() {
        let extra: u32 = (0..MESSAGES).map(|at| repeat(at).copies - 1).sum();
        assert_eq!(usize::try_from(extra), Ok(COPIES));
        assert!((0..MESSAGES).any(|at| repeat(at) == Repeat::at_once(2)));
        assert!((0..MESSAGES).any(|at| repeat(at).gap > Duration::ZERO));
    }

    #[test]
    fn the_bar_is_empty_at_the_start_and_full_at_the_end() {
        assert!(progress(0, Duration::ZERO).contains(&format!("[{}]", " ".repeat(40))));
        assert!(progress(MESSAGES, Duration::ZERO).contains(&format!("[{}]", "#".repeat(40))));
    }
}

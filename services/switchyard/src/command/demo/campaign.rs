//! The third chapter: a campaign that is started too often, paused in the middle and robbed of some of
//! Meta's answers; and still one message for everybody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::future::join_all;
use graph_simulator::{Accept, Answer, Faults, SendRule};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Teller;
use super::look;
use super::proof::Proof;
use super::stage::Stage;
use crate::exit::{DATABASE_AWAY, Failure, OrFix};
use crate::screen::grouped;

const PEOPLE: usize = 500;
/// People who are on the list a second time, written differently.
const TWICE: usize = 25;
/// How often start is clicked, at the same moment.
const CLICKS: usize = 10;
/// Sends that Meta takes without our seeing its answer.
const LOST_ANSWERS: u64 = 10;
/// When the campaign is paused: so many have been taken by Meta.
const PAUSE_AT: i64 = 200;
/// How long Meta is watched while the campaign is paused.
const WATCHED: Duration = Duration::from_secs(1);
/// The longest anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);
const REPORT: &str = "run it again with -v and report what it logs";

/// Runs the campaign and proves what came of it.
pub(super) async fn tell(teller: Teller, stage: &Stage) -> Result<Proof, Failure> {
    teller.title(&format!("3. A campaign to {PEOPLE} people"));
    teller.say(&format!(
        "  {TWICE} are on the list twice, start is clicked {CLICKS} times at once, it is paused and resumed, \
         and {LOST_ANSWERS} answers get lost."
    ));
    teller.say("");
    let begun = Instant::now();
    let lost = SendRule::new(Answer::Reset).accepting(Accept::Yes).times(LOST_ANSWERS);
    stage.simulator.set_faults(Faults { sends: vec![lost], ..Faults::default() });
    let seen = run(teller, stage, begun).await.or_fix(REPORT)?;
    teller.screen.redraw("");
    let incidents = look::count(&stage.db, "SELECT count(*) FROM duplicate_incidents");
    let mut proof = prove(stage, &seen, incidents.await.or_fix(DATABASE_AWAY)?);
    proof.took_ms = begun.elapsed().as_millis();
    proof.show(teller);
    Ok(proof)
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    /// Clicks on start that were not answered with success.
    refused: i64,
    /// Looks at the campaign at which its numbers did not add up.
    wrong: i64,
    looks: i64,
    /// What Meta took after a pause was answered and everything in flight had landed.
    while_paused: i64,
    /// The campaign in the end.
    last: Value,
}

async fn run(teller: Teller, stage: &Stage, begun: Instant) -> anyhow::Result<Seen> {
    let template =
        json!({ "name": "spring_sale", "language": "en", "params": { "body": ["{{phone}}"] } });
    let draft = json!({
        "name": "Spring sale", "connection": stage.connection, "template": template,
        "audience": { "phones": list() }, "on_uncertain": "hold",
    });
    let path = format!("/v1/campaigns/{}", stage.create("/v1/campaigns", draft).await?);
    let mut seen = Seen::default();
    let clicks = (0..CLICKS).map(|_| stage.press(&path, "start"));
    for click in join_all(clicks).await {
        seen.refused += i64::from(click.is_err());
    }
    seen.until(teller, stage, &path, begun, |at| number(at, "accepted") >= PAUSE_AT).await?;
    stage.press(&path, "pause").await?;
    seen.until(teller, stage, &path, begun, |at| number(at, "in_flight") == 0).await?;
    let before = stage.simulator.sent_count();
    sleep(WATCHED).await;
    seen.while_paused = whole(stage.simulator.sent_count() - before);
    stage.press(&path, "resume").await?;
    seen.until(teller, stage, &path, begun, |at| {
        at.get("status")
            .and_then(Value::as_str)
            .is_some_and(|status| status.starts_with("completed"))
    })
    .await?;
    Ok(seen)
}

impl Seen {
    /// Looks at the campaign until `is_there`, and whether its numbers add up each time.
    async fn until(
        &mut self,
        teller: Teller,
        stage: &Stage,
        path: &str,
        begun: Instant,
        is_there: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let patience = Instant::now();
        loop {
            let campaign = stage.read(path).await?;
            self.looks += 1;
            self.wrong += i64::from(!adds_up(&campaign));
            if teller.screen.can_redraw() {
                teller.screen.redraw(&progress(&campaign, begun.elapsed()));
            }
            if is_there(&campaign) {
                self.last = campaign;
                return Ok(());
            }
            if patience.elapsed() > PATIENCE {
                bail!("the campaign stands still: {campaign}");
            }
            sleep(LOOK).await;
        }
    }
}

fn progress(campaign: &Value, elapsed: Duration) -> String {
    let status = campaign.get("status").and_then(Value::as_str).unwrap_or("");
    let accepted = grouped(number(campaign, "accepted"));
    format!("  {status}: {accepted} taken by Meta   {:.1} s", elapsed.as_secs_f64())
}

fn number(campaign: &Value, name: &str) -> i64 {
    campaign.pointer(&format!("/counts/{name}")).and_then(Value::as_i64).unwrap_or(0)
}

fn adds_up(campaign: &Value) -> bool {
    let parts = ["pending", "in_flight", "accepted", "failed", "skipped", "uncertain", "expired"];
    parts.iter().map(|part| number(campaign, part)).sum::<i64>() == number(campaign, "total")
}

fn person(at: usize) -> String {
    format!("49177{:07}", 1_000_000 + at)
}

/// Everybody, and some of them again as people write numbers.
fn list() -> Vec<String> {
    let once = (0..PEOPLE).map(|at| format!("+{}", person(at)));
    let again = (0..TWICE).map(|at| {
        let digits = person(at * 7);
        let (country, rest) = digits.split_at(2);
        format!("00{country} {rest}")
    });
    once.chain(again).collect()
}

fn prove(stage: &Stage, seen: &Seen, incidents: i64) -> Proof {
    let received: HashMap<String, usize> = stage.simulator.count_by(|sent| sent.recipient.clone());
    let (mut at_meta, mut lost, mut duplicated) = (0, 0, 0);
    for at in 0..PEOPLE {
        let count = received.get(&person(at)).copied().map_or(0, whole);
        at_meta += count;
        lost += i64::from(count == 0);
        duplicated += (count - 1).max(0);
    }
    let (people, listed) = (whole(PEOPLE), whole(PEOPLE + TWICE));
    let mut proof = Proof::default();
    proof.add(
        "recipients",
        Some(listed),
        (people, number(&seen.last, "total")),
        "people, not lines",
    );
    proof.add("clicks on start refused", Some(whole(CLICKS)), (0, seen.refused), "one start");
    proof.add("messages at Meta", None, (people, at_meta), "one for each");
    proof.add("taken while paused", None, (0, seen.while_paused), "");
    let looks = format!("at each of {} looks", grouped(seen.looks));
    proof.add("numbers that do not add up", None, (0, seen.wrong), looks);
    let doubts = Some(i64::try_from(LOST_ANSWERS).unwrap_or(i64::MAX));
    let uncertain = number(&seen.last, "uncertain");
    proof.add("sends left in doubt", doubts, (0, uncertain), "Meta's statuses proved each");
    proof.add("lost", None, (0, lost), "");
    proof.add("duplicated", None, (0, duplicated + incidents), "");
    proof
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_some_people_twice_in_two_spellings() {
        let list = list();
        assert_eq!(list.len(), PEOPLE + TWICE);
        assert!(list.iter().any(|number| number == "+491771000007"));
        assert!(list.iter().any(|number| number == "0049 1771000007"));
    }

    #[test]
    fn numbers_add_up_or_do_not() {
        let counts = json!({ "total": 3, "pending": 1, "in_flight": 0, "accepted": 1, "failed": 0,
            "skipped": 1, "uncertain": 0 });
        assert!(adds_up(&json!({ "counts": counts })));
        assert!(!adds_up(&json!({ "counts": { "total": 1 } })));
    }
}

//! D3, F4: campaigns are sent while everything dies and people click, and each recipient gets one
//! message.
//!
//! The seed decides what is killed, clicked and broken when; it is printed, and `SWITCHYARD_CHAOS_SEED`
//! sets it. `SWITCHYARD_CHAOS_RECIPIENTS` sets the size (`make chaos`: 20,000).

use std::collections::HashMap;
use std::time::Duration;

use graph_simulator::{
    Accept, Answer, Faults, SendRule, Span, StatusPlan, WebhookFaults, WebhookSettings,
};
use messaging::Queue;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use testkit::{Servers, eventually_within};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::campaigns::{Campaign, Client, adds_up, counts, is_recounted, number};
use crate::clicks::{click_around, were_pauses_kept};
use crate::installation::{APP_SECRET, Installation};
use crate::private_stack::PrivateStack;

const WORKERS: usize = 3;
const SEED: u64 = 20_261_125;
/// What fits into CI.
const RECIPIENTS: usize = 600;
/// While everything dies.
const PER_SECOND: usize = 30;
/// How often the numbers are looked at.
const GLANCE: Duration = Duration::from_millis(200);

/// What strikes besides the killer, second by second, over and over.
const BLOWS: [Option<(&str, &str)>; 14] = [
    None,
    None,
    Some(("kill9", "redis")),
    Some(("start", "redis")),
    None,
    Some(("kill9", "pg")),
    Some(("start", "pg")),
    None,
    None,
    Some(("restart", "redis")),
    Some(("kill9", "rabbit")),
    Some(("start", "rabbit")),
    None,
    None,
];

/// The connection's limit: high enough for the large run to end in minutes.
fn per_second(recipients: usize) -> usize {
    PER_SECOND * recipients.div_ceil(5_000)
}

fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().map_or(otherwise, |asked| asked.parse().unwrap())
}

/// What Meta does meanwhile: takes messages without saying so, or says so twice and in disorder; in a
/// storm it refuses every other call.
fn lying_meta(is_storm: bool) -> Faults {
    let too_many = Answer::Graph { code: 130_429, http_status: Some(429), retry_after: Some(1) };
    let sends = vec![
        SendRule::new(too_many).probability(if is_storm { 0.5 } else { 0.01 }),
        SendRule::new(Answer::Close).accepting(Accept::Yes).probability(0.02),
        SendRule::new(Answer::Reset).accepting(Accept::No).probability(0.01),
        SendRule::new(Answer::Html { http_status: 502 }).accepting(Accept::Yes).probability(0.01),
        SendRule::graph(131_000).accepting(Accept::Yes).probability(0.01),
    ];
    let statuses = StatusPlan {
        delay_ms: Span(5, 200),
        shuffle: 0.3,
        duplicate: 0.2,
        ..StatusPlan::default()
    };
    let webhooks = WebhookFaults {
        duplicate: 0.1,
        duplicate_gap_ms: 300,
        reorder_ms: 200,
        ..WebhookFaults::default()
    };
    Faults { sends, statuses, webhooks, ..Faults::default() }
}

/// What is in progress around an installation.
struct Chaos {
    installation: Installation,
    client: Client,
    campaigns: Vec<Campaign>,
    polls: usize,
}

impl Chaos {
    /// Sees that the numbers add up, in every answer and in the tables.
    async fn glance(&mut self) {
        for campaign in &self.campaigns {
            if let Some(shown) = self.client.show(campaign).await {
                adds_up(&shown);
                self.polls += 1;
            }
        }
        self.polls += usize::from(is_recounted(&self.installation).await);
    }

    /// Kills a process each second, and servers in between, until most messages are out.
    async fn rage(&mut self, stack: PrivateStack, dice: &mut StdRng) -> (PrivateStack, usize) {
        let all: usize = self.campaigns.iter().map(|campaign| campaign.recipients).sum();
        let deadline = Instant::now() + Duration::from_secs(20) + self.ordinary_time() * 2;
        let (mut kills, mut second) = (0, 0);
        let mut seconds = interval(Duration::from_secs(1));
        let mut blow: Option<JoinHandle<PrivateStack>> = None;
        let mut idle = Some(stack);
        seconds.tick().await;
        while self.installation.meta.sent_count() < all * 9 / 10 && Instant::now() < deadline {
            seconds.tick().await;
            if let Some(victim) = self.victim(dice).await {
                self.installation.kill_and_restart(victim).await;
                kills += 1;
            }
            self.installation.revive();
            self.client.point_to(&self.installation);
            self.installation.meta.set_faults(lying_meta(second % 6 == 5));
            if blow.as_ref().is_some_and(JoinHandle::is_finished) {
                idle = Some(blow.take().unwrap().await.unwrap());
            }
            // A server that takes its time to start delays what strikes next, not the killer.
            if let Some((command, server)) = BLOWS[second % BLOWS.len()]
                && let Some(stack) = idle.take()
            {
                blow = Some(tokio::spawn(async move {
                    stack.run(command, server).await;
                    stack
                }));
            }
            second += 1;
            let until = Instant::now() + Duration::from_millis(700);
            while Instant::now() < until {
                self.glance().await;
                sleep(GLANCE).await;
            }
        }
        let stack = match blow {
            Some(blow) => blow.await.unwrap(),
            None => idle.unwrap(),
        };
        for server in ["pg", "redis", "rabbit"] {
            stack.run("start", server).await;
        }
        (stack, kills)
    }

    /// One of those that are up, unless it is the only one: on a slow machine nothing would ever be
    /// sent by processes that are killed while they start.
    async fn victim(&self, dice: &mut StdRng) -> Option<usize> {
        let mut up = Vec::new();
        for (at, url) in self.installation.urls().into_iter().enumerate() {
            let ready = self.installation.http.get(url.join("livez").unwrap());
            if ready.timeout(GLANCE).send().await.is_ok() {
                up.push(at);
            }
        }
        (up.len() > 1).then(|| up[dice.random_range(0..up.len())])
    }

    fn ordinary_time(&self) -> Duration {
        let all: usize = self.campaigns.iter().map(|campaign| campaign.recipients).sum();
        Duration::from_secs(u64::try_from(all / per_second(all)).unwrap())
    }

    /// Sets everything going again and waits until the campaigns have ended.
    async fn finish(&mut self) {
        self.installation.meta.set_faults(Faults::default());
        self.installation.revive();
        self.client.point_to(&self.installation);
        for url in self.installation.urls() {
            self.installation.wait_ready(&url).await;
        }
        for campaign in self.campaigns.clone() {
            let what = format!("{} has ended", campaign.name);
            eventually_within(Duration::from_secs(120), &what, async || {
                let shown = self.client.show(&campaign).await?;
                adds_up(&shown);
                let status = shown["status"].as_str().unwrap();
                if status == "paused" {
                    self.client.act(&campaign, "resume").await;
                }
                status.starts_with("completed").then_some(())
            })
            .await;
        }
        self.installation.wait_quiet(Duration::from_secs(120)).await;
    }

    /// How it came to two acceptances of a message.
    async fn story_of_the_doubled(&self) -> String {
        let sql = "SELECT json_agg(json_build_object('message', d.message_id, 'seen', d.seen_at, \
                   'attempts', (SELECT json_agg(a ORDER BY a.created_at) FROM send_attempts a \
                   WHERE a.message_id = d.message_id), 'pipeline', (SELECT json_agg(p) \
                   FROM status_pipeline p)))::text AS text FROM duplicate_incidents d";
        let attempts = self.installation.db.text(sql).await.unwrap();
        let to = self.installation.meta.duplicates();
        let taken = to.iter().flat_map(|twice| self.installation.meta.sent_to(&twice.recipient));
        let taken: Vec<_> =
            taken.map(|sent| (sent.recipient, sent.callback_data, sent.at)).collect();
        format!("{attempts} {taken:?}")
    }

    /// What the simulator really took, beside what the product says.
    async fn is_once_each(&self, of: &Campaign, first: usize) -> (usize, usize) {
        let sent = self
            .installation
            .meta
            .count_by(|sent| (sent.template.clone().unwrap_or_default(), sent.recipient.clone()));
        let mine: HashMap<&str, usize> = sent
            .iter()
            .filter(|((template, _), _)| template == of.name)
            .map(|((_, recipient), count)| (recipient.as_str(), *count))
            .collect();
        let doubled = mine.values().filter(|count| **count > 1).count();
        assert_eq!(doubled, 0, "{}: {}", of.name, self.story_of_the_doubled().await);
        let people: Vec<String> = (first..first + of.recipients).map(number).collect();
        assert!(mine.keys().all(|to| people.iter().any(|person| person == to)), "strangers");
        let shown = self.client.show(of).await.unwrap();
        adds_up(&shown);
        let counts = counts(&shown);
        let of_counts = |name: &str| usize::try_from(counts[name]).unwrap();
        assert_eq!(of_counts("total"), of.recipients, "{shown}");
        // What nobody knows was really not taken: what was, has been proved by its status.
        assert_eq!(of_counts("accepted"), mine.len(), "{shown}");
        assert_eq!(of_counts("accepted") + of_counts("uncertain"), of.recipients, "{shown}");
        for step in ["delivered", "read"] {
            assert_eq!(shown["delivery"][step], mine.len(), "{shown}");
        }
        (mine.len(), of_counts("uncertain"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_reach_everybody_once_while_everything_is_killed_and_people_click() {
    let seed = asked("SWITCHYARD_CHAOS_SEED", SEED);
    let recipients = asked("SWITCHYARD_CHAOS_RECIPIENTS", u64::try_from(RECIPIENTS).unwrap());
    let half = usize::try_from(recipients / 2).unwrap();
    println!("seed {seed}, {recipients} recipients (SWITCHYARD_CHAOS_SEED, _RECIPIENTS)");
    let mut dice = StdRng::seed_from_u64(seed);
    let stack = PrivateStack::up().await;
    let mut installation = Installation::drawn(stack.servers.clone(), Some(seed)).await;
    installation.end_doubts_soon();
    for _ in 0..WORKERS {
        installation.run("all").await;
    }
    let connection = installation.connect(u32::try_from(per_second(half * 2) * 60).unwrap()).await;
    let client = Client::of(&installation);
    let campaigns = vec![
        client.draft(&connection, "doubts_are_held", "hold", 0..half).await,
        client.draft(&connection, "doubts_are_sent_again", "resend", half..half * 2).await,
    ];
    installation.meta.set_faults(lying_meta(false));
    for campaign in &campaigns {
        client.act(campaign, "start").await;
    }
    let stop = CancellationToken::new();
    let clickers =
        [1, 2].map(|n| click_around(client.clone(), campaigns.clone(), seed + n, stop.clone()));
    let mut chaos = Chaos { installation, client, campaigns, polls: 0 };
    let (_stack, kills) = chaos.rage(stack, &mut dice).await;
    stop.cancel();
    let mut clicks = Vec::new();
    for clicker in clickers {
        clicks.extend(clicker.await.unwrap());
    }
    chaos.finish().await;

    let held = chaos.is_once_each(&chaos.campaigns[0], 0).await;
    let resent = chaos.is_once_each(&chaos.campaigns[1], half).await;
    assert_eq!(chaos.installation.meta.duplicates(), [], "doubled at Meta");
    assert_eq!(chaos.installation.count("duplicate_incidents").await, 0);
    assert_eq!(chaos.installation.depth(Queue::Parking).await, 0, "dead letters");
    assert!(is_recounted(&chaos.installation).await);
    let pauses = were_pauses_kept(&chaos.installation, &clicks).await;
    let again = chaos.installation.count("outbound_messages WHERE epoch > 1").await;
    println!(
        "{kills} kills, {} clicks, {pauses} pauses kept, numbers right {} times; hold: {} sent, {} \
         uncertain; resend: {} sent, {} uncertain; {again} tried again",
        clicks.len(),
        chaos.polls,
        held.0,
        held.1,
        resent.0,
        resent.1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_sleeps_longer_than_its_lock_sends_nothing_twice() {
    let mut installation = Installation::drawn(Servers::from_env(), Some(SEED)).await;
    installation.end_doubts_soon();
    for _ in 0..2 {
        installation.run("all").await;
    }
    let connection = installation.connect(3_000).await;
    let client = Client::of(&installation);
    let campaign = client.draft(&connection, "a_worker_sleeps", "resend", 0..300).await;
    // Each call takes a while, so the sleeper has some in hand.
    let slow = SendRule { delay_ms: 100, ..SendRule::new(Answer::Ok) };
    installation.meta.set_faults(Faults { sends: vec![slow], ..Faults::default() });
    client.act(&campaign, "start").await;
    let begun = installation.meta.wait_until_sent(50, Duration::from_secs(60)).await;
    begun.unwrap();

    installation.signal(0, "STOP").await;
    let awake = WebhookSettings {
        targets: vec![installation.url(1).join("webhooks/whatsapp").unwrap()],
        app_secret: APP_SECRET.into(),
        ..WebhookSettings::default()
    };
    installation.meta.set_webhook(awake).unwrap();
    installation.forget_locks("campaign_send").await;
    let rest = installation.meta.wait_until_sent(280, Duration::from_secs(60)).await;
    rest.unwrap();
    let in_hand = "send_attempts WHERE state IN ('sending', 'doubt') AND deadline_at > now()";
    eventually_within(Duration::from_secs(60), "every deadline has passed", async || {
        (installation.count(in_hand).await == 0).then_some(())
    })
    .await;
    installation.signal(0, "CONT").await;

    let status = eventually_within(Duration::from_secs(120), "the campaign ends", async || {
        let url = installation.url(1).join(&format!("v1/campaigns/{}", campaign.id)).unwrap();
        let answer = installation.http.get(url).bearer_auth(&installation.key).send().await.ok()?;
        let shown: serde_json::Value = answer.json().await.ok()?;
        adds_up(&shown);
        let status = shown["status"].as_str()?.to_owned();
        status.starts_with("completed").then_some(status)
    })
    .await;
    installation.wait_quiet(Duration::from_secs(60)).await;
    assert!(is_recounted(&installation).await);
    assert_eq!(installation.meta.duplicates(), []);
    let sent = installation.meta.count_by(|sent| sent.recipient.clone());
    assert!(sent.values().all(|count| *count == 1), "doubled");
    let unknown = installation.count("outbound_messages WHERE state = 'unknown'").await;
    assert_eq!(sent.len() + usize::try_from(unknown).unwrap(), 300, "{status}");
}

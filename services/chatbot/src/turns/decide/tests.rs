//! What is decided about single messages.

use kernel::ids::{ConnectionId, ContactId, ConversationId, MessageId, WorkspaceId};
use kernel::{Clock, SystemClock, WaId};
use storage::bot_turns::BotSeen;

use super::*;
use crate::rules::{MatchKind, Pattern, Rule};

fn waiting(kind: &str, body: &str, age: TimeDelta) -> Waiting {
    Waiting {
        message_id: MessageId::new(),
        workspace_id: WorkspaceId::new(),
        connection_id: ConnectionId::new(),
        conversation_id: ConversationId::new(),
        contact_id: ContactId::new(),
        recipient: Some(Recipient::Number(WaId::new("4915755512345"))),
        name: Some("Ada".to_owned()),
        sequence: 1,
        kind: kind.to_owned(),
        body: Some(body.to_owned()),
        said_at: SystemClock.now() - age,
        bot: Some(BotSeen { id: BotId::new(), version: 1, is_enabled: true }),
    }
}

fn rules(rules: &[(MatchKind, &str, &str)]) -> Rules {
    let rule = |&(kind, value, reply): &(MatchKind, &str, &str)| Rule {
        id: RuleId::new(),
        pattern: Pattern::compile(kind, value).unwrap(),
        reply: reply.to_owned(),
    };
    Rules { version: 1, rules: rules.iter().map(rule).collect() }
}

fn outcome(waiting: &Waiting, rules: &Rules) -> Option<Outcome> {
    decide(waiting, Some(rules), SystemClock.now()).outcome()
}

#[test]
fn the_first_matching_rule_answers_with_its_places_filled_in() {
    let rules = rules(&[
        (MatchKind::Exact, "other", "no"),
        (MatchKind::Prefix, "te", "{{name}}: {{text}}"),
        (MatchKind::Any, "", "fallback"),
    ]);
    let message = waiting("text", "  Test ", TimeDelta::zero());
    let Decision::Reply { rule, answer, .. } = decide(&message, Some(&rules), SystemClock.now())
    else {
        panic!("no reply");
    };
    assert_eq!((rule, answer.text.as_str()), (rules.rules[1].id, "Ada: Test"));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&answer.content).unwrap(),
        serde_json::json!({ "type": "text", "body": "Ada: Test" })
    );
}

#[test]
fn a_bot_is_silent_where_it_should_be() {
    let day = TimeDelta::hours(24);
    let rules = rules(&[(MatchKind::Exact, "test", "yes"), (MatchKind::Exact, "hm", "{{name}}")]);
    for (kind, body, age, expected) in [
        ("text", "test", TimeDelta::zero(), Outcome::Replied),
        ("button", "test", TimeDelta::zero(), Outcome::Replied),
        ("text", "something else", TimeDelta::zero(), Outcome::NoMatch),
        ("image", "", TimeDelta::zero(), Outcome::NoMatch),
        ("reaction", "test", TimeDelta::zero(), Outcome::Ignored),
        ("system", "test", TimeDelta::zero(), Outcome::Ignored),
        ("invented_tomorrow", "test", TimeDelta::zero(), Outcome::Ignored),
        ("text", "test", day, Outcome::OutsideWindow),
        ("text", "test", day - TimeDelta::minutes(1), Outcome::Replied),
        ("text", "something else", day, Outcome::NoMatch),
    ] {
        assert_eq!(outcome(&waiting(kind, body, age), &rules), Some(expected), "{kind} {body}");
    }
    let nameless = Waiting { name: None, ..waiting("text", "hm", TimeDelta::zero()) };
    assert_eq!(outcome(&nameless, &rules), Some(Outcome::Empty));
    let unreachable = Waiting { recipient: None, ..waiting("text", "test", TimeDelta::zero()) };
    assert_eq!(outcome(&unreachable, &rules), Some(Outcome::Error));
}

#[test]
fn without_a_bot_a_message_passes_by() {
    let rules = rules(&[(MatchKind::Any, "", "yes")]);
    let without = Waiting { bot: None, ..waiting("text", "test", TimeDelta::zero()) };
    assert_eq!(outcome(&without, &rules), None);
    let mut disabled = waiting("text", "test", TimeDelta::zero());
    disabled.bot = disabled.bot.map(|bot| BotSeen { is_enabled: false, ..bot });
    assert_eq!(outcome(&disabled, &rules), None);
    let deleted = waiting("text", "test", TimeDelta::zero());
    assert_eq!(decide(&deleted, None, SystemClock.now()), Decision::NoBot);
}

#[test]
fn a_message_that_makes_deciding_panic_gets_an_outcome_and_blocks_nobody() {
    let messages = ["a", "poison", "b"].map(|body| waiting("text", body, TimeDelta::zero()));
    let rules = rules(&[(MatchKind::Any, "", "yes")]);
    let outcomes = messages.map(|message| {
        let decided = guarded(&message, || {
            assert_ne!(message.body.as_deref(), Some("poison"));
            decide(&message, Some(&rules), SystemClock.now())
        });
        decided.outcome()
    });
    assert_eq!(outcomes, [Outcome::Replied, Outcome::Error, Outcome::Replied].map(Some));
}

#[test]
fn a_thousand_rules_are_tried_within_their_budget() {
    let values: Vec<String> = (0..1_000).map(|n| format!("keyword number {n}")).collect();
    let many: Vec<_> = values.iter().map(|v| (MatchKind::Contains, v.as_str(), "x")).collect();
    let rules = rules(&many);
    let message = waiting("text", &"keyword numbeer ".repeat(10), TimeDelta::zero());
    let start = std::time::Instant::now();
    assert_eq!(outcome(&message, &rules), Some(Outcome::NoMatch));
    // 5 ms in a release build; this one is not optimised and shares its cores.
    assert!(start.elapsed() < std::time::Duration::from_millis(250), "{:?}", start.elapsed());
}

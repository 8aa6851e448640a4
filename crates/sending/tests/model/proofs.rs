//! The protocol as it is built, and what each of its rules is for.

use crate::campaign::{Left, World};
use crate::explore::{broken, first_stranded};
use crate::steps::{OnUncertain, Sending, Step, Without};

const CALM: Left =
    Left { crashes: 0, losses: 0, copies: 0, pauses: 0, cancels: 0, stops: 0, attempts: 2 };

/// Everything that goes wrong at once for one recipient, and less of it for two.
const SIZES: [(usize, Left); 3] = [
    (1, Left { crashes: 1, losses: 1, copies: 1, pauses: 1, cancels: 1, stops: 1, attempts: 2 }),
    (1, Left { crashes: 1, pauses: 1, stops: 1, attempts: 3, ..CALM }),
    (2, Left { crashes: 1, pauses: 1, ..CALM }),
];

/// Every recipient can come to an end, and the campaign with them, when people resume what they
/// paused and nothing else goes wrong. Answers the first state from which it cannot.
fn stranded(model: &Sending) -> Option<World> {
    first_stranded(model, |_| true, World::is_over, |step: &Step| step.is_ordinary())
}

fn holds(on_uncertain: OnUncertain) {
    for (recipients, left) in SIZES {
        let model = Sending { recipients, on_uncertain, left, without: Without::Nothing };
        assert_eq!(broken(&model), Vec::<String>::new(), "{recipients} {left:?}");
        assert_eq!(stranded(&model), None, "{recipients} {left:?}");
    }
}

#[test]
fn a_campaign_that_holds_doubts_sends_each_message_once_whenever_statuses_come() {
    holds(OnUncertain::Hold);
}

#[test]
fn a_campaign_that_assumes_sent_sends_each_message_once() {
    holds(OnUncertain::AssumeSent);
}

#[test]
fn a_campaign_that_resends_sends_each_message_once_behind_fence_and_watermark() {
    holds(OnUncertain::Resend);
}

fn without(without: Without, on_uncertain: OnUncertain, left: Left) -> Sending {
    Sending { recipients: 1, on_uncertain, left, without }
}

fn breaks(model: &Sending, property: &str) -> bool {
    broken(model).iter().any(|found| found.starts_with(property))
}

#[test]
fn each_rule_of_the_claim_and_the_post_is_needed() {
    let left = Left { losses: 1, ..CALM };
    let twice = "one message each";
    assert!(breaks(&without(Without::Condition, OnUncertain::Hold, CALM), twice));
    assert!(breaks(&without(Without::Fence, OnUncertain::Resend, left), twice));
    assert!(breaks(&without(Without::Watermark, OnUncertain::Resend, left), twice));
    // Who never sends again needs neither.
    for rule in [Without::Fence, Without::Watermark] {
        assert_eq!(broken(&without(rule, OnUncertain::Hold, left)), Vec::<String>::new());
    }
    let echo = without(Without::Echo, OnUncertain::Hold, left);
    assert!(breaks(&echo, "known once it is quiet"));
}

#[test]
fn a_chunk_that_is_fed_twice_is_harmless_because_its_messages_have_its_recipients_ids() {
    let left = Left { crashes: 1, ..CALM };
    for policy in [OnUncertain::Hold, OnUncertain::AssumeSent, OnUncertain::Resend] {
        let model = without(Without::ChunkState, policy, left);
        assert_eq!(broken(&model), Vec::<String>::new(), "{policy:?}");
        assert_eq!(stranded(&model), None, "{policy:?}");
        assert!(breaks(&without(Without::ChunkStateAndIds, policy, CALM), "one message each"));
    }
}

#[test]
fn a_chunk_and_its_messages_are_written_together_or_a_cancellation_counts_them_twice() {
    let left = Left { crashes: 1, cancels: 1, ..CALM };
    assert!(breaks(&without(Without::OneFeeding, OnUncertain::Hold, left), "true numbers"));
}

#[test]
fn feeding_and_release_lock_the_campaign_or_a_message_survives_its_cancellation() {
    let left = Left { cancels: 1, ..CALM };
    let feeding = without(Without::FeedLock, OnUncertain::Hold, left);
    assert!(breaks(&feeding, "true numbers"));
    assert!(stranded(&feeding).is_some());
    let release = without(Without::ReleaseLock, OnUncertain::Hold, left);
    assert!(stranded(&release).is_some());
}

/// While nothing is `ready` under a campaign that does not run, the claim's lock is a second wall.
#[test]
fn a_pause_is_kept_by_the_lock_of_the_release_and_again_by_that_of_the_claim() {
    let left = Left { pauses: 1, stops: 1, ..CALM };
    let late = "no claim after a pause";
    for rule in [Without::ClaimLock, Without::ReleaseLock] {
        assert!(!breaks(&without(rule, OnUncertain::Hold, left), late), "{rule:?}");
    }
    assert!(breaks(&without(Without::ClaimAndReleaseLock, OnUncertain::Hold, left), late));
}

#[test]
fn an_end_that_changes_is_taken_off_the_count() {
    let left = Left { losses: 1, ..CALM };
    assert!(breaks(&without(Without::TakingBack, OnUncertain::Hold, left), "true numbers"));
}

#[test]
fn a_message_of_a_finished_campaign_that_turns_out_to_be_unsent_has_failed() {
    assert!(stranded(&without(Without::FailingAtLast, OnUncertain::Hold, CALM)).is_some());
}

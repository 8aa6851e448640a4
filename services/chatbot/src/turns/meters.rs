//! What the turns count.

use metrics::Counter;

use super::decide::Outcome;

/// One counter per outcome, so that a series exists before it first counts.
pub(super) struct Meters {
    played: Vec<(Outcome, Counter)>,
    suppressed: Counter,
}

impl Meters {
    pub(super) fn register() -> Self {
        let played = |outcome: Outcome| {
            let counter = metrics::counter!(
                "switchyard_inbound_handled_total",
                "kind" => "bot_turn",
                "outcome" => outcome.as_str()
            );
            counter.increment(0);
            (outcome, counter)
        };
        let suppressed =
            metrics::counter!("switchyard_duplicate_suppressed_total", "stage" => "bot_reply");
        suppressed.increment(0);
        Self { played: Outcome::ALL.into_iter().map(played).collect(), suppressed }
    }

    pub(super) fn played(&self, outcome: Outcome) {
        if let Some((_, counter)) = self.played.iter().find(|(known, _)| *known == outcome) {
            counter.increment(1);
        }
    }

    pub(super) fn suppressed(&self) {
        self.suppressed.increment(1);
    }
}

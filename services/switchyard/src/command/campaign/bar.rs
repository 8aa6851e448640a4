//! Shows how a campaign goes on: a bar on a terminal, a line now and then elsewhere.

use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kernel::{Clock, SystemClock};
use tokio::time::Instant;

use super::lines;
use super::model::Campaign;
use crate::cli::campaign::Progress;
use crate::screen::Screen;

/// The shortest and the longest time between two plain lines (command line, rules: every 5 s or 5 %,
/// whichever is later; and a log that says nothing for a minute looks like one that hangs).
const BETWEEN: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// Hundredths of all recipients that make a plain line.
const STEP: i64 = 5;

/// Where progress goes.
pub(super) enum Show {
    /// A block on the terminal, redrawn.
    Bar(ProgressBar),
    /// Lines on stderr.
    Plain(Screen, Option<Line>),
    /// Nowhere.
    Nothing,
}

/// The last plain line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    at: Instant,
    done: i64,
    /// Status and what it waits for: a line that changes them does not wait.
    state: (String, String),
}

impl Show {
    pub(super) fn new(screen: Screen, progress: Progress) -> Self {
        match progress {
            Progress::None => Self::Nothing,
            _ if screen.is_quiet || screen.is_json => Self::Nothing,
            Progress::Auto if screen.can_redraw() => Self::Bar(block()),
            Progress::Bar => Self::Bar(block()),
            Progress::Auto | Progress::Plain => Self::Plain(screen, None),
        }
    }

    /// How it is now.
    pub(super) fn update(&mut self, campaign: &Campaign) {
        let now = SystemClock.now();
        match self {
            Self::Bar(bar) => bar.set_message(drawn(campaign, now)),
            Self::Plain(screen, last) => {
                let next = Line::of(campaign, Instant::now());
                if last.as_ref().is_none_or(|last| next.is_due_after(last, campaign)) {
                    screen.talk(&lines::plain(campaign, now));
                    *last = Some(next);
                }
            }
            Self::Nothing => (),
        }
    }

    /// The API does not answer at the moment.
    pub(super) fn away(&self, problem: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(format!("{problem}; trying again")),
            Self::Plain(screen, _) => screen.talk(&format!("{problem}; trying again")),
            Self::Nothing => (),
        }
    }

    /// Takes a bar away; what follows is written where it was.
    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Line {
    fn of(campaign: &Campaign, at: Instant) -> Self {
        let state = (campaign.status.clone(), campaign.why_code().to_owned());
        Self { at, done: campaign.progress.done, state }
    }

    fn is_due_after(&self, last: &Self, campaign: &Campaign) -> bool {
        let [shortest, longest] = BETWEEN;
        let passed = self.at.duration_since(last.at);
        let is_far = (self.done - last.done) * 100 >= campaign.progress.total * STEP;
        self.state != last.state || passed >= longest || (passed >= shortest && is_far)
    }
}

/// An empty block; what stands in it is written by [`drawn`].
fn block() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.with_style(
        ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

/// What stands on the terminal.
fn drawn(campaign: &Campaign, now: DateTime<Utc>) -> String {
    let mut block = vec![
        lines::head(campaign),
        format!("[{}] {}", lines::bar(campaign), lines::pace(campaign, now)),
    ];
    block.extend(lines::numbers(campaign));
    block.extend(lines::why(campaign));
    block.extend(lines::attention(campaign));
    block.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn seen(at: Instant, done: i64, why: &str) -> (Line, Campaign) {
        let campaign: Campaign = from_value(json!({
            "id": "cmp_1", "name": "Sale", "status": "running", "why": {"code": why},
            "progress": {"done": done, "total": 1_000},
        }))
        .unwrap();
        (Line::of(&campaign, at), campaign)
    }

    #[test]
    fn a_plain_line_comes_after_five_seconds_and_five_percent_or_when_something_changes() {
        let start = Instant::now();
        let (first, _) = seen(start, 100, "");
        let is_due = |seconds, done, why| {
            let (line, campaign) = seen(start + Duration::from_secs(seconds), done, why);
            line.is_due_after(&first, &campaign)
        };
        assert!(!is_due(4, 900, ""));
        assert!(!is_due(10, 149, ""));
        assert!(is_due(10, 150, ""));
        assert!(is_due(61, 100, ""));
        assert!(is_due(1, 100, "waiting_for_quota"));
    }
}

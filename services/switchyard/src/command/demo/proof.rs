//! What was caused, what was promised, and what came of it.

use serde::Serialize;

use super::Teller;
use crate::screen::{Tone, grouped};

/// One line of a proof.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    /// What is counted.
    pub(super) name: &'static str,
    /// How often trouble or work was caused; `None` where nothing is.
    pub(super) caused: Option<i64>,
    /// What must come of it.
    pub(super) expected: i64,
    /// What came of it.
    pub(super) observed: i64,
    /// What else there is to say.
    pub(super) note: String,
}

/// A table of them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Proof {
    lines: Vec<Line>,
    /// How long it took, in milliseconds.
    pub(super) took_ms: u128,
}

impl Line {
    fn is_right(&self) -> bool {
        self.expected == self.observed
    }
}

impl Proof {
    /// Adds a line.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        caused: Option<i64>,
        (expected, observed): (i64, i64),
        note: impl Into<String>,
    ) {
        self.lines.push(Line { name, caused, expected, observed, note: note.into() });
    }

    /// The first line that is not as promised.
    pub(super) fn first_wrong(&self) -> Option<&Line> {
        self.lines.iter().find(|line| !line.is_right())
    }

    /// Shows the table and its verdict.
    pub(super) fn show(&self, teller: Teller) {
        let head = format!("  {:<26}{:>9}{:>12}{:>12}", "", "caused", "expected", "observed");
        teller.say(&teller.tint(Tone::Faint, &head));
        for line in &self.lines {
            let (word, tone) =
                if line.is_right() { ("ok", Tone::Good) } else { ("WRONG", Tone::Bad) };
            let (row, word) = (row(line), teller.tint(tone, word));
            teller.say(format!("{row}   {word}  {}", line.note).trim_end());
        }
        teller.say("");
        let seconds = format!("{}.{} s", self.took_ms / 1_000, self.took_ms % 1_000 / 100);
        match self.first_wrong() {
            None => {
                let proved = teller.tint(Tone::Good, &format!("PROVED in {seconds}"));
                teller.say(&format!("  {proved}; what was sent is counted on Meta's side."));
            }
            Some(wrong) => {
                let broken = teller.tint(Tone::Bad, &format!("NOT PROVED: {}", wrong.name));
                teller.say(&format!("  {broken} (after {seconds})"));
            }
        }
    }
}

fn row(line: &Line) -> String {
    let caused = line.caused.map(grouped).unwrap_or_default();
    let (expected, observed) = (grouped(line.expected), grouped(line.observed));
    format!("  {:<26}{caused:>9}{expected:>12}{observed:>12}", line.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_fails_by_its_first_wrong_line() {
        let mut proof = Proof::default();
        proof.add("replies", Some(1_200), (1_000, 1_000), "");
        assert!(proof.first_wrong().is_none());
        proof.add("lost", None, (0, 1), "");
        assert_eq!(proof.first_wrong().map(|line| line.name), Some("lost"));
    }

    #[test]
    fn numbers_stand_under_their_heads() {
        let line = Line {
            name: "replies",
            caused: Some(1_200),
            expected: 1_000,
            observed: 999,
            note: String::new(),
        };
        let expected = "  replies                       1,200       1,000         999";
        assert_eq!(row(&line), expected);
    }
}

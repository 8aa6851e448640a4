//! What people and programs see: data on stdout, talk on stderr, colour only on a terminal.

use std::io::{IsTerminal, Write, stderr, stdout};

use serde::Serialize;

use crate::exit::Failure;

/// Sparing colours: a meaning each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As the terminal is.
    Plain,
    /// What everything else belongs to.
    Strong,
    /// Well.
    Good,
    /// Not well, not fatal.
    Warn,
    /// Not well at all.
    Bad,
    /// What may be skipped.
    Faint,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Strong => "1",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "1;31",
            Self::Faint => "2",
        }
    }
}

/// How the command line wants things shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// One JSON document on stdout instead of text.
    pub(crate) is_json: bool,
    /// No talk but errors.
    pub(crate) is_quiet: bool,
    data_in_colour: bool,
    talk_in_colour: bool,
}

impl Screen {
    pub(crate) fn new(is_json: bool, is_quiet: bool, no_colour: bool) -> Self {
        Self {
            is_json,
            is_quiet,
            data_in_colour: !no_colour && stdout().is_terminal(),
            talk_in_colour: !no_colour && stderr().is_terminal(),
        }
    }

    /// One line of data. A reader that has gone away is no error.
    pub(crate) fn data(&self, line: &str) {
        writeln!(stdout().lock(), "{line}").ok();
    }

    /// One line for a person beside the data.
    pub(crate) fn talk(&self, line: &str) {
        if !self.is_quiet {
            writeln!(stderr().lock(), "{line}").ok();
        }
    }

    /// One line that is redrawn, without a line end: only on a terminal.
    pub(crate) fn redraw(&self, line: &str) {
        if !self.is_quiet && stderr().is_terminal() {
            let mut out = stderr().lock();
            write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush()).ok();
        }
    }

    /// Whether [`Screen::redraw`] shows anything.
    pub(crate) fn can_redraw(&self) -> bool {
        stderr().is_terminal()
    }

    /// One JSON document.
    pub(crate) fn json(&self, document: &impl Serialize) {
        match serde_json::to_string_pretty(document) {
            Ok(text) => self.data(&text),
            Err(error) => self.talk(&format!("error: {error}")),
        }
    }

    /// One JSON document on one line: one of several.
    pub(crate) fn json_line(&self, document: &impl Serialize) {
        match serde_json::to_string(document) {
            Ok(text) => self.data(&text),
            Err(error) => self.talk(&format!("error: {error}")),
        }
    }

    /// An error and how to mend it; said even when quiet.
    pub(crate) fn failure(&self, failure: &Failure) {
        let mut out = stderr().lock();
        let error = tinted(self.talk_in_colour, Tone::Bad, "error:");
        let fix = tinted(self.talk_in_colour, Tone::Strong, "fix:");
        writeln!(out, "{error} {failure}\n{fix} {}", failure.fix).ok();
    }

    /// `text` for stdout in `tone`.
    pub(crate) fn tint(&self, tone: Tone, text: &str) -> String {
        tinted(self.data_in_colour, tone, text)
    }
}

fn tinted(in_colour: bool, tone: Tone, text: &str) -> String {
    match tone {
        Tone::Plain => text.to_owned(),
        tone if in_colour => format!("\x1b[{}m{text}\x1b[0m", tone.code()),
        _ => text.to_owned(),
    }
}

/// Rows as aligned columns, two spaces apart; the last column is not padded.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    rows.iter()
        .map(|row| {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        shown.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters_and_end_without_spaces() {
        let rows = [["a".to_owned(), "ü".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(columns(&rows), ["a     ü", "long"]);
        assert!(columns::<2>(&[]).is_empty());
    }

    #[test]
    fn thousands_are_grouped() {
        let shown: Vec<String> = [0, 999, 1_000, 1_234_567, -1_000].map(grouped).into();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "-1,000"]);
    }

    #[test]
    fn no_colour_means_no_escape() {
        assert_eq!(tinted(false, Tone::Bad, "x"), "x");
        assert_eq!(tinted(true, Tone::Good, "x"), "\x1b[32mx\x1b[0m");
        assert_eq!(tinted(true, Tone::Plain, "x"), "x");
    }
}

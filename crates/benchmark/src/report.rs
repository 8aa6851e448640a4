//! The report: where and how it was measured, tables, and what went wrong.

use std::fmt::Write as _;

use graph_simulator::FloodReport;

use crate::figures::{Series, Target};
use crate::load::Shape;
use crate::{Options, machine};

/// Collects what the parts found.
pub(crate) struct Report {
    about: Vec<(&'static str, String)>,
    body: String,
    /// Lost or doubled: these fail the program.
    problems: Vec<String>,
    notes: Vec<String>,
}

/// One line of a table.
pub(crate) struct Row {
    what: String,
    series: Series,
    target: Target,
}

impl Row {
    pub(crate) fn new(what: &str, series: Series) -> Self {
        Self { what: what.to_owned(), series, target: Target::None }
    }

    pub(crate) fn wanted(self, target: Target) -> Self {
        Self { target, ..self }
    }
}

impl Report {
    pub(crate) fn new(
        machine: Vec<(&'static str, String)>,
        servers: Vec<(&'static str, String)>,
    ) -> Self {
        let about = machine.into_iter().chain(servers).collect();
        Self { about, body: String::new(), problems: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.line(&format!("\n## {title}\n"));
        self.line("| | median (smallest..largest) | target | |\n|---|---|---|---|");
    }

    pub(crate) fn row(&mut self, row: Row) {
        let (target, verdict) = row.target.judge(&row.series);
        self.line(&format!("| {} | {} | {target} | {verdict} |", row.what, row.series));
    }

    pub(crate) fn note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }

    /// Something that must not be there.
    pub(crate) fn count(&mut self, count: u64, what: &str) {
        if count > 0 {
            self.problems.push(format!("{count} {what}"));
        }
    }

    /// Compares what was acknowledged with what is there. A POST that was not acknowledged may have
    /// arrived all the same.
    pub(crate) fn lost(
        &mut self,
        acknowledged: u64,
        found: u64,
        thrown: &FloodReport,
        shape: Shape,
    ) {
        let unsure = (thrown.posts - thrown.acknowledged) * shape.updates;
        self.count(acknowledged.saturating_sub(found), "acknowledged events lost");
        self.count(found.saturating_sub(acknowledged + unsure), "events too many");
    }

    /// Refusals are no loss, but a figure with many of them is none.
    pub(crate) fn refused(&mut self, thrown: &FloodReport) {
        if thrown.posts > thrown.acknowledged {
            let (refused, unreachable) = (&thrown.refused, thrown.unreachable);
            let posts = thrown.posts;
            self.note(&format!(
                "Of {posts} POSTs, refused: {refused:?}, without answer: {unreachable}."
            ));
        }
    }

    pub(crate) const fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn text(&self, options: &Options) -> String {
        let mut text = "# Benchmark\n\n".to_owned();
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let how = [
            ("load average after", machine::load()),
            ("command", format!("make bench: benchmark {command}").trim_end().to_owned()),
            (
                "runs",
                format!(
                    "{} pairs, raw {:?} and ours {:?} in turn; latency {:?}; seed {}",
                    options.pairs,
                    options.raw_run(),
                    options.run(),
                    options.quiet_run(),
                    options.seed
                ),
            ),
        ];
        for (what, value) in self.about.iter().chain(&how) {
            // Writing to a String cannot fail.
            writeln!(text, "- {what}: {value}").ok();
        }
        text.push_str(&self.body);
        text.push_str("\n## Lost and doubled\n\n");
        match self.problems.as_slice() {
            [] => text.push_str("Nothing was lost, nothing was doubled.\n"),
            problems => problems.iter().for_each(|what| text.push_str(&format!("- {what}\n"))),
        }
        for note in &self.notes {
            text.push_str(&format!("\n{note}\n"));
        }
        text
    }

    fn line(&mut self, line: &str) {
        self.body.push_str(line);
        self.body.push('\n');
    }
}

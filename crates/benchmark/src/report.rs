//! The report: where and how it was measured, tables, and what went wrong.

use std::fmt::Write as _;

use graph_simulator::FloodReport;

use crate::figures::{Series, Target};
use crate::load::Shape;
use crate::machine;

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

    /// Begins a table with these columns.
    pub(crate) fn table(&mut self, title: &str, columns: &[&str]) {
        self.line(&format!("\n## {title}\n"));
        self.cells(columns);
        self.line(&format!("|{}", "---|".repeat(columns.len())));
    }

    /// A line of the table.
    pub(crate) fn cells(&mut self, cells: &[impl AsRef<str>]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.table(title, &["", "median (smallest..largest)", "target", ""]);
    }

    pub(crate) fn row(&mut self, row: Row) {
        let (target, verdict) = row.target.judge(&row.series);
        self.cells(&[row.what, row.series.to_string(), target, verdict.to_owned()]);
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

    /// All of it; `how` says in which way it was measured.
    pub(crate) fn text(&self, title: &str, target: &str, how: &str) -> String {
        let mut text = format!("# {title}\n\n");
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let how = [
            ("load average after", machine::load()),
            ("command", format!("{target}: benchmark {command}").trim_end().to_owned()),
            ("runs", how.to_owned()),
        ];
        for (what, value) in self.about.iter().chain(&how) {
            // Writing to a String cannot fail.
            writeln!(text, "- {what}: {value}").ok();
        }
        text.push_str(&self.body);
        text.push_str("\n## Lost, doubled and exceeded\n\n");
        match self.problems.as_slice() {
            [] => text.push_str("Nothing was lost, nothing was doubled, no limit was exceeded.\n"),
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

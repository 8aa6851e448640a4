//! Figures of several runs, and what is wanted of them.

use std::fmt;

/// One value from each run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Whether there are values, and all are this one.
    pub(crate) fn is_all(&self, value: f64) -> bool {
        !self.0.is_empty() && self.0.iter().all(|one| one.total_cmp(&value).is_eq())
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let upper = sorted.len() / 2;
        let lower = sorted.len().checked_sub(1)? / 2;
        Some(f64::midpoint(*sorted.get(lower)?, *sorted.get(upper)?))
    }

    /// The median alone.
    pub(crate) fn short(&self) -> String {
        self.median().map_or_else(|| "–".to_owned(), shown)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// `median (smallest..largest)`.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = self.sorted();
        match (self.median(), sorted.first(), sorted.last()) {
            (Some(median), Some(first), Some(last)) => {
                write!(f, "{} ({}..{})", shown(median), shown(*first), shown(*last))
            }
            _ => f.write_str("not measured"),
        }
    }
}

/// Three digits that mean something.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// What is wanted of a median.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Nothing.
    None,
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Target {
    /// The target and whether `series` keeps it, for two columns.
    pub(crate) fn judge(self, series: &Series) -> (String, &'static str) {
        let verdict = |is_kept| if is_kept { "ok" } else { "**missed**" };
        let judged =
            |keeps: &dyn Fn(f64) -> bool| series.median().map_or("", |m| verdict(keeps(m)));
        match self {
            Self::None => (String::new(), ""),
            Self::AtLeast(least) => (format!("≥ {least}"), judged(&|median| median >= least)),
            Self::AtMost(most) => (format!("≤ {most}"), judged(&|median| median <= most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_shows_its_median_and_range() {
        let mut series = Series::default();
        assert_eq!(series.to_string(), "not measured");
        for value in [3000.0, 1000.0, 2000.0, 2001.0] {
            series.push(value);
        }
        assert_eq!(series.to_string(), "2000 (1000..3000)");
    }

    #[test]
    fn a_target_is_judged_by_the_median() {
        let mut series = Series::default();
        assert_eq!(Target::AtLeast(1.0).judge(&series).1, "");
        series.push(0.34);
        assert_eq!(Target::AtLeast(0.35).judge(&series), ("≥ 0.35".to_owned(), "**missed**"));
        assert_eq!(Target::AtMost(0.35).judge(&series).1, "ok");
    }
}

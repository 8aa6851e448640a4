//! Whether a campaign reaches its limit, and never exceeds it, by the second.

use super::client::{act, check, draft, moments, silent_meta, wait_ended, wait_sent};
use crate::driver::number;
use crate::figures::{Series, Target};
use crate::installation::Installation;
use crate::report::{Report, Row};
use crate::{Options, say};

/// Messages per second.
const LIMITS: [u32; 2] = [80, 1_000];

/// Measures each limit on a connection of its own.
pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    install.run(&["all"]).await?;
    install.meta().set_faults(silent_meta());
    for limit in LIMITS {
        let tag = format!("limit{limit}");
        let recipients = usize::try_from(u64::from(limit) * options.quiet_run().as_secs())?;
        install.db().people(&tag, recipients).await?;
        let connection = install.connect_also(&format!("77{limit}"), Some(limit * 60)).await?;
        let [mut reached, mut most] = [const { Series::empty() }; 2];
        for _ in 0..options.pairs {
            install.meta().forget_sent();
            let campaign = draft(install, &connection, &tag, &tag).await?;
            act(install, &campaign, "start").await?;
            wait_sent(install, recipients).await?;
            let shown = wait_ended(install, &campaign).await?;
            check(install, report, &shown, recipients)?;
            let moments = moments(install);
            reached.push(middle_rate(&moments) / f64::from(limit));
            most.push(number(fullest_second(&moments)));
        }
        say(&format!("campaign at {limit}/s: reached {reached}, most in a second {most}"));
        report.section(&format!("A campaign at a limit of {limit} per second"));
        report.row(
            Row::new("rate / limit, without the first second", reached.clone())
                .wanted(Target::AtLeast(0.98)),
        );
        report.row(Row::new("the same, at most", reached).wanted(Target::AtMost(1.02)));
        let most = Row::new("most in any second, counted at Meta", most);
        report.row(most.wanted(Target::AtMost(f64::from(limit))));
    }
    install.stop().await
}

/// Messages per second after the first second, in which what had been saved up may go.
fn middle_rate(moments: &[f64]) -> f64 {
    let later: Vec<f64> = moments.iter().copied().filter(|moment| *moment >= 1.0).collect();
    match (later.first(), later.last()) {
        (Some(first), Some(last)) if last > first => number(later.len() - 1) / (last - first),
        _ => 0.0,
    }
}

/// The most messages within one second, wherever it begins.
fn fullest_second(moments: &[f64]) -> usize {
    let mut begins = moments.iter().peekable();
    let mut gone = 0;
    let mut most = 0;
    for (at, moment) in moments.iter().enumerate() {
        while begins.next_if(|begin| moment - **begin >= 1.0).is_some() {
            gone += 1;
        }
        most = most.max(at + 1 - gone);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_second_begins_anywhere() {
        assert_eq!(fullest_second(&[]), 0);
        assert_eq!(fullest_second(&[0.0, 0.9, 1.0, 1.1, 1.8, 5.0]), 4);
        assert_eq!(fullest_second(&[0.0, 1.0, 2.0]), 1);
    }

    #[test]
    fn the_rate_is_that_after_the_first_second() {
        assert!((middle_rate(&[0.0, 0.0, 0.0, 1.0, 1.5, 2.0]) - 2.0).abs() < 1e-9);
    }
}

//! Whether campaigns that run beside each other get equal shares.

use std::collections::HashMap;

use super::client::{act, draft, silent_meta, wait_sent};
use crate::driver::number;
use crate::figures::{Series, Target};
use crate::installation::Installation;
use crate::report::{Report, Row};
use crate::{Options, say};

const CAMPAIGNS: usize = 10;
/// Of each connection, per second.
const LIMIT: u32 = 200;

/// Ten campaigns on one connection, then ten connections with one each.
pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    install.run(&["all"]).await?;
    install.meta().set_faults(silent_meta());
    let each = if options.quick { 100 } else { 400 };
    install.db().people("fair", each).await?;
    let one = install.connect_also("7810", Some(LIMIT * 60)).await?;
    let mut ten = Vec::new();
    for n in 0..CAMPAIGNS {
        let limit = LIMIT * 60 / u32::try_from(CAMPAIGNS)?;
        ten.push(install.connect_also(&format!("782{n}"), Some(limit)).await?);
    }
    let [mut on_one, mut on_ten] = [const { Series::empty() }; 2];
    for _ in 0..options.pairs {
        on_one.push(spread(install, &vec![one.clone(); CAMPAIGNS], each).await?);
        on_ten.push(spread(install, &ten, each).await?);
    }
    say(&format!("campaigns' shares: one connection {on_one}, ten {on_ten}"));
    report.section("Ten campaigns at once: largest share / smallest, while all ten run");
    let row = Row::new("on one connection with 200 per second", on_one);
    report.row(row.wanted(Target::AtMost(1.2)));
    let row = Row::new("on ten connections with 20 per second each", on_ten);
    report.row(row.wanted(Target::AtMost(1.2)));
    install.stop().await
}

/// Starts one campaign on each of the connections, and compares their shares.
async fn spread(
    install: &Installation,
    connections: &[String],
    each: usize,
) -> anyhow::Result<f64> {
    install.meta().forget_sent();
    let mut campaigns = Vec::new();
    for (n, connection) in connections.iter().enumerate() {
        campaigns.push(draft(install, connection, &format!("share{n}"), "fair").await?);
    }
    for campaign in &campaigns {
        act(install, campaign, "start").await?;
    }
    let all = each * campaigns.len();
    wait_sent(install, all).await?;
    let order: Vec<String> =
        install.meta().sent().into_iter().filter_map(|sent| sent.template).collect();
    Ok(spread_of(&order, campaigns.len()))
}

/// From when all campaigns have begun until the first is done: the most that one sent / the fewest.
fn spread_of(order: &[String], campaigns: usize) -> f64 {
    let mut places: HashMap<&str, (usize, usize)> = HashMap::new();
    for (at, name) in order.iter().enumerate() {
        places.entry(name).and_modify(|(_, last)| *last = at).or_insert((at, at));
    }
    let from = places.values().map(|(first, _)| *first).max().unwrap_or_default();
    let until = places.values().map(|(_, last)| *last).min().unwrap_or_default();
    let mut shares: HashMap<&str, u64> = HashMap::new();
    for name in order.get(from..until).unwrap_or_default() {
        *shares.entry(name).or_default() += 1;
    }
    let most = shares.values().copied().max().unwrap_or_default();
    let fewest = shares.values().copied().min().filter(|_| shares.len() == campaigns);
    fewest.map_or(f64::INFINITY, |fewest| number(most) / number(fewest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_time_in_which_all_campaigns_run() {
        let order: Vec<String> = "aaaaababbabbb".chars().map(String::from).collect();
        // From the first b until the last a: b, a, b, b.
        assert!((spread_of(&order, 2) - 3.0).abs() < 1e-9);
        assert!(spread_of(&order, 3).is_infinite());
    }
}

//! One search after the other over HTTP, of every kind, beside reading one contact by its id.

use anyhow::Context;
use reqwest::Method;
use serde_json::Value;
use tokio::time::Instant;

use crate::driver::quantile;
use crate::figures::{Series, Target};
use crate::installation::Installation;
use crate::report::{Report, Row};
use crate::{Options, say};

const SERVICE: &str = "contacts";
/// Beyond this a list feels slow.
const WANTED_MS: f64 = 100.0;

/// Searches of one kind: what they find, and the query of the n-th.
struct Kind {
    what: &'static str,
    query: fn(u64) -> String,
}

/// The distribution is that of [`crate::database::Database::crowd`].
const KINDS: [Kind; 14] = [
    Kind { what: "the newest", query: |_| String::new() },
    Kind { what: "the newest, counted about", query: |_| "count=estimate".to_owned() },
    Kind { what: "one number", query: |n| format!("phone=%2B49160{:08}", 1 + n * 977) },
    Kind { what: "the beginning of a number", query: |n| format!("q=%2B49160{:05}", n * 3) },
    Kind { what: "first and last name", query: |n| format!("q={}%20{}", first(n), last(n * 7)) },
    Kind { what: "a first name, 1 in 40", query: |n| format!("name={}", first(n)) },
    Kind {
        what: "two letters of a name",
        query: |n| format!("q={}", first(n).get(..2).unwrap_or("an")),
    },
    Kind { what: "a tag, 1 in 10,000", query: |n| format!("tag=rare{}", n % 20) },
    Kind { what: "a tag, 1 in 3", query: |_| "tag=customer".to_owned() },
    Kind { what: "an attribute, 1 in 500", query: |n| format!("attribute=city:City{}", n % 500) },
    Kind {
        what: "tag, attribute and name",
        query: |n| format!("tag=customer&attribute=city:City{}&name={}", n % 500, first(n)),
    },
    Kind { what: "a source, 1 in 10,000", query: |_| "source=template_send".to_owned() },
    Kind { what: "who has opted out, 1 in 200", query: |_| "opted_out=true".to_owned() },
    Kind {
        what: "those of one day",
        query: |n| {
            let (month, day) = (1 + n % 12, 1 + n % 27);
            format!(
                "created_after=2025-{month:02}-{day:02}T00:00:00Z\
                 &created_before=2025-{month:02}-{:02}T00:00:00Z",
                day + 1
            )
        },
    },
];

/// Makes a crowd and looks for people in it.
pub(super) async fn run(
    options: &Options,
    install: &mut Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    install.run(&[SERVICE]).await?;
    let begun = Instant::now();
    install.db().crowd(options.people).await?;
    say(&format!("{} contacts made in {:.0} s", options.people, begun.elapsed().as_secs_f64()));
    report.table(
        &format!("Finding people among {} contacts of one workspace, {} searches each, one after the other, over HTTP", options.people, options.searches),
        &["search", "p50, ms", "p99, ms", "target", ""],
    );
    let by_id = ids(install, options.searches).await?;
    let mut worst = Series::default();
    line(report, "one by its id, for comparison", &by_id, None);
    for kind in &KINDS {
        // The first one reads the index from the disk: a person waits for it once.
        find(install, (kind.query)(options.searches)).await?;
        let mut took = Vec::new();
        for n in 0..options.searches {
            took.push(find(install, (kind.query)(n)).await?);
        }
        took.sort_by(f64::total_cmp);
        line(report, kind.what, &took, Some(&mut worst));
        say(&format!("{}: p99 {:.1} ms", kind.what, quantile(&took, 99)));
    }
    report.section("Finding people: all kinds together");
    report.row(Row::new("median of the p99, ms", worst).wanted(Target::AtMost(WANTED_MS)));
    install.stop().await
}

fn line(report: &mut Report, what: &str, took: &[f64], worst: Option<&mut Series>) {
    let mut p99 = Series::default();
    p99.push(quantile(took, 99));
    let (target, verdict) = Target::AtMost(WANTED_MS).judge(&p99);
    if let Some(worst) = worst {
        worst.push(quantile(took, 99));
    }
    let (p50, p99) = (format!("{:.1}", quantile(took, 50)), p99.short());
    report.cells(&[what.to_owned(), p50, p99, target, verdict.to_owned()]);
}

/// Milliseconds that one search takes.
async fn find(install: &Installation, query: String) -> anyhow::Result<f64> {
    let begun = Instant::now();
    install.api(SERVICE, Method::GET, &format!("v1/contacts?{query}"), None).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Sorted milliseconds that reading one contact takes.
async fn ids(install: &Installation, searches: u64) -> anyhow::Result<Vec<f64>> {
    let newest = install.api(SERVICE, Method::GET, "v1/contacts?limit=200", None).await?;
    let data = newest.get("data").and_then(Value::as_array).context("no list")?;
    let ids: Vec<&str> = data.iter().filter_map(|one| one.get("id")?.as_str()).collect();
    let mut took = Vec::new();
    for (_, id) in (0..searches).zip(ids.iter().cycle()) {
        let begun = Instant::now();
        install.api(SERVICE, Method::GET, &format!("v1/contacts/{id}"), None).await?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// A first name of the crowd.
fn first(n: u64) -> &'static str {
    const FIRST: [&str; 8] =
        ["anna", "berta", "clara", "david", "emil", "friedrich", "greta", "hans"];
    usize::try_from(n).ok().and_then(|n| FIRST.get(n % FIRST.len()).copied()).unwrap_or("anna")
}

/// A last name of the crowd.
fn last(n: u64) -> String {
    format!("Name{}", n % 2_000)
}

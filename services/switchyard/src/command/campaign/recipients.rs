//! `campaign recipients`: who got what, page by page or as CSV.

use std::io::{self, Write};

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::api::Api;
use crate::cli::campaign::Recipients;
use crate::command::locks::print_table;
use crate::exit::{Exit, Failure, OrFix};
use crate::screen::Screen;

/// A recipient, as far as a table shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Recipient {
    n: i64,
    id: String,
    phone: Option<String>,
    user: Option<String>,
    state: String,
    delivery: Option<String>,
    reason: Option<String>,
    error_code: Option<i64>,
}

impl Recipient {
    fn row(self) -> [String; 6] {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            self.n.to_string(),
            or_dash(self.phone.or(self.user)),
            self.state,
            or_dash(self.delivery),
            or_dash(self.reason.or_else(|| self.error_code.map(|code| code.to_string()))),
            self.id,
        ]
    }
}

pub(super) async fn recipients(
    screen: Screen,
    api: &Api,
    wanted: &Recipients,
) -> Result<Exit, Failure> {
    let id = api.find(&wanted.campaign).await?.campaign.id;
    let path = format!("v1/campaigns/{id}/recipients");
    let states = wanted.status.iter().map(|state| ("state", state.clone()));
    let codes = wanted.error_code.iter().map(|code| ("error_code", code.to_string()));
    let query: Vec<(&str, String)> = states.chain(codes).collect();
    if wanted.csv {
        return csv(api, &path, &query).await;
    }
    let listed = api.list(&path, &query, wanted.limit).await?;
    if screen.is_json {
        listed.things.iter().for_each(|document| screen.json_line(document));
        return Ok(Exit::Done);
    }
    if listed.things.is_empty() {
        screen.talk("No recipient is so.");
        return Ok(Exit::Done);
    }
    let head = ["N", "TO", "STATE", "DELIVERY", "WHY", "MESSAGE"].map(str::to_owned);
    let rows = listed.things.into_iter().map(read);
    print_table(screen, &std::iter::once(head).chain(rows).collect::<Vec<_>>());
    if listed.has_more {
        screen.talk("There are more: --limit, or all of them: --csv > recipients.csv");
    }
    Ok(Exit::Done)
}

fn read(document: Value) -> [String; 6] {
    serde_json::from_value::<Recipient>(document).unwrap_or_default().row()
}

/// Hands the API's own CSV through, piece by piece: it may be larger than memory.
async fn csv(api: &Api, path: &str, query: &[(&str, String)]) -> Result<Exit, Failure> {
    let mut response = api.call(Method::GET, path, query, None, "text/csv").await?;
    while let Some(part) = response.chunk().await.map_err(|cause| api.away(cause))? {
        match io::stdout().lock().write_all(&part) {
            // A reader that has gone away has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Done),
            written => written.or_fix("write it where there is room")?,
        }
    }
    io::stdout().lock().flush().or_fix("write it where there is room")?;
    Ok(Exit::Done)
}

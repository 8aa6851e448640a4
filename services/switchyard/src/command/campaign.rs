//! `campaign`: campaigns over the HTTP API, as whoever holds the key may do.

mod act;
pub(in crate::command) mod api;
mod bar;
mod lines;
mod list;
mod model;
mod recipients;
mod watch;

use crate::cli::campaign::{Asked, Campaign};
use crate::exit::{Exit, Failure};
use crate::screen::Screen;

use self::act::Verb;
use self::api::Api;

/// Does what is asked of campaigns.
pub(crate) async fn campaign(screen: Screen, asked: Campaign) -> Result<Exit, Failure> {
    let Campaign { reach, asked } = asked;
    let api = Api::new(&reach)?;
    match asked {
        Asked::Ls { status, limit } => list::list(screen, &api, &status, limit).await,
        Asked::Show { campaign } => list::show(screen, &api, &campaign).await,
        Asked::Watch(wanted) => watch::watch(screen, &api, &wanted).await,
        Asked::Start(act) => act::act(screen, &api, Verb::Start, &act).await,
        Asked::Pause(act) => act::act(screen, &api, Verb::Pause, &act).await,
        Asked::Resume(act) => act::act(screen, &api, Verb::Resume, &act).await,
        Asked::Cancel { act, confirm } => act::cancel(screen, &api, &act, confirm.as_deref()).await,
        Asked::RetryFailed(act) => act::retry_failed(screen, &api, &act).await,
        Asked::Recipients(wanted) => recipients::recipients(screen, &api, &wanted).await,
    }
}

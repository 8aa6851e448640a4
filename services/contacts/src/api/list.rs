//! `GET /v1/contacts`: finds people by what is known of them.

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use kernel::WaId;
use serde::Deserialize;
use service::values::Phone;
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};
use storage::contacts::{self, Filter, Place, Source};

use super::Api;
use super::shown::Contact;
use super::values::{CameFrom, Condition, Moment, Tag, Words};

/// Fewer digits begin too many numbers.
const FEWEST_DIGITS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<Place>>,
    count: Option<Count>,
    phone: Option<Phone>,
    /// The beginnings of words of the name.
    name: Option<Words>,
    /// The beginning of the number, or what `name` takes.
    q: Option<Words>,
    /// Given several times: contacts with any of them.
    #[serde(default)]
    tag: Vec<Tag>,
    /// `city:Berlin`. Given several times: contacts with all of them.
    #[serde(default)]
    attribute: Vec<Condition>,
    /// Given several times: contacts from any of them.
    #[serde(default)]
    source: Vec<CameFrom>,
    opted_out: Option<bool>,
    created_after: Option<Moment>,
    created_before: Option<Moment>,
}

/// Whether to say how many there are on all pages.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Count {
    /// Costs nothing, and is right to within some percent.
    Estimate,
    /// Counts them.
    Exact,
}

impl Wanted {
    fn filter(&self) -> Filter {
        let number = self.q.as_ref().and_then(Words::digits);
        let number = number.filter(|digits| digits.len() >= FEWEST_DIGITS);
        let words = [self.name.as_ref(), self.q.as_ref().filter(|_| number.is_none())];
        Filter {
            wa_id: self.phone.as_ref().map(Phone::wa_id),
            number_prefix: number.map(|digits| WaId::new(digits).into_string()),
            words: words.into_iter().flatten().flat_map(Words::words).collect(),
            tags: self.tag.iter().map(Tag::to_string).collect(),
            attributes: self.attribute.iter().map(Condition::pair).collect(),
            sources: self.source.iter().map(|from| Source::from(*from)).collect(),
            is_opted_out: self.opted_out,
            created_after: self.created_after.map(DateTime::<Utc>::from),
            created_before: self.created_before.map(DateTime::<Utc>::from),
        }
    }
}

pub(super) async fn list(
    caller: Caller,
    api: Data<Api>,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Contact>, Problem> {
    caller.require(Scope::ContactsRead)?;
    let (workspace, filter) = (caller.workspace, wanted.filter());
    let after = wanted.cursor.map(|Cursor(place)| place);
    let mut conn = api.db.connection().await?;
    let found = contacts::search(&mut conn, workspace, &filter, after, wanted.limit.rows()).await?;
    let count = match wanted.count {
        Some(Count::Estimate) => Some(contacts::estimate(&mut conn, workspace, &filter).await?),
        Some(Count::Exact) => Some(contacts::count(&mut conn, workspace, &filter).await?),
        None => None,
    };
    let page = Page::new(found, wanted.limit, contacts::Contact::place, Contact::from);
    Ok(page.counted(count))
}

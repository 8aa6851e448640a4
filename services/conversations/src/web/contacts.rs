//! `/v1/contacts`: people, as far as they are known.

use actix_web::web::{self, Data, Path, ServiceConfig};
use kernel::ids::ContactId;
use serde::{Deserialize, Serialize};
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};
use storage::contacts;

use super::State;
use super::time::Time;
use super::values::{Nothing, Phone};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/v1/contacts").route(web::get().to(list)))
        .service(web::resource("/v1/contacts/{id}").route(web::get().to(read)));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<ContactId>>,
    phone: Option<Phone>,
}

#[derive(Serialize)]
struct Contact {
    object: &'static str,
    id: ContactId,
    /// E.164 with `+`; Meta may show only the user id.
    phone: Option<String>,
    user_id: Option<String>,
    name: Option<String>,
    source: String,
    created_at: Time,
    updated_at: Time,
}

impl From<contacts::Contact> for Contact {
    fn from(stored: contacts::Contact) -> Self {
        Self {
            object: "contact",
            id: stored.id(),
            phone: stored.wa_id().map(|number| format!("+{}", number.as_str())),
            user_id: stored.user_id().map(kernel::UserId::into_string),
            created_at: Time(stored.created_at),
            updated_at: Time(stored.updated_at),
            name: stored.name,
            source: stored.source,
        }
    }
}

async fn list(
    caller: Caller,
    state: Data<State>,
    Query(filter): Query<Filter>,
) -> Result<Page<Contact>, Problem> {
    caller.require(Scope::ContactsRead)?;
    let wa_id = filter.phone.as_ref().map(Phone::wa_id);
    let before = filter.cursor.map(|Cursor(last)| last);
    let mut conn = state.db.connection().await?;
    let (workspace, rows) = (caller.workspace, filter.limit.rows());
    let found = contacts::list(&mut conn, workspace, wa_id.as_ref(), before, rows).await?;
    Ok(Page::new(found, filter.limit, contacts::Contact::id, Contact::from))
}

async fn read(
    caller: Caller,
    state: Data<State>,
    id: Path<ContactId>,
    _: Query<Nothing>,
) -> Result<web::Json<Contact>, Problem> {
    caller.require(Scope::ContactsRead)?;
    let mut conn = state.db.connection().await?;
    let found = contacts::find(&mut conn, caller.workspace, *id).await?;
    found.map(|stored| web::Json(stored.into())).ok_or_else(Problem::not_found)
}

//! The records that an import left out: as pages, or all of them as CSV.

use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse, Responder};
use futures_util::stream::{self, Stream};
use kernel::ids::ImportId;
use serde::{Deserialize, Serialize};
use service::{Caller, Cursor, Limit, Page, Problem, Query, Scope};

use super::store::{self, Rejected};
use crate::api::Api;
use crate::export::csv;

/// Records read for a part of a CSV answer.
const PART: i64 = 2_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<i64>>,
}

#[derive(Debug, Serialize)]
struct Shown {
    object: &'static str,
    line: i64,
    code: String,
    detail: String,
    record: String,
}

/// By line; with `Accept: text/csv` all of them.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller,
    id: Path<ImportId>,
    Query(wanted): Query<Wanted>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.require(Scope::ContactsRead)?;
    let mut conn = api.db.connection().await?;
    store::find(&mut conn, caller.workspace, *id).await?.ok_or_else(Problem::not_found)?;
    let after = wanted.cursor.map_or(0, |Cursor(last)| last);
    let accepted = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    let wants_csv = accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/csv"));
    if wants_csv {
        drop(conn);
        let file = format!("attachment; filename=\"{}-rejects.csv\"", *id);
        return Ok(HttpResponse::Ok()
            .content_type("text/csv; charset=utf-8")
            .insert_header((CONTENT_DISPOSITION, file))
            .streaming(parts(api, *id, after)));
    }
    let found = store::rejects(&mut conn, *id, after, wanted.limit.rows()).await?;
    let page = Page::new(
        found,
        wanted.limit,
        |reject: &Rejected| reject.line,
        |reject| Shown {
            object: "contact_import_reject",
            line: reject.line,
            code: reject.code,
            detail: reject.detail,
            record: reject.record,
        },
    );
    Ok(page.respond_to(&request))
}

/// The header, then records by the thousand. An error breaks the answer off, so that nobody takes a part
/// for the whole.
fn parts(api: Data<Api>, id: ImportId, after: i64) -> impl Stream<Item = Result<Bytes, Problem>> {
    let mut header = Vec::new();
    csv::line(&mut header, ["line", "code", "reason", "record"]);
    stream::try_unfold((api, Some((after, header))), move |(api, place)| async move {
        let Some((after, mut text)) = place else { return Ok(None) };
        let mut conn = api.db.connection().await?;
        let found = store::rejects(&mut conn, id, after, PART).await?;
        drop(conn);
        let next = found.last().map(|last| (last.line, Vec::new()));
        for Rejected { line, code, detail, record } in &found {
            let line = line.to_string();
            csv::line(&mut text, [line.as_str(), code, detail, record]);
        }
        // An empty part would end the answer.
        Ok((!text.is_empty()).then(|| (Bytes::from(text), (api, next))))
    })
}

//! Who a campaign goes to: the numbers of a file.

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, Responder};
use diesel_async::AsyncConnection;
use futures_util::StreamExt;
use kernel::ids::CampaignId;
use serde::Serialize;
use service::{Caller, Code, IfMatch, Problem, Query, Scope, etag};

use super::Api;
use super::values::Nothing;
use crate::store::uploads::{self, Begun, Person};
use crate::upload::{Line, Lines, Table};

/// Bytes of a file at most: some three million people with a few values each.
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// People stored by one statement.
const BATCH: usize = 2_000;
/// Bad lines that are reported one by one; the others are counted.
const MOST_REPORTED: usize = 100;
/// How a file in UTF-16 begins.
const UTF_16: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// What became of a file.
#[derive(Debug, Serialize)]
struct Report {
    object: &'static str,
    campaign: CampaignId,
    /// Lines with a number that can be used; one number given twice counts twice here.
    accepted: usize,
    rejected: usize,
    /// The first bad lines.
    errors: Vec<Rejected>,
}

#[derive(Debug, Serialize)]
struct Rejected {
    line: i32,
    code: &'static str,
    detail: String,
}

/// A file on its way into the table.
struct Reading<'a> {
    api: &'a Api,
    begun: Begun,
    table: Table,
    people: Vec<Person>,
    report: Report,
}

/// Takes a CSV file, or one number a line, as the campaign's own list of people; the audience's
/// `upload` is set by it. Replaces what was uploaded before. Bad lines are reported and left out.
pub(super) async fn upload(
    api: Data<Api>,
    caller: Caller,
    id: Path<CampaignId>,
    IfMatch(expected): IfMatch,
    Query(Nothing {}): Query<Nothing>,
    request: HttpRequest,
    payload: Payload,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::CampaignsWrite)?;
    check_headers(&request)?;
    let now = api.clock.now();
    let mut conn = api.db.connection().await?;
    let begun = (*conn)
        .transaction(async |tx| uploads::begin(tx, caller.workspace, *id, expected, now).await)
        .await?;
    drop(conn);
    let report = Report {
        object: "audience_file",
        campaign: *id,
        accepted: 0,
        rejected: 0,
        errors: Vec::new(),
    };
    let (table, people) = (Table::default(), Vec::new());
    let mut reading = Reading { api: &api, begun, table, people, report };
    reading.all(payload).await?;
    if reading.report.accepted == 0 {
        return Err(nobody(reading.report));
    }
    let mut conn = api.db.connection().await?;
    let now = api.clock.now();
    let campaign = (*conn).transaction(async |tx| uploads::finish(tx, begun, now).await).await?;
    Ok(HttpResponse::Ok().insert_header(etag(campaign.version)).json(reading.report))
}

impl Reading<'_> {
    async fn all(&mut self, mut payload: Payload) -> Result<(), Problem> {
        let (mut lines, mut bytes) = (Lines::default(), 0);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| {
                Problem::new(Code::BadRequest, "The file broke off.").caused_by(error)
            })?;
            if bytes == 0 && UTF_16.iter().any(|mark| chunk.starts_with(mark)) {
                return Err(Problem::new(Code::UnsupportedMedia, "Save the file as UTF-8."));
            }
            bytes += chunk.len();
            if bytes > MOST_BYTES {
                let detail = format!("A file may have {MOST_BYTES} bytes.");
                return Err(Problem::new(Code::TooLarge, detail));
            }
            for line in lines.push(&chunk) {
                self.take(&line).await?;
            }
        }
        if let Some(last) = lines.finish() {
            self.take(&last).await?;
        }
        self.store().await
    }

    async fn take(&mut self, line: &Line) -> Result<(), Problem> {
        match self.table.read(line) {
            Ok(None) => (),
            Ok(Some(person)) => {
                self.report.accepted += 1;
                self.people.push(person);
            }
            Err(bad) => {
                self.report.rejected += 1;
                if self.report.errors.len() < MOST_REPORTED {
                    let (code, detail) = (bad.code(), bad.to_string());
                    self.report.errors.push(Rejected { line: line.number, code, detail });
                }
            }
        }
        if self.people.len() < BATCH { Ok(()) } else { self.store().await }
    }

    async fn store(&mut self) -> Result<(), Problem> {
        let people = std::mem::take(&mut self.people);
        let mut conn = self.api.db.connection().await?;
        (*conn).transaction(async |tx| uploads::add(tx, self.begun, people).await).await?;
        Ok(())
    }
}

fn check_headers(request: &HttpRequest) -> Result<(), Problem> {
    let text = |name: HeaderName| {
        let value = request.headers().get(name)?.to_str().ok()?;
        value.split(';').next().map(|kind| kind.trim().to_ascii_lowercase())
    };
    let kind = text(CONTENT_TYPE).unwrap_or_else(|| "text/csv".to_owned());
    if !matches!(kind.as_str(), "text/csv" | "text/plain" | "application/octet-stream") {
        return Err(Problem::new(Code::UnsupportedMedia, "Send Content-Type: text/csv."));
    }
    if text(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Problem::new(Code::UnsupportedMedia, "Send the file uncompressed."));
    }
    Ok(())
}

/// A file without anybody in it is a mistake, not an audience.
fn nobody(report: Report) -> Problem {
    let problem = Problem::new(Code::ValidationFailed, "No line of the file has a phone number.");
    report.errors.into_iter().fold(problem, |problem, bad| {
        problem.and_invalid(format!("line {}", bad.line), bad.code, bad.detail)
    })
}

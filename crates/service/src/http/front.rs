//! What happens around every request: id, span, panic fence, error body, log line, duration.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage};
use futures_util::FutureExt;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, error, info_span, warn};

use super::request_id::{REQUEST_ID, RequestId};
use crate::problem::Place;
use crate::{Code, Problem};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The label of requests for addresses that do not exist.
const NO_ROUTE: &str = "none";
const DURATION: &str = "http_server_request_duration_seconds";

/// Tells what is measured here.
pub(crate) fn describe() {
    metrics::describe_histogram!(DURATION, "From the request's head to the answer's head");
}

/// The outermost middleware.
pub(crate) async fn front(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begin = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = label(request.method());
    let span = span_of(&request, method, &id);
    async {
        let instance = Some(request.path().to_owned());
        let place = Place { request_id: Some(id.as_str().to_owned()), instance };
        // A panic must cost one request, not the connection and its sender's patience.
        let outcome = AssertUnwindSafe(next.call(request)).catch_unwind().await;
        let answered = answer(outcome, &place);
        let (status, route) = match &answered {
            Ok(response) => (response.status(), response.request().match_pattern()),
            Err(error) => (error.as_response_error().status_code(), None),
        };
        measure(begin, method, route.as_deref().unwrap_or(NO_ROUTE), status);
        answered.map(|response| with_ids(response, &id))
    }
    .instrument(span)
    .await
}

fn span_of(request: &ServiceRequest, method: &'static str, id: &RequestId) -> Span {
    let span = info_span!(
        "request",
        otel.name = Empty,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        request_id = id.as_str(),
    );
    if let Some(parent) = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()) {
        telemetry::trace::set_parent(&span, parent);
    }
    span
}

/// Turns every kind of failure into a problem that names the request.
fn answer<B: MessageBody + 'static>(
    outcome: Result<Result<ServiceResponse<B>, Error>, Box<dyn Any + Send>>,
    place: &Place,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match outcome {
        Ok(Ok(response)) => Ok(name_request(response.map_into_boxed_body(), place)),
        // No request is left to answer by; the server renders the problem itself.
        Ok(Err(error)) => match error.as_error::<Problem>() {
            Some(problem) => Err(error_at(problem, place)),
            None => Err(error_at(&of_status(error.as_response_error().status_code()), place)),
        },
        // The panic hook has logged where.
        Err(_) => Err(error_at(&of_status(StatusCode::INTERNAL_SERVER_ERROR), place)),
    }
}

fn error_at(problem: &Problem, place: &Place) -> Error {
    log(problem);
    problem.again().at(place.clone()).into()
}

fn name_request(response: ServiceResponse<BoxBody>, place: &Place) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let rendered = match response.response().error() {
        Some(error) => match error.as_error::<Problem>() {
            Some(problem) => {
                log(problem);
                problem.render(place)
            }
            None => of_status(status).render(place),
        },
        // Answered by actix itself: the address exists, the method does not.
        None if status == StatusCode::METHOD_NOT_ALLOWED => {
            let mut rendered = of_status(status).render(place);
            if let Some(allowed) = response.headers().get(ALLOW) {
                rendered.headers_mut().insert(ALLOW, allowed.clone());
            }
            rendered
        }
        None => return response,
    };
    response.into_response(rendered)
}

/// The problem for a failure that actix or one of its extractors describes by status alone.
fn of_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(Code::MethodNotAllowed, "See the Allow header for the methods there are.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge, "Send less at once."),
        StatusCode::REQUEST_TIMEOUT => Problem::new(Code::RequestTimeout, "Send it faster."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(Code::UnsupportedMedia, "Send Content-Type: application/json.")
        }
        status if status.is_client_error() => {
            Problem::new(Code::BadRequest, "The request cannot be read.")
        }
        _ => Problem::internal(anyhow::anyhow!("answered {status} without a problem")),
    }
}

/// Failures of ours are logged here, once; callers' mistakes only when somebody wants to see them.
fn log(problem: &Problem) {
    let code = problem.code();
    let chain = problem.cause().unwrap_or_default();
    match code.status() {
        StatusCode::INTERNAL_SERVER_ERROR => {
            error!(error.code = code.as_str(), error.chain = chain, "request failed");
        }
        status if status.is_server_error() => {
            warn!(error.code = code.as_str(), error.chain = chain, "request refused for now");
        }
        _ => debug!(error.code = code.as_str(), error.chain = chain, "request refused"),
    }
}

fn with_ids(mut response: ServiceResponse<BoxBody>, id: &RequestId) -> ServiceResponse<BoxBody> {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    // Only a trace that somebody keeps is worth a header.
    if let Some(parent) = telemetry::trace::current_traceparent().filter(|p| p.ends_with("-01"))
        && let Ok(value) = HeaderValue::from_str(&parent)
    {
        headers.insert(TRACEPARENT, value);
    }
    response
}

fn measure(begin: Instant, method: &'static str, route: &str, status: StatusCode) {
    let span = Span::current();
    if !span.is_disabled() {
        span.record("otel.name", format_args!("{method} {route}"));
        span.record("http.route", route);
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
    metrics::histogram!(
        DURATION,
        "route" => route.to_owned(),
        "method" => method,
        "status" => status.as_str().to_owned(),
    )
    .record(begin.elapsed());
}

/// Methods are bounded on a label, whatever callers invent.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

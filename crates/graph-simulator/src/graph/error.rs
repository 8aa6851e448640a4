//! Graph errors as Meta words them.

use actix_web::HttpResponse;
use actix_web::http::header::RETRY_AFTER;
use serde_json::json;

use super::status;
use crate::dice;

/// The usual answer for `code`.
pub(super) fn response(code: i64) -> HttpResponse {
    scripted(code, None, None)
}

/// The answer for `code` with another HTTP status or a `Retry-After`.
pub(super) fn scripted(
    code: i64,
    http_status: Option<u16>,
    retry_after: Option<u32>,
) -> HttpResponse {
    let mut response = HttpResponse::build(status(http_status.unwrap_or_else(|| usual(code))));
    if let Some(seconds) = retry_after {
        response.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    let (message, details) = words(code);
    let mut error = json!({
        "message": format!("(#{code}) {message}"),
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details},
        "fbtrace_id": format!("A{:022x}", dice::nonce()),
    });
    if let (2, Some(error)) = (code, error.as_object_mut()) {
        error.insert("is_transient".to_owned(), true.into());
    }
    response.json(json!({"error": error}))
}

/// The HTTP status that goes with a code; Meta documents 400 for most limits and answers 429.
const fn usual(code: i64) -> u16 {
    match code {
        0 | 190 => 401,
        10 | 200..=299 | 368 | 130_497 | 131_005 | 131_031 => 403,
        132_001 => 404,
        4 | 80_007 | 80_008 | 130_429 | 131_048 | 131_056 => 429,
        1 | 3 | 131_000 | 131_016 | 131_057 => 500,
        2 | 133_004 => 503,
        _ => 400,
    }
}

const fn words(code: i64) -> (&'static str, &'static str) {
    match code {
        1 => (
            "Please reduce the amount of data you're asking for, then retry your request",
            "The page is too large.",
        ),
        2 => ("Service temporarily unavailable", "Retry your request later."),
        4 => ("Application request limit reached", "The app has reached its request limit."),
        100 => ("Invalid parameter", "The request is missing a parameter or has a wrong one."),
        190 => ("Access token has expired", "Error validating access token."),
        80_007 => {
            ("Rate limit issues", "The WhatsApp Business Account has reached its rate limit.")
        }
        80_008 => (
            "There have been too many calls to this WhatsApp Business account",
            "Wait a bit and try again.",
        ),
        131_059 => ("Invalid cursor", "The cursor has expired. Start over."),
        2_388_024 => (
            "Content in this language already exists",
            "There is already content in this language for this template.",
        ),
        130_429 => ("Rate limit hit", "Cloud API message throughput has been reached."),
        131_000 => ("Something went wrong", "Message failed to send due to an unknown error."),
        131_008 => ("Required parameter is missing", "A required parameter is missing."),
        131_009 => ("Parameter value is not valid", "A parameter has a value that is not valid."),
        131_026 => ("Message undeliverable", "Message Undeliverable."),
        131_042 => {
            ("Business eligibility payment issue", "There is a problem with the payment account.")
        }
        131_048 => (
            "Spam rate limit hit",
            "Too many messages of this number were blocked or flagged as spam.",
        ),
        132_000 => (
            "Number of parameters does not match the expected number of params",
            "The template has another number of placeholders.",
        ),
        132_001 => (
            "Template name does not exist in the translation",
            "The template does not exist in this language, or was deleted.",
        ),
        132_015 => ("Template is paused", "The template is paused for its low quality."),
        132_018 => (
            "There is an issue with the parameters in your template",
            "A text has line breaks, tabs or more than four spaces in a row.",
        ),
        131_047 => (
            "Re-engagement message",
            "More than 24 hours have passed since the customer last replied to this number.",
        ),
        131_056 => (
            "(Business Account, Consumer Account) pair rate limit hit",
            "Too many messages were sent from this phone number to the same phone number.",
        ),
        _ => ("Simulated error", "The simulator was told to answer this code."),
    }
}

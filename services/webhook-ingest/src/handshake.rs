//! The handshake with which Meta verifies a webhook address.

use actix_web::http::header::{ContentType, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::answer;
use crate::door::Door;
use crate::refusal::Refusal;

/// Longer than any challenge that Meta has ever sent (10 digits).
const CHALLENGE_LENGTH: usize = 128;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Question {
    #[serde(rename = "hub.mode")]
    mode: String,
    #[serde(rename = "hub.challenge")]
    challenge: String,
    #[serde(rename = "hub.verify_token")]
    verify_token: String,
}

/// Repeats the challenge to whoever knows the app's verify token.
pub(crate) async fn answer(request: HttpRequest, door: Data<Door>) -> HttpResponse {
    match challenge(&request, &door).await {
        Ok(challenge) => HttpResponse::Ok()
            .content_type(ContentType::plaintext())
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(challenge),
        Err(refusal) => answer::refuse(&refusal, None),
    }
}

async fn challenge(request: &HttpRequest, door: &Door) -> Result<String, Refusal> {
    let app = door.app(request).await?;
    // A query that cannot be read holds no token that could be right.
    let question = Query::<Question>::from_query(request.query_string())
        .map_or_else(|_unreadable| Question::default(), Query::into_inner);
    if question.mode != "subscribe" || !app.knows_token(&question.verify_token) {
        return Err(Refusal::WrongToken);
    }
    // It is sent back as it is: nothing that a browser could take for more than text.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let fits = (1..=CHALLENGE_LENGTH).contains(&question.challenge.len());
    if !fits || !question.challenge.bytes().all(is_plain) {
        return Err(Refusal::BadChallenge);
    }
    Ok(question.challenge)
}

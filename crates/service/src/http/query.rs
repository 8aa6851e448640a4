//! The query of a request, read strictly: an unknown parameter is refused, because a typo in a
//! filter must not widen what a request acts on. Parameters may repeat where the type has a `Vec`.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::{Ready, ready};
use serde::de::DeserializeOwned;

use crate::{Code, Problem};

/// The query, as a handler's argument; `T` must say `#[serde(deny_unknown_fields)]`.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Self))
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let source = serde_html_form::Deserializer::from_bytes(query.as_bytes());
    serde_path_to_error::deserialize(source).map_err(|error| {
        let message = error.inner().to_string();
        if message.starts_with("unknown field") {
            return Problem::new(Code::UnknownParameter, format!("The query has an {message}."));
        }
        Problem::invalid(error.path().to_string(), "invalid_value", message)
    })
}

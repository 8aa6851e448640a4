//! Lists in pages: `{"object":"list","data":[…],"has_more":…,"next_cursor":…}` and `Link: rel="next"`.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::header::LINK;
use actix_web::{HttpRequest, HttpResponse, Responder};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

/// How many things a page may have: 1 to 200, 50 unless told. A query's `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    const MOST: u8 = 200;

    /// How many things to show.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    /// How many rows to read: one more shows whether there are more.
    pub fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        match u8::deserialize(source) {
            Ok(limit @ 1..=Self::MOST) => Ok(Self(limit)),
            Ok(_) | Err(_) => Err(D::Error::custom("a limit is a number from 1 to 200")),
        }
    }
}

/// Where the next page begins: opaque to callers, inside the sort key of the last thing shown.
/// A query's `cursor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor<K>(pub K);

impl<K: Serialize> Cursor<K> {
    fn text(&self) -> Option<String> {
        serde_json::to_vec(&self.0).ok().map(|key| URL_SAFE_NO_PAD.encode(key))
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Cursor<K> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = String::deserialize(source)?;
        let key = URL_SAFE_NO_PAD.decode(text).ok();
        key.and_then(|key| serde_json::from_slice(&key).ok())
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a cursor that a list gave out"))
    }
}

/// One page of a list; as a handler's answer it sets `Link`, too.
#[derive(Clone, Serialize)]
pub struct Page<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
    next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<i64>,
}

impl<T> Page<T> {
    /// Makes a page from [`Limit::rows`] rows in the list's order; `key` tells where a row stands in
    /// it, `show` what callers see of it.
    pub fn new<R, K: Serialize>(
        mut rows: Vec<R>,
        limit: Limit,
        key: impl Fn(&R) -> K,
        show: impl FnMut(R) -> T,
    ) -> Self {
        let has_more = rows.len() > limit.get();
        rows.truncate(limit.get());
        let last = rows.last().filter(|_| has_more);
        let next_cursor = last.and_then(|row| Cursor(key(row)).text());
        let data = rows.into_iter().map(show).collect();
        Self { object: "list", data, has_more, next_cursor, count: None }
    }

    /// Adds how many things there are on all pages, for whoever asked (`?count=`).
    #[must_use]
    pub fn counted(self, count: Option<i64>) -> Self {
        Self { count, ..self }
    }
}

impl<T> fmt::Debug for Page<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is listed may be people's messages.
        write!(f, "Page({} of a list)", self.data.len())
    }
}

impl<T: Serialize> Responder for Page<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        if let Some(cursor) = &self.next_cursor {
            response.insert_header((LINK, next_link(request, cursor)));
        }
        response.json(self)
    }
}

fn next_link(request: &HttpRequest, cursor: &str) -> String {
    let kept = request.query_string().split('&').filter(|pair| {
        !pair.is_empty() && pair.split('=').next().is_some_and(|name| name != "cursor")
    });
    let query: String = kept.map(|pair| format!("{pair}&")).collect();
    format!("<{}?{query}cursor={cursor}>; rel=\"next\"", request.path())
}

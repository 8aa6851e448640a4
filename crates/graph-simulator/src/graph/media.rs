//! Media: upload, link, download, delete.

use std::collections::HashMap;
use std::sync::Mutex;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{account, base, error, id};
use crate::sync::lock;
use crate::world::World;

/// Keeps media; a deleted piece leaves its id behind, so that it is not taken for a phone number.
#[derive(Debug, Default)]
pub(crate) struct MediaStore(Mutex<HashMap<String, Option<Media>>>);

#[derive(Clone, Debug)]
struct Media {
    mime_type: String,
    bytes: Bytes,
}

impl MediaStore {
    /// Keeps a piece and gives its id.
    pub(crate) fn add(&self, mime_type: String, bytes: Bytes) -> String {
        let mut store = lock(&self.0);
        let id = format!("91{:014}", store.len() + 1);
        store.insert(id.clone(), Some(Media { mime_type, bytes }));
        id
    }

    fn find(&self, id: &str) -> Option<Media> {
        lock(&self.0).get(id).cloned().flatten()
    }
}

/// `POST /{phone_number_id}/media`: a form with `messaging_product`, `type` and `file`.
pub(super) fn upload(world: &World, request: &HttpRequest, body: &Bytes) -> HttpResponse {
    let form = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("boundary="))
        .map(|(_, boundary)| parts(body, boundary.trim_matches('"')))
        .unwrap_or_default();
    let field = |name| form.iter().find(|part| part.name == name);
    let (Some(file), Some(product)) = (field("file"), field("messaging_product")) else {
        return error::response(100);
    };
    if product.content.as_ref() != b"whatsapp" {
        return error::response(100);
    }
    let mime_type = match field("type") {
        Some(kind) => String::from_utf8_lossy(&kind.content).into_owned(),
        None => file.mime_type.clone(),
    };
    let id = world.media.add(mime_type, file.content.clone());
    HttpResponse::Ok().json(json!({"id": id}))
}

/// `GET /{media_id}`, or `None` if the id was never one of media.
pub(super) fn describe(world: &World, request: &HttpRequest) -> Option<HttpResponse> {
    let id = id(request);
    let known = lock(&world.media.0).get(id).cloned()?;
    let Some(media) = known else { return Some(error::response(100)) };
    Some(HttpResponse::Ok().json(json!({
        "messaging_product": "whatsapp",
        "url": format!("{}/_media/{id}", base(request)),
        "mime_type": media.mime_type,
        "sha256": STANDARD.encode(Sha256::digest(&media.bytes)),
        "file_size": media.bytes.len().to_string(),
        "id": id,
    })))
}

/// `GET` of the address that [`describe`] gave.
pub(super) fn download(world: &World, request: &HttpRequest) -> HttpResponse {
    match world.media.find(id(request)) {
        Some(media) => HttpResponse::Ok().content_type(media.mime_type).body(media.bytes),
        None => HttpResponse::NotFound().finish(),
    }
}

/// `DELETE /{media_id}`.
pub(super) fn delete(world: &World, request: &HttpRequest) -> HttpResponse {
    match lock(&world.media.0).get_mut(id(request)).and_then(Option::take) {
        Some(_) => account::success(),
        None => error::response(100),
    }
}

/// One field of a form.
#[derive(Debug)]
struct Part {
    name: String,
    mime_type: String,
    content: Bytes,
}

/// Takes a `multipart/form-data` body apart; what makes no sense is left out.
fn parts(body: &Bytes, boundary: &str) -> Vec<Part> {
    let mark = format!("--{boundary}");
    let mut starts = Vec::new();
    let mut from = 0;
    while let Some(at) = body.get(from..).and_then(|rest| find(rest, mark.as_bytes())) {
        starts.push(from + at);
        from += at + mark.len();
    }
    starts
        .windows(2)
        .filter_map(|pair| match *pair {
            [start, end] => {
                // After the mark and before the next one stands a line break each.
                let (start, end) = (start + mark.len() + 2, end.checked_sub(2)?);
                (start <= end).then(|| body.slice(start..end)).as_ref().and_then(part)
            }
            _ => None,
        })
        .collect()
}

fn part(bytes: &Bytes) -> Option<Part> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
    let name = head.split_once(" name=\"").and_then(|(_, rest)| rest.split('"').next())?;
    let mime_type = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map_or("application/octet-stream", |(_, value)| value.trim());
    Some(Part {
        name: name.to_owned(),
        mime_type: mime_type.to_owned(),
        content: bytes.slice(end + 4..),
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_apart() {
        let body = Bytes::from_static(
            b"--XX\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nimage/png\r\n--XX\r\n\
              Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\
              content-type: image/png\r\n\r\n\x00\r\n\x01\r\n--XX--\r\n",
        );
        let form = parts(&body, "XX");
        assert_eq!(form.len(), 2);
        assert_eq!((form[0].name.as_str(), form[0].content.as_ref()), ("type", &b"image/png"[..]));
        assert_eq!(form[1].content.as_ref(), b"\x00\r\n\x01");
        assert_eq!(form[1].mime_type, "image/png");
        assert!(parts(&Bytes::from_static(b"--XX--XX"), "XX").is_empty());
    }
}

//! What a template says with values, and what is still missing.

use std::collections::{BTreeSet, HashMap};

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, Responder};
use kernel::ids::{ContactId, TemplateId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service::{Caller, Json, Problem, Query, Scope};
use whatsapp::placeholder::{Piece, Placeholder, Source, pieces};
use whatsapp::template;

use super::Api;
use super::shown::ShownParameter;
use super::templates::one;
use super::values::Nothing;
use crate::store::contacts::{self, Person};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    #[serde(default)]
    params: Params,
    /// Who the placeholders in `params` are about: `{{name}}`, `{{attributes.city|your town}}`.
    contact: Option<ContactId>,
}

/// The parameters, as in a campaign's template.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    header: Section,
    body: Section,
    /// By their place; `null` for a button without parameters.
    buttons: Vec<Value>,
    /// Of a carousel.
    cards: Vec<Params>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Section {
    Positional(Vec<Value>),
    Named(Map<String, Value>),
}

impl Default for Section {
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

#[derive(Debug, Serialize)]
struct Shown {
    object: &'static str,
    template: TemplateId,
    /// Whether Meta would take it: approved, and nothing is missing.
    is_sendable: bool,
    status: String,
    parts: Vec<ShownPart>,
    /// What nobody gave a value for.
    missing: Vec<ShownParameter>,
    /// What was given and the template does not have.
    unused: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ShownPart {
    place: String,
    text: String,
}

/// Puts values in; sends nothing.
pub(super) async fn render(
    api: Data<Api>,
    caller: Caller,
    id: Path<TemplateId>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<Body>,
) -> Result<impl Responder, Problem> {
    caller.require(Scope::TemplatesRead)?;
    let template = one(&api, &caller, *id).await?;
    let person = match body.contact {
        Some(contact) => {
            let mut conn = api.db.connection().await?;
            let found = contacts::find(&mut conn, caller.workspace, contact).await?;
            Some(found.ok_or_else(|| {
                let detail = "there is no such contact in this workspace";
                Problem::invalid("/contact", "unknown_contact", detail)
            })?)
        }
        None => None,
    };
    let given = body.params.values("");
    let value = |place: &str, name: &str| {
        given.get(&(place.to_owned(), name.to_owned())).and_then(|text| said(text, person.as_ref()))
    };
    let preview = template::preview(&template.components, &value);
    let wanted: BTreeSet<(String, String)> = template::parameters(&template.components)
        .into_iter()
        .map(|parameter| (parameter.place, parameter.name))
        .collect();
    let unused = given.keys().filter(|key| !wanted.contains(*key));
    let mut unused: Vec<String> =
        unused.map(|(place, name)| format!("/params/{place}/{name}")).collect();
    unused.sort();
    Ok(HttpResponse::Ok().json(Shown {
        object: "template_preview",
        template: template.id(),
        is_sendable: template.status == "APPROVED"
            && template.deleted_at.is_none()
            && preview.missing.is_empty()
            && unused.is_empty(),
        status: template.status,
        parts: preview.parts.into_iter().map(|(place, text)| ShownPart { place, text }).collect(),
        missing: preview.missing.into_iter().map(ShownParameter::from).collect(),
        unused,
    }))
}

impl Params {
    /// Every value by place and name, as the template calls them.
    fn values(&self, prefix: &str) -> HashMap<(String, String), String> {
        let mut values = HashMap::new();
        for (place, section) in [("header", &self.header), ("body", &self.body)] {
            let place = format!("{prefix}{place}");
            match section {
                Section::Positional(list) => {
                    for (at, value) in list.iter().enumerate() {
                        put(&mut values, &place, (at + 1).to_string(), value);
                    }
                }
                Section::Named(members) => {
                    for (name, value) in members {
                        put(&mut values, &place, name.clone(), value);
                    }
                }
            }
        }
        for (at, value) in self.buttons.iter().enumerate().filter(|(_, value)| !value.is_null()) {
            put(&mut values, &format!("{prefix}buttons/{at}"), "1".to_owned(), value);
        }
        for (at, card) in self.cards.iter().enumerate() {
            values.extend(card.values(&format!("{prefix}cards/{at}/")));
        }
        values
    }
}

/// A text is a value; of Meta's parameter objects the kind says what it is a value for.
fn put(values: &mut HashMap<(String, String), String>, place: &str, name: String, value: &Value) {
    let (name, text) = match value {
        Value::String(text) => (name, text.clone()),
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str).unwrap_or("text");
            match kind {
                "text" => {
                    let text = members.get("text").and_then(Value::as_str).unwrap_or_default();
                    (name, text.to_owned())
                }
                "location" => ("location".to_owned(), kind.to_owned()),
                "coupon_code" => ("code".to_owned(), kind.to_owned()),
                _ => ("media".to_owned(), kind.to_owned()),
            }
        }
        other => (name, other.to_string()),
    };
    values.insert((place.to_owned(), name), text);
}

/// A text with a person's values put in; `None` when one of them is not known, or nothing is left.
fn said(text: &str, person: Option<&Person>) -> Option<String> {
    let mut whole = String::new();
    // Double braces that are no placeholder are shown as they are.
    for piece in pieces(text).unwrap_or_else(|_unknown| vec![Piece::Text(text)]) {
        match piece {
            Piece::Text(text) => whole.push_str(text),
            Piece::Placeholder(placeholder) => whole.push_str(&known(placeholder, person)?),
        }
    }
    let fit = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    (!fit.is_empty()).then_some(fit)
}

fn known(placeholder: Placeholder, person: Option<&Person>) -> Option<String> {
    let found = person.and_then(|person| match &placeholder.source {
        Source::Name => person.name.clone(),
        Source::Phone => person.number.as_ref().map(|number| format!("+{number}")),
        Source::Attribute(key) => match person.attributes.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        },
    });
    found.filter(|text| !text.trim().is_empty()).or(placeholder.default)
}

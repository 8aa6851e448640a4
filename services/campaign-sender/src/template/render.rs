//! A template with a person's values put in, as Meta takes it.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use thiserror::Error;

use whatsapp::placeholder::{Piece, Placeholder, pieces};

use super::{LONGEST, Section, Template};

/// A template for one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Meta's `components`.
    pub components: Vec<Value>,
    /// What the thread shows: the body's parameters, or the template's name when it has none.
    pub body: String,
}

/// The values make no template that Meta would take.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// A parameter would be empty.
    #[error("a parameter is empty")]
    Empty,
    /// A parameter would be longer than [`LONGEST`].
    #[error("a parameter is too long")]
    TooLong,
    /// There are fewer values than placeholders, or a placeholder that is none.
    #[error("the values are not this template's")]
    Values,
}

/// What a template's placeholders stand for.
type Values<'a> = HashMap<Placeholder, &'a str>;

impl Template {
    /// Puts in `values`, one for each of [`Self::placeholders`]. White space is written as Meta wants
    /// it: no line breaks, no tabs, no runs of spaces.
    ///
    /// # Errors
    ///
    /// [`Unfit`] when Meta would refuse the result.
    pub fn render(&self, values: &[String]) -> Result<Rendered, Unfit> {
        let placeholders = self.placeholders();
        if placeholders.len() != values.len() {
            return Err(Unfit::Values);
        }
        let values: Values<'_> =
            placeholders.into_iter().zip(values.iter().map(String::as_str)).collect();
        let mut components = Vec::new();
        let mut body = Vec::new();
        let params = &self.params;
        for (kind, section) in [("header", &params.header), ("body", &params.body)] {
            if section.is_empty() {
                continue;
            }
            let parameters = parameters(section, &values)?;
            if kind == "body" {
                body.extend(
                    parameters.iter().filter_map(|p| Some(p.get("text")?.as_str()?.to_owned())),
                );
            }
            components.push(json!({ "type": kind, "parameters": parameters }));
        }
        for (place, button) in params.buttons.iter().enumerate() {
            if !button.is_null() {
                components.push(button_of(place, button, &values)?);
            }
        }
        let body = if body.is_empty() { self.name.clone() } else { body.join(" · ") };
        Ok(Rendered { components, body })
    }
}

fn parameters(section: &Section, values: &Values<'_>) -> Result<Vec<Value>, Unfit> {
    match section {
        Section::Positional(params) => {
            params.iter().map(|param| parameter(None, param, values)).collect()
        }
        Section::Named(params) => {
            params.iter().map(|(name, param)| parameter(Some(name), param, values)).collect()
        }
    }
}

fn parameter(name: Option<&str>, param: &Value, values: &Values<'_>) -> Result<Value, Unfit> {
    let filled = match param {
        Value::String(text) => json!({ "type": "text", "text": filled(text, values)? }),
        other => filled_value(other, values)?,
    };
    let (Some(name), Value::Object(mut members)) = (name, filled.clone()) else {
        return Ok(filled);
    };
    members.insert("parameter_name".to_owned(), Value::String(name.to_owned()));
    Ok(Value::Object(members))
}

/// A text is the variable end of a URL button; an object says itself what it is.
fn button_of(place: usize, button: &Value, values: &Values<'_>) -> Result<Value, Unfit> {
    let index = place.to_string();
    match button {
        Value::Object(members) => {
            let Value::Object(members) = filled_value(&Value::Object(members.clone()), values)?
            else {
                return Err(Unfit::Values);
            };
            let mut whole = Map::new();
            whole.insert("type".to_owned(), "button".into());
            whole.insert("index".to_owned(), index.into());
            whole.extend(members);
            Ok(Value::Object(whole))
        }
        other => Ok(json!({
            "type": "button", "sub_type": "url", "index": index,
            "parameters": [parameter(None, other, values)?]
        })),
    }
}

fn filled_value(value: &Value, values: &Values<'_>) -> Result<Value, Unfit> {
    Ok(match value {
        Value::String(text) if text.contains("{{") => Value::String(filled(text, values)?),
        Value::Array(items) => Value::Array(
            items.iter().map(|item| filled_value(item, values)).collect::<Result<_, _>>()?,
        ),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, item)| Ok((name.clone(), filled_value(item, values)?)))
                .collect::<Result<_, Unfit>>()?,
        ),
        other => other.clone(),
    })
}

fn filled(text: &str, values: &Values<'_>) -> Result<String, Unfit> {
    let mut whole = String::with_capacity(text.len());
    for piece in pieces(text).map_err(|_unknown| Unfit::Values)? {
        match piece {
            Piece::Text(text) => whole.push_str(text),
            Piece::Placeholder(placeholder) => {
                whole.push_str(values.get(&placeholder).ok_or(Unfit::Values)?);
            }
        }
    }
    let fit = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    if fit.is_empty() {
        return Err(Unfit::Empty);
    }
    if fit.chars().count() > LONGEST {
        return Err(Unfit::TooLong);
    }
    Ok(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(params: Value, values: &[&str]) -> Result<Rendered, Unfit> {
        let json = json!({ "name": "sale", "language": "en", "params": params });
        let template: Template = serde_json::from_value(json).unwrap();
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        template.render(&values)
    }

    #[test]
    fn values_stand_where_their_placeholders_stood() {
        let params = json!({
            "header": [{ "type": "image", "image": { "link": "https://x.test/{{attributes.id}}.png" } }],
            "body": ["{{name}}", "to {{phone}}"],
            "buttons": [null, "{{attributes.id}}", { "sub_type": "quick_reply", "index": "2",
                "parameters": [{ "type": "payload", "payload": "YES" }] }]
        });
        let rendered = rendered(params, &["7", "Ada", "+491"]).unwrap();
        assert_eq!(
            Value::Array(rendered.components),
            json!([
                { "type": "header", "parameters": [{ "type": "image", "image": { "link": "https://x.test/7.png" } }] },
                { "type": "body", "parameters": [{ "type": "text", "text": "Ada" }, { "type": "text", "text": "to +491" }] },
                { "type": "button", "sub_type": "url", "index": "1", "parameters": [{ "type": "text", "text": "7" }] },
                { "type": "button", "sub_type": "quick_reply", "index": "2", "parameters": [{ "type": "payload", "payload": "YES" }] }
            ])
        );
        assert_eq!(rendered.body, "Ada · to +491");
    }

    #[test]
    fn named_parameters_keep_their_names() {
        let rendered = rendered(json!({ "body": { "who": "{{name}}" } }), &["Ada"]).unwrap();
        let parameter = json!({ "type": "text", "text": "Ada", "parameter_name": "who" });
        assert_eq!(rendered.components, [json!({ "type": "body", "parameters": [parameter] })]);
    }

    #[test]
    fn white_space_that_meta_refuses_is_mended_and_what_is_empty_is_not_sent() {
        let mended =
            rendered(json!({ "body": ["{{name}}"] }), &["Ada\n\tKing      Lovelace"]).unwrap();
        assert_eq!(mended.body, "Ada King Lovelace");
        assert_eq!(rendered(json!({ "body": ["{{name|}}"] }), &[" "]), Err(Unfit::Empty));
        assert_eq!(rendered(json!({ "body": ["{{name}}"] }), &[]), Err(Unfit::Values));
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(rendered(json!({ "body": ["{{name}}"] }), &[&long]), Err(Unfit::TooLong));
    }

    #[test]
    fn a_template_without_parameters_is_shown_by_its_name() {
        assert_eq!(
            rendered(json!({}), &[]),
            Ok(Rendered { components: vec![], body: "sale".into() })
        );
    }
}

//! An approved template and what stands in its places.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Flaws;
use super::media::{Allows, Media};

/// Characters in a parameter at most: a template's whole body may have so many.
const LONGEST_PARAMETER: usize = 1_024;
/// Buttons of a template at most.
const MOST_BUTTONS: usize = 10;
/// What a quick reply sends back; Meta's text names no limit, so it stays at what is known to pass.
const LONGEST_PAYLOAD: usize = 128;
/// Characters of a coupon's code at most.
const LONGEST_COUPON: usize = 20;
/// Cards of a carousel.
const CARDS: std::ops::RangeInclusive<usize> = 2..=10;

/// A template with its parameters.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name at Meta.
    pub name: String,
    /// Language and locale, e.g. `en_US`.
    pub language: String,
    /// What stands in its places.
    #[serde(default)]
    params: Params,
    /// The same as Meta's API takes it, for what `params` has no place for.
    #[serde(default)]
    components: Vec<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Params {
    header: Section,
    body: Section,
    /// By their place: a text is the variable end of a URL, an object has `sub_type` and
    /// `parameters`, `null` stands for a button without parameters.
    buttons: Vec<Value>,
    /// Of a carousel.
    cards: Vec<Card>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Card {
    header: Section,
    body: Section,
    buttons: Vec<Value>,
}

/// The parameters of one component: texts, or Meta's parameter objects.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Section {
    /// By their place.
    Positional(Vec<Value>),
    /// By their name.
    Named(Map<String, Value>),
}

impl Default for Section {
    fn default() -> Self {
        Self::Positional(Vec::new())
    }
}

impl Section {
    /// Each parameter, with its name if it has one.
    fn values(&self) -> Vec<(Option<&str>, &Value)> {
        match self {
            Self::Positional(values) => values.iter().map(|value| (None, value)).collect(),
            Self::Named(values) => {
                values.iter().map(|(name, value)| (Some(name.as_str()), value)).collect()
            }
        }
    }

    fn component(&self, kind: &str) -> Option<Value> {
        let values = self.values();
        let parameters: Vec<Value> =
            values.into_iter().map(|(name, value)| parameter(name, value)).collect();
        (!parameters.is_empty()).then(|| json!({ "type": kind, "parameters": parameters }))
    }

    fn check(&self, flaws: &mut Flaws) {
        for (place, (name, value)) in self.values().into_iter().enumerate() {
            let at = name.map_or_else(|| place.to_string(), escaped);
            let is_name = name.is_none_or(is_parameter_name);
            flaws.require(&at, is_name, "a name of a-z, 0-9 and _");
            check_parameter(&at, value, flaws);
        }
    }
}

impl Template {
    pub(super) fn check(&self, flaws: &mut Flaws) {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_named = (1..=512).contains(&self.name.len()) && self.name.chars().all(is_name);
        flaws.require("name", is_named, "1 to 512 of a-z, 0-9 and _");
        let is_language = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let has_language =
            (2..=15).contains(&self.language.len()) && self.language.chars().all(is_language);
        flaws.require("language", has_language, "a language written en or en_US");
        let is_either = self.components.is_empty() || self.params == Params::default();
        flaws.require("components", is_either, "`components` or `params`, not both");
        for (place, component) in self.components.iter().enumerate() {
            check_component(format!("components/{place}"), component, flaws);
        }
        flaws.below("params", |flaws| self.params.check(flaws));
    }

    pub(super) fn as_meta_takes_it(&self) -> Value {
        let components = self.components();
        let mut template = json!({ "name": self.name, "language": { "code": self.language } });
        if let Value::Object(members) = &mut template
            && !components.is_empty()
        {
            members.insert("components".to_owned(), Value::Array(components));
        }
        template
    }

    fn components(&self) -> Vec<Value> {
        if !self.components.is_empty() {
            return self.components.clone();
        }
        let Params { header, body, buttons, cards } = &self.params;
        let mut components = parts(header, body, buttons);
        if !cards.is_empty() {
            let cards: Vec<Value> = (0..)
                .zip(cards)
                .map(|(index, card): (u32, &Card)| {
                    let components = parts(&card.header, &card.body, &card.buttons);
                    json!({ "card_index": index, "components": components })
                })
                .collect();
            components.push(json!({ "type": "carousel", "cards": cards }));
        }
        components
    }

    /// The texts of the body, or the template's name when it has none.
    pub(super) fn shown(&self) -> String {
        let components = self.components();
        let body = components.iter().filter(|component| is_text_at(component, "type", "body"));
        let parameters = body.filter_map(|body| body.get("parameters")?.as_array()).flatten();
        let texts: Vec<&str> =
            parameters.filter_map(|parameter| parameter.get("text")?.as_str()).collect();
        if texts.is_empty() { self.name.clone() } else { texts.join(" · ") }
    }
}

impl Params {
    fn check(&self, flaws: &mut Flaws) {
        check_parts(&self.header, &self.body, &self.buttons, flaws);
        if self.cards.is_empty() {
            return;
        }
        flaws.count("cards", self.cards.len(), CARDS);
        for (place, card) in self.cards.iter().enumerate() {
            flaws.below(format_args!("cards/{place}"), |flaws| {
                check_parts(&card.header, &card.body, &card.buttons, flaws);
            });
        }
    }
}

fn check_parts(header: &Section, body: &Section, buttons: &[Value], flaws: &mut Flaws) {
    flaws.require("header", header.values().len() <= 1, "one parameter at most");
    flaws.below("header", |flaws| header.check(flaws));
    flaws.below("body", |flaws| body.check(flaws));
    flaws.count("buttons", buttons.len(), 0..=MOST_BUTTONS);
    for (place, button) in buttons.iter().enumerate() {
        flaws.below(format_args!("buttons/{place}"), |flaws| check_button(button, flaws));
    }
}

fn check_button(button: &Value, flaws: &mut Flaws) {
    match button {
        Value::Null => {}
        Value::String(_) => check_parameter("", button, flaws),
        Value::Object(members) => {
            let has_kind = members.get("sub_type").is_some_and(Value::is_string);
            flaws.require("sub_type", has_kind, "what kind of button it is, e.g. `quick_reply`");
            let parameters = members.get("parameters").and_then(Value::as_array);
            flaws.require("parameters", parameters.is_some(), "a list of parameters");
            for (place, parameter) in parameters.into_iter().flatten().enumerate() {
                check_parameter(&format!("parameters/{place}"), parameter, flaws);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            flaws.require("", false, "a text, an object, or null");
        }
    }
}

/// A component of a kind we do not know is Meta's to judge.
fn check_component(at: String, component: &Value, flaws: &mut Flaws) {
    let has_kind = component.get("type").is_some_and(Value::is_string);
    flaws.require(&at, has_kind, "an object with a `type`");
    let parameters = component.get("parameters").and_then(Value::as_array);
    for (place, parameter) in parameters.into_iter().flatten().enumerate() {
        check_parameter(&format!("{at}/parameters/{place}"), parameter, flaws);
    }
}

fn check_parameter(at: &str, value: &Value, flaws: &mut Flaws) {
    let members = match value {
        Value::String(text) => return check_text(at, text, flaws),
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            return flaws.require(at, false, "a text, or an object as Meta's API has it");
        }
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let Some(kind) = text("type") else {
        return flaws.require(at, false, "an object with a `type`");
    };
    match kind {
        "text" => check_text(at, text("text").unwrap_or_default(), flaws),
        "payload" => flaws.length(at, text("payload").unwrap_or_default(), 1..=LONGEST_PAYLOAD),
        "coupon_code" => {
            flaws.length(at, text("coupon_code").unwrap_or_default(), 1..=LONGEST_COUPON);
        }
        "image" | "video" => check_media(at, members.get(kind), Allows::Nothing, flaws),
        "document" => check_media(at, members.get(kind), Allows::Name, flaws),
        // Dates, currencies, places, products: Meta judges them.
        _ => {}
    }
}

/// A parameter is never empty, has no line break, no tab, and no five spaces in a row (132018).
fn check_text(at: &str, text: &str, flaws: &mut Flaws) {
    flaws.length(at, text, 1..=LONGEST_PARAMETER);
    let is_one_line = !text.contains(['\n', '\r', '\t']) && !text.contains("     ");
    flaws.require(at, is_one_line, "no line break, no tab and no five spaces in a row");
}

fn check_media(at: &str, media: Option<&Value>, allows: Allows, flaws: &mut Flaws) {
    match media.map(Media::deserialize) {
        Some(Ok(media)) => flaws.below(at, |flaws| media.check(flaws, allows)),
        Some(Err(_)) | None => flaws.require(at, false, "a medium with `id` or `link`"),
    }
}

fn parts(header: &Section, body: &Section, buttons: &[Value]) -> Vec<Value> {
    let mut components: Vec<Value> =
        header.component("header").into_iter().chain(body.component("body")).collect();
    let buttons = buttons.iter().enumerate().filter(|(_, button)| !button.is_null());
    components.extend(buttons.map(|(place, button)| self::button(place, button)));
    components
}

fn parameter(name: Option<&str>, value: &Value) -> Value {
    let mut parameter = match value {
        Value::String(text) => json!({ "type": "text", "text": text }),
        other => other.clone(),
    };
    if let (Some(name), Value::Object(members)) = (name, &mut parameter) {
        members.insert("parameter_name".to_owned(), name.into());
    }
    parameter
}

fn button(place: usize, button: &Value) -> Value {
    let index = place.to_string();
    let Value::Object(members) = button else {
        let parameters = [parameter(None, button)];
        return json!({ "type": "button", "sub_type": "url", "index": index, "parameters": parameters });
    };
    let mut whole = Map::new();
    whole.insert("type".to_owned(), "button".into());
    whole.insert("index".to_owned(), index.into());
    whole.extend(members.clone());
    Value::Object(whole)
}

fn is_parameter_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// As a JSON pointer writes it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn is_text_at(value: &Value, member: &str, text: &str) -> bool {
    value.get(member).and_then(Value::as_str).is_some_and(|found| found.eq_ignore_ascii_case(text))
}

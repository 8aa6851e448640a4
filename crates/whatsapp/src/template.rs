//! What a template's components want to be told, and what they say then.
//!
//! Kinds of components that are not known want nothing and say nothing here; they are sent as they are.

use serde_json::Value;

/// A place in a template that wants a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Where: `header`, `body`, `buttons/0`, `cards/1/body`.
    pub place: String,
    /// Which: its number from 1, its name, or `media`, `location`, `code`, …
    pub name: String,
    /// `text`, or what else has to be given: `image`, `video`, `document`, `location`, `coupon_code`, …
    pub kind: String,
    /// What Meta was shown when it approved the template.
    pub example: Option<String>,
}

/// A template's text with the values put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// What each part says: `header`, `body`, `footer`, `buttons/0`, … with the text.
    pub parts: Vec<(String, String)>,
    /// What nobody gave a value for.
    pub missing: Vec<Parameter>,
}

/// Every place that wants a value, in the order of the components (`json` is Meta's array).
pub fn parameters(json: &str) -> Vec<Parameter> {
    let mut found = Vec::new();
    for part in parts(json) {
        found.extend(part.parameters());
    }
    found
}

/// Puts values in: `value` knows them by place and name. What is missing stays as `{{name}}`.
pub fn preview(json: &str, value: &dyn Fn(&str, &str) -> Option<String>) -> Preview {
    let mut preview = Preview::default();
    for part in parts(json) {
        let given = |name: &str| value(&part.place, name);
        let missing = part.parameters().into_iter().filter(|wanted| given(&wanted.name).is_none());
        preview.missing.extend(missing);
        let text = match &part.wants {
            Some((name, _)) if part.text.is_empty() => given(name).unwrap_or_default(),
            _ => filled(&part.text, &given),
        };
        if !text.is_empty() {
            preview.parts.push((part.place, text));
        }
    }
    preview
}

/// Something that is shown, or wants something.
#[derive(Clone, Debug, Default)]
struct Part {
    place: String,
    /// What it says, with its variables.
    text: String,
    /// What it wants besides the variables of its text: name and kind.
    wants: Option<(&'static str, String)>,
    examples: Vec<(String, String)>,
}

impl Part {
    fn parameters(&self) -> Vec<Parameter> {
        let example = |name: &str| {
            let found = self.examples.iter().find(|(known, _)| known == name);
            found.map(|(_, example)| example.clone())
        };
        let texts = variables(&self.text).into_iter().map(|name| Parameter {
            place: self.place.clone(),
            example: example(&name),
            kind: "text".to_owned(),
            name,
        });
        let wanted = self.wants.iter().map(|(name, kind)| Parameter {
            place: self.place.clone(),
            name: (*name).to_owned(),
            kind: kind.clone(),
            example: None,
        });
        texts.chain(wanted).collect()
    }
}

fn parts(json: &str) -> Vec<Part> {
    let components: Value = serde_json::from_str(json).unwrap_or_default();
    let mut found = Vec::new();
    read(&components, "", &mut found);
    found
}

fn read(components: &Value, prefix: &str, found: &mut Vec<Part>) {
    for component in components.as_array().into_iter().flatten() {
        let kind = word(component, "type");
        let place = |name: &str| format!("{prefix}{name}");
        match kind.as_str() {
            "header" => found.push(header(component, place("header"))),
            "body" => found.push(Part {
                place: place("body"),
                text: text(component, "text"),
                examples: examples(component, "body_text", "body_text_named_params"),
                ..Part::default()
            }),
            "footer" => found.push(Part {
                place: place("footer"),
                text: text(component, "text"),
                ..Part::default()
            }),
            "buttons" => buttons(component, prefix, found),
            // Cards hold no cards.
            "carousel" if prefix.is_empty() => {
                let cards = component.get("cards").and_then(Value::as_array);
                for (number, card) in cards.into_iter().flatten().enumerate() {
                    let inside = card.get("components").unwrap_or(&Value::Null);
                    read(inside, &format!("cards/{number}/"), found);
                }
            }
            "limited_time_offer" => found.push(Part {
                place: place("limited_time_offer"),
                text: component
                    .get("limited_time_offer")
                    .map_or(String::new(), |o| text(o, "text")),
                wants: Some(("expiration_time_ms", "number".to_owned())),
                ..Part::default()
            }),
            _ => (),
        }
    }
}

fn header(component: &Value, place: String) -> Part {
    let format = word(component, "format");
    if matches!(format.as_str(), "" | "text") {
        let examples = examples(component, "header_text", "header_text_named_params");
        return Part { place, text: text(component, "text"), examples, ..Part::default() };
    }
    let name = if format == "location" { "location" } else { "media" };
    Part { place, wants: Some((name, format)), ..Part::default() }
}

fn buttons(component: &Value, prefix: &str, found: &mut Vec<Part>) {
    let buttons = component.get("buttons").and_then(Value::as_array);
    for (number, button) in buttons.into_iter().flatten().enumerate() {
        let wants = match word(button, "type").as_str() {
            "copy_code" => Some(("code", "coupon_code".to_owned())),
            "otp" => Some(("code", "text".to_owned())),
            _ => None,
        };
        let url = text(button, "url");
        let is_variable = !variables(&url).is_empty();
        found.push(Part {
            place: format!("{prefix}buttons/{number}"),
            text: if is_variable { url } else { text(button, "text") },
            wants,
            examples: Vec::new(),
        });
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn word(value: &Value, key: &str) -> String {
    text(value, key).to_ascii_lowercase()
}

/// What stands in double braces, each once, in its order.
fn variables(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((inside, behind)) = after.split_once("}}") else { break };
        let name = inside.trim().to_owned();
        if !name.is_empty() && !found.contains(&name) {
            found.push(name);
        }
        rest = behind;
    }
    found
}

fn filled(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((inside, behind)) = after.split_once("}}") else { break };
        whole.push_str(before);
        let unfilled = || format!("{{{{{inside}}}}}");
        whole.push_str(&value(inside.trim()).unwrap_or_else(unfilled));
        rest = behind;
    }
    whole.push_str(rest);
    whole
}

/// Positional examples by their number, named ones by their name.
fn examples(component: &Value, positional: &str, named: &str) -> Vec<(String, String)> {
    let Some(example) = component.get("example") else { return Vec::new() };
    let first = example.get(positional).and_then(Value::as_array);
    // The body's are a list of lists, the header's one list.
    let row = first.and_then(|rows| rows.first().and_then(Value::as_array)).or(first);
    let by_number = row
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(at, value)| Some(((at + 1).to_string(), value.as_str()?.to_owned())));
    let by_name = example.get(named).and_then(Value::as_array).into_iter().flatten();
    let by_name = by_name.filter_map(|value| {
        let name = value.get("param_name")?.as_str()?;
        Some((name.to_owned(), value.get("example")?.as_str()?.to_owned()))
    });
    by_number.chain(by_name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(components: &Value) -> Vec<String> {
        let found = parameters(&components.to_string());
        found.into_iter().map(|p| format!("{} {} {}", p.place, p.name, p.kind)).collect()
    }

    #[test]
    fn every_place_that_wants_a_value_is_found() {
        let components = json!([
            { "type": "HEADER", "format": "IMAGE" },
            { "type": "BODY", "text": "Hi {{1}}, {{2}} and {{1}}",
              "example": { "body_text": [["Lena", "Tom"]] } },
            { "type": "FOOTER", "text": "Bye" },
            { "type": "BUTTONS", "buttons": [
                { "type": "QUICK_REPLY", "text": "OK" },
                { "type": "URL", "text": "Go", "url": "https://x.test/{{1}}" },
                { "type": "COPY_CODE", "example": "SAVE" }] },
            { "type": "HOLOGRAM", "text": "{{9}}" }
        ]);
        let expected = [
            "header media image",
            "body 1 text",
            "body 2 text",
            "buttons/1 1 text",
            "buttons/2 code coupon_code",
        ];
        assert_eq!(names(&components), expected);
        let found = parameters(&components.to_string());
        assert_eq!(found[1].example.as_deref(), Some("Lena"));
    }

    #[test]
    fn cards_of_a_carousel_have_places_of_their_own() {
        let card = json!({ "components": [
            { "type": "header", "format": "video" }, { "type": "body", "text": "{{city}}" }] });
        let components = json!([{ "type": "CAROUSEL", "cards": [card, card] }]);
        let expected = [
            "cards/0/header media video",
            "cards/0/body city text",
            "cards/1/header media video",
            "cards/1/body city text",
        ];
        assert_eq!(names(&components), expected);
    }

    #[test]
    fn values_stand_where_the_variables_stood_and_what_is_missing_is_named() {
        let components = json!([{ "type": "BODY", "text": "Hi {{ first_name }}, see {{place}}." }]);
        let value = |place: &str, name: &str| {
            (place == "body" && name == "first_name").then(|| "Lena {{place}}".to_owned())
        };
        let preview = preview(&components.to_string(), &value);
        assert_eq!(preview.missing.len(), 1);
        assert_eq!(preview.missing[0].name, "place");
        assert_eq!(
            preview.parts,
            [("body".to_owned(), "Hi Lena {{place}}, see {{place}}.".to_owned())]
        );
    }

    #[test]
    fn nonsense_wants_nothing() {
        for json in ["", "{}", "7", "[7,null,{}]", "[{\"type\":\"BODY\"}]"] {
            assert_eq!(parameters(json), [], "{json}");
        }
    }
}

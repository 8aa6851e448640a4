//! Buttons, lists, links, flows, and the request for a location.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Flaws;
use super::media::{Allows, Media};

/// Characters of a body at most; a list's may have as many as a text.
const LONGEST_BODY: usize = 1_024;
const LONGEST_LIST_BODY: usize = 4_096;
const LONGEST_HEADER: usize = 60;
const LONGEST_FOOTER: usize = 60;
/// Of a reply button.
const MOST_BUTTONS: usize = 3;
const LONGEST_BUTTON_ID: usize = 256;
const LONGEST_BUTTON: usize = 20;
/// Of a list.
const MOST_SECTIONS: usize = 10;
const MOST_ROWS: usize = 10;
const LONGEST_ROW_ID: usize = 200;
const LONGEST_ROW: usize = 24;
const LONGEST_DESCRIPTION: usize = 72;
/// Of a flow's button.
const LONGEST_FLOW_BUTTON: usize = 30;

/// A message that can be answered with a tap, as Meta's API takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interactive {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    body: Body,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Body>,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Button,
    List,
    CtaUrl,
    Flow,
    LocationRequestMessage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(rename = "type")]
    kind: HeaderKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Media>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Media>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Media>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HeaderKind {
    Text,
    Image,
    Video,
    Document,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buttons: Option<Vec<Button>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    button: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sections: Option<Vec<Section>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Button {
    #[serde(rename = "type")]
    kind: ButtonKind,
    reply: Reply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ButtonKind {
    Reply,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    id: String,
    title: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// Of a link and of a flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_message_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_cta: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_action: Option<FlowAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_action_payload: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<FlowMode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FlowAction {
    Navigate,
    DataExchange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FlowMode {
    Draft,
    Published,
}

impl Interactive {
    /// What a thread shows of it.
    pub(super) fn shown(&self) -> Option<String> {
        Some(self.body.text.clone())
    }

    pub(super) fn check(&self, flaws: &mut Flaws) {
        let is_list = self.kind == Kind::List;
        let longest = if is_list { LONGEST_LIST_BODY } else { LONGEST_BODY };
        flaws.length("body/text", &self.body.text, 1..=longest);
        if let Some(footer) = &self.footer {
            flaws.length("footer/text", &footer.text, 1..=LONGEST_FOOTER);
        }
        if let Some(header) = &self.header {
            flaws.below("header", |flaws| header.check(flaws));
            let is_text = header.kind == HeaderKind::Text;
            flaws.require("header/type", !is_list || is_text, "`text`, above a list");
        }
        flaws.below("action", |flaws| self.action.check(self.kind, flaws));
    }
}

impl Header {
    fn check(&self, flaws: &mut Flaws) {
        let media = [
            (HeaderKind::Image, "image", &self.image, Allows::Nothing),
            (HeaderKind::Video, "video", &self.video, Allows::Nothing),
            (HeaderKind::Document, "document", &self.document, Allows::Name),
        ];
        for (kind, name, medium, allows) in media {
            flaws.require(
                name,
                medium.is_some() == (kind == self.kind),
                "what `type` names, and only that",
            );
            if let Some(medium) = medium {
                flaws.below(name, |flaws| medium.check(flaws, allows));
            }
        }
        let is_text = self.kind == HeaderKind::Text;
        flaws.require("text", self.text.is_some() == is_text, "what `type` names, and only that");
        flaws.optional("text", self.text.as_ref(), LONGEST_HEADER);
    }
}

impl Action {
    fn check(&self, kind: Kind, flaws: &mut Flaws) {
        let Self { name, buttons, button, sections, parameters } = self;
        let (wanted_name, has_buttons, has_list, has_parameters) = match kind {
            Kind::Button => (None, true, false, false),
            Kind::List => (None, false, true, false),
            Kind::CtaUrl => (Some("cta_url"), false, false, true),
            Kind::Flow => (Some("flow"), false, false, true),
            Kind::LocationRequestMessage => (Some("send_location"), false, false, false),
        };
        let what = wanted_name.map_or_else(|| "no name".to_owned(), |name| format!("`{name}`"));
        flaws.require("name", name.as_deref() == wanted_name, what);
        for (member, is_there, is_wanted) in [
            ("buttons", buttons.is_some(), has_buttons),
            ("button", button.is_some(), has_list),
            ("sections", sections.is_some(), has_list),
            ("parameters", parameters.is_some(), has_parameters),
        ] {
            flaws.require(member, is_there == is_wanted, "what belongs to `type`, and only that");
        }
        check_buttons(buttons.as_deref().unwrap_or_default(), has_buttons, flaws);
        flaws.optional("button", button.as_ref(), LONGEST_BUTTON);
        if let Some(sections) = sections {
            check_sections(sections, flaws);
        }
        if let Some(parameters) = parameters {
            flaws.below("parameters", |flaws| parameters.check(kind, flaws));
        }
    }
}

fn check_buttons(buttons: &[Button], is_wanted: bool, flaws: &mut Flaws) {
    if is_wanted {
        flaws.count("buttons", buttons.len(), 1..=MOST_BUTTONS);
    }
    let (mut ids, mut titles) = (HashSet::new(), HashSet::new());
    for (place, Button { reply, .. }) in buttons.iter().enumerate() {
        flaws.below(format_args!("buttons/{place}/reply"), |flaws| {
            flaws.length("id", &reply.id, 1..=LONGEST_BUTTON_ID);
            flaws.length("title", &reply.title, 1..=LONGEST_BUTTON);
            flaws.require("id", ids.insert(&reply.id), "an id that no other button has");
            flaws.require("title", titles.insert(&reply.title), "a title that no other button has");
        });
    }
}

fn check_sections(sections: &[Section], flaws: &mut Flaws) {
    flaws.count("sections", sections.len(), 1..=MOST_SECTIONS);
    let rows: usize = sections.iter().map(|section| section.rows.len()).sum();
    flaws.require("sections", rows <= MOST_ROWS, "10 rows in all");
    let mut ids = HashSet::new();
    for (place, section) in sections.iter().enumerate() {
        flaws.below(format_args!("sections/{place}"), |flaws| {
            let is_titled = sections.len() == 1 || section.title.is_some();
            flaws.require("title", is_titled, "a title where there are several sections");
            flaws.optional("title", section.title.as_ref(), LONGEST_ROW);
            flaws.require("rows", !section.rows.is_empty(), "at least one row");
            for (place, row) in section.rows.iter().enumerate() {
                flaws.below(format_args!("rows/{place}"), |flaws| {
                    flaws.length("id", &row.id, 1..=LONGEST_ROW_ID);
                    flaws.length("title", &row.title, 1..=LONGEST_ROW);
                    flaws.optional("description", row.description.as_ref(), LONGEST_DESCRIPTION);
                    flaws.require("id", ids.insert(&row.id), "an id that no other row has");
                });
            }
        });
    }
}

impl Parameters {
    fn check(&self, kind: Kind, flaws: &mut Flaws) {
        match kind {
            Kind::CtaUrl => self.check_link(flaws),
            Kind::Flow => self.check_flow(flaws),
            Kind::Button | Kind::List | Kind::LocationRequestMessage => {}
        }
    }

    fn check_link(&self, flaws: &mut Flaws) {
        let text = self.display_text.as_deref().unwrap_or_default();
        flaws.length("display_text", text, 1..=LONGEST_BUTTON);
        flaws.link("url", self.url.as_deref().unwrap_or_default());
        let only = Self { display_text: None, url: None, ..self.clone() };
        flaws.require("", only == Self::default(), "`display_text` and `url`, and nothing else");
    }

    fn check_flow(&self, flaws: &mut Flaws) {
        let is_3 = self.flow_message_version.as_deref() == Some("3");
        flaws.require("flow_message_version", is_3, "\"3\"");
        let is_named_once = self.flow_id.is_some() != self.flow_name.is_some();
        flaws.require("flow_id", is_named_once, "either `flow_id` or `flow_name`");
        let button = self.flow_cta.as_deref().unwrap_or_default();
        flaws.length("flow_cta", button, 1..=LONGEST_FLOW_BUTTON);
        let navigates = self.flow_action != Some(FlowAction::DataExchange);
        let has_payload = self.flow_action_payload.is_some();
        flaws.require(
            "flow_action_payload",
            navigates || !has_payload,
            "nothing, with `data_exchange`",
        );
        let is_object = self.flow_action_payload.as_ref().is_none_or(Value::is_object);
        flaws.require("flow_action_payload", is_object, "an object");
        let is_link = self.display_text.is_some() || self.url.is_some();
        flaws.require("", !is_link, "no `display_text` and no `url` for a flow");
    }
}

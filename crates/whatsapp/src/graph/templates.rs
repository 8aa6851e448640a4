//! Templates of an account: the list, page by page, and what changes them.
//!
//! Invariants: a page is read whole or not at all, because a template that is left out would be taken
//! for deleted; the address of the next page, which holds the token, is never looked at.

use kernel::WabaId;
use reqwest::Method;
use secrecy::SecretString;

use super::client::GraphClient;
use super::manage::{Call, CallError};
use crate::json::Object;

/// What is asked of each template (Meta, template reference, Nov 2025).
const FIELDS: &str = "id,name,language,status,category,previous_category,correct_category,\
                      parameter_format,components,quality_score,rejected_reason,\
                      message_send_ttl_seconds";

/// A template as Meta lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTemplate {
    /// Meta's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// For instance `en_US`.
    pub language: String,
    /// `APPROVED`, `PAUSED`, … and whatever Meta invents next.
    pub status: String,
    /// Why it was rejected.
    pub rejected_reason: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub quality: String,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION` or an older word.
    pub category: String,
    /// What the category was before.
    pub previous_category: Option<String>,
    /// What Meta holds to be right.
    pub correct_category: Option<String>,
    /// `POSITIONAL` or `NAMED`.
    pub parameter_format: String,
    /// The JSON of its components, byte for byte.
    pub components: String,
    /// How long Meta tries to deliver it; -1 is 30 days.
    pub ttl_seconds: Option<i64>,
}

/// A part of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplatePage {
    /// The templates on it.
    pub templates: Vec<ListedTemplate>,
    /// Where the next page begins; `None`: this was the last one.
    pub after: Option<String>,
}

/// What became of a template that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTemplate {
    /// Meta's id.
    pub id: String,
    /// Usually `PENDING`.
    pub status: String,
    /// May differ from the one that was asked for.
    pub category: Option<String>,
}

impl GraphClient {
    /// Reads `limit` templates of an account, from where the page before ended.
    ///
    /// # Errors
    /// [`CallError`] when there is no page to read.
    pub async fn template_page(
        &self,
        token: &SecretString,
        waba: &WabaId,
        limit: u32,
        after: Option<&str>,
    ) -> Result<TemplatePage, CallError> {
        let limit = limit.to_string();
        let mut query = vec![("fields", FIELDS), ("limit", limit.as_str())];
        query.extend(after.map(|after| ("after", after)));
        let path = [waba.as_str(), "message_templates"];
        let call = Call { method: Method::GET, path: &path, query: &query, body: None };
        let text = self.call(token, call).await?;
        page(&text).ok_or(CallError::Unreadable { http_status: 200 })
    }

    /// Makes a template; `body` is Meta's JSON.
    ///
    /// # Errors
    /// [`CallError`]; without an answer it may exist all the same.
    pub async fn create_template(
        &self,
        token: &SecretString,
        waba: &WabaId,
        body: String,
    ) -> Result<CreatedTemplate, CallError> {
        let path = [waba.as_str(), "message_templates"];
        let call = Call { method: Method::POST, path: &path, query: &[], body: Some(body) };
        let text = self.call(token, call).await?;
        created(&text).ok_or(CallError::Unreadable { http_status: 200 })
    }

    /// Changes a template; `body` is Meta's JSON.
    ///
    /// # Errors
    /// [`CallError`]; without an answer it may be changed all the same.
    pub async fn edit_template(
        &self,
        token: &SecretString,
        id: &str,
        body: String,
    ) -> Result<(), CallError> {
        let call = Call { method: Method::POST, path: &[id], query: &[], body: Some(body) };
        self.call(token, call).await.map(drop)
    }

    /// Lifts a pause that waits for a person (template pacing).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn unpause_template(&self, token: &SecretString, id: &str) -> Result<(), CallError> {
        let path = [id, "unpause"];
        let call = Call { method: Method::POST, path: &path, query: &[], body: None };
        self.call(token, call).await.map(drop)
    }

    /// Deletes a template in one language.
    ///
    /// # Errors
    /// [`CallError`]; without an answer it may be gone all the same.
    pub async fn delete_template(
        &self,
        token: &SecretString,
        waba: &WabaId,
        (id, name): (&str, &str),
    ) -> Result<(), CallError> {
        let path = [waba.as_str(), "message_templates"];
        let query = [("hsm_id", id), ("name", name)];
        let call = Call { method: Method::DELETE, path: &path, query: &query, body: None };
        self.call(token, call).await.map(drop)
    }
}

fn page(text: &str) -> Option<TemplatePage> {
    let answer = Object::read(text)?;
    let data: Vec<_> = answer.raw("data").map(|_list| answer.array("data"))?;
    let templates = data.into_iter().map(|raw| listed(raw.get())).collect::<Option<_>>()?;
    let paging = answer.object("paging");
    let after = match paging.filter(|paging| paging.raw("next").is_some()) {
        // A next page that nobody can ask for would look like the end.
        Some(paging) => Some(paging.object("cursors")?.id("after")?.into_owned()),
        None => None,
    };
    Some(TemplatePage { templates, after })
}

fn listed(json: &str) -> Option<ListedTemplate> {
    let template = Object::read(json)?;
    let id = |key| template.id(key).map(Into::into);
    let word = |key, otherwise: &str| template.string(key).unwrap_or_else(|| otherwise.to_owned());
    // An object {"score": …}, or the bare word.
    let quality = template.object("quality_score");
    let quality = quality.map_or_else(|| template.string("quality_score"), |q| q.string("score"));
    Some(ListedTemplate {
        id: id("id")?,
        name: id("name")?,
        language: id("language")?,
        status: word("status", "UNKNOWN"),
        rejected_reason: template.string("rejected_reason").filter(|reason| reason != "NONE"),
        quality: quality.unwrap_or_else(|| "UNKNOWN".to_owned()),
        category: word("category", "UNKNOWN"),
        previous_category: template.string("previous_category"),
        correct_category: template.string("correct_category"),
        parameter_format: word("parameter_format", "POSITIONAL"),
        components: template.raw("components").map_or("[]", |raw| raw.get()).to_owned(),
        ttl_seconds: template.number("message_send_ttl_seconds"),
    })
}

fn created(text: &str) -> Option<CreatedTemplate> {
    let answer = Object::read(text)?;
    Some(CreatedTemplate {
        id: answer.id("id")?.into_owned(),
        status: answer.string("status").unwrap_or_else(|| "PENDING".to_owned()),
        category: answer.string("category"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = include_str!("../../tests/fixtures/api_templates_page_1.json");
    const LAST: &str = include_str!("../../tests/fixtures/api_templates_page_2.json");

    #[test]
    fn the_last_page_is_the_one_without_next_although_it_has_cursors() {
        let first = page(FIRST).unwrap();
        assert_eq!((first.templates.len(), first.after.as_deref()), (2, Some("QVFIUmQ2")));
        assert_eq!(first.templates[0].quality, "GREEN");
        let last = page(LAST).unwrap();
        assert_eq!((last.templates.len(), last.after), (1, None));
        assert_eq!(last.templates[0].status, "PAUSED");
        assert_eq!(last.templates[0].previous_category.as_deref(), Some("UTILITY"));
        assert_eq!(last.templates[0].rejected_reason, None);
    }

    #[test]
    fn components_nobody_knows_survive_byte_for_byte() {
        let odd = r#"[ {"zz":1.50,"type":"HOLOGRAM","a":{"b":[1e2, null]},"a":2} ]"#;
        let text =
            format!(r#"{{"data":[{{"id":7,"name":"n","language":"en","components":{odd}}}]}}"#);
        let page = page(&text).unwrap();
        assert_eq!(page.templates[0].components, odd);
        assert_eq!(page.templates[0].id, "7");
    }

    #[test]
    fn a_page_with_something_unreadable_is_no_page() {
        for text in [
            r#"{"data":[{"id":"7","name":"n"}]}"#,
            r#"{"data":[7]}"#,
            r#"{"paging":{}}"#,
            r#"{"data":[],"paging":{"next":"https://x.test"}}"#,
            "[]",
        ] {
            assert_eq!(page(text), None, "{text}");
        }
    }
}

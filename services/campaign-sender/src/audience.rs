//! Whom a campaign goes to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use service::problem::FieldError;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audience {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) phones: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) upload: bool,
}

impl Audience {
    pub(crate) fn validate(&self) -> Result<(), Vec<FieldError>> {
        if self.tags.is_empty()
            && self.attributes.is_empty()
            && self.phones.is_empty()
            && !self.upload
        {
            return Err(vec![FieldError {
                pointer: String::new(),
                code: "audience_empty".into(),
                detail: "an audience names somebody".into(),
            }]);
        }
        Ok(())
    }
}

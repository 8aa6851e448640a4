//! What a campaign says.

use serde::{Deserialize, Serialize};
use service::problem::FieldError;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    name: String,
    language: String,
    #[serde(default)]
    params: serde_json::Value,
}

impl Template {
    pub(crate) fn validate(&self) -> Result<(), Vec<FieldError>> {
        Ok(())
    }
}

//! The Graph API: sends a message and says what is certain about it afterwards; manages templates.
//!
//! Invariant: [`SendOutcome::NotSent`] and [`SendOutcome::Rejected`] are only said when Meta can not
//! have accepted the message. Whatever leaves a doubt is [`SendOutcome::Doubt`].

mod answer;
mod client;
mod fence;
mod manage;
mod metrics;
mod outcome;
mod request;
mod templates;

use kernel::Retryable;
use thiserror::Error;

pub use self::answer::read_answer;
pub use self::client::{GraphClient, GraphOptions};
pub use self::manage::{CallError, Refusal};
pub use self::outcome::{
    DoubtReason, GraphError, HeldBack, MessageStatus, NotSentReason, SendOutcome,
};
pub use self::request::{Content, Recipient, SendRequest};
pub use self::templates::{CreatedTemplate, ListedTemplate, TemplatePage};

/// The client can not be built.
#[derive(Debug, Error)]
pub enum GraphSetupError {
    /// The base URL is not one that paths can be added to, such as `https://graph.facebook.com`.
    #[error("the base URL is neither http nor https")]
    BaseUrl,
    /// For instance because the machine has no CA certificates.
    #[error("the HTTP client can not be built")]
    Client(#[source] reqwest::Error),
}

impl Retryable for GraphSetupError {
    fn is_transient(&self) -> bool {
        false
    }
}

/// Makes `ring` the process's TLS provider. May be called any number of times; the first one counts.
pub fn install_tls() {
    // An error says that a provider is installed already, which is all we want.
    rustls::crypto::ring::default_provider().install_default().ok();
}

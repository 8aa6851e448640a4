//! The codes of the API's errors. Callers branch on them: a code never changes its meaning.

use std::fmt;

use actix_web::http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident $code:literal $retry:ident $title:literal;)*) => {
        /// What went wrong, in a stable word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, for the docs.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in the body.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// The HTTP status it comes with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            /// A few words for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// Whether the same request may succeed later.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => matches!(Retry::$retry, Retry::Later)),* }
            }
        }
    };
}

enum Retry {
    Later,
    Never,
}

codes! {
    /// The body is not JSON.
    InvalidJson = BAD_REQUEST "invalid_json" Never "The body is not JSON";
    /// The query has a parameter that does not exist.
    UnknownParameter = BAD_REQUEST "unknown_parameter" Never "Unknown query parameter";
    /// A request that must not run twice names no key.
    IdempotencyKeyMissing = BAD_REQUEST "idempotency_key_missing" Never "Idempotency-Key is missing";
    /// The request breaks HTTP in some way no other code describes.
    BadRequest = BAD_REQUEST "bad_request" Never "The request cannot be read";
    /// There is no key, or it is wrong or revoked.
    KeyInvalid = UNAUTHORIZED "key_invalid" Never "The API key is not valid";
    /// The key's time is over.
    KeyExpired = UNAUTHORIZED "key_expired" Never "The API key has expired";
    /// The key's role lacks a scope.
    ScopeMissing = FORBIDDEN "scope_missing" Never "The API key lacks a scope";
    /// The key may not use this connection.
    ConnectionNotAllowed = FORBIDDEN "connection_not_allowed" Never "The API key may not use this connection";
    /// A test key asked for something live.
    TestKeyLiveResource = FORBIDDEN "test_key_live_resource" Never "A test key cannot reach live resources";
    /// It concerns every tenant; a workspace's key may not decide that.
    InstallationOnly = FORBIDDEN "installation_only" Never "Only the installation's operator may do this";
    /// Nothing is there, or it belongs to somebody else.
    NotFound = NOT_FOUND "not_found" Never "Not found";
    /// The address exists, the method does not.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed" Never "Method not allowed";
    /// The request took too long to arrive.
    RequestTimeout = REQUEST_TIMEOUT "request_timeout" Later "The request took too long to arrive";
    /// The same key is being worked on.
    IdempotencyInProgress = CONFLICT "idempotency_in_progress" Later "The same request is being worked on";
    /// The same work is under way; see `existing`.
    AlreadyRunning = CONFLICT "already_running" Later "Already running";
    /// The campaign's state or parts forbid starting.
    CampaignNotStartable = CONFLICT "campaign_not_startable" Never "This campaign cannot be started";
    /// The thing's state forbids this.
    StateConflict = CONFLICT "state_conflict" Never "The present state does not allow this";
    /// The lock has changed hands since it was looked at.
    LockOwnerChanged = CONFLICT "lock_owner_changed" Never "The lock belongs to somebody else now";
    /// The thing has changed since it was read.
    EtagMismatch = PRECONDITION_FAILED "etag_mismatch" Never "Changed since it was read";
    /// The body is larger than allowed.
    TooLarge = PAYLOAD_TOO_LARGE "too_large" Never "The body is too large";
    /// The body is not of a kind we read.
    UnsupportedMedia = UNSUPPORTED_MEDIA_TYPE "unsupported_media" Never "The body is of a kind that is not read";
    /// Values are wrong; see `errors`.
    ValidationFailed = UNPROCESSABLE_ENTITY "validation_failed" Never "Values are not valid";
    /// The key was used for another request.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "idempotency_key_reused" Never "The Idempotency-Key was used for another request";
    /// The parameters do not fit the template.
    TemplateParamsMismatch = UNPROCESSABLE_ENTITY "template_params_mismatch" Never "The parameters do not fit the template";
    /// More than 24 hours since the person wrote: only a template may be sent.
    OutsideServiceWindow = UNPROCESSABLE_ENTITY "outside_service_window" Never "The 24-hour window is over";
    /// The person wants no messages.
    ContactOptedOut = UNPROCESSABLE_ENTITY "contact_opted_out" Never "The contact has opted out";
    /// The confirmation came too late.
    ConfirmTokenExpired = UNPROCESSABLE_ENTITY "confirm_token_expired" Never "The confirmation has expired";
    /// What was confirmed is not what is there now.
    ConfirmSetChanged = UNPROCESSABLE_ENTITY "confirm_set_changed" Never "What was confirmed has changed";
    /// Too many requests of this key.
    QuotaExceeded = TOO_MANY_REQUESTS "quota_exceeded" Later "Too many requests";
    /// The message would have to wait for a limit, and its sender did not want that.
    RateLimited = TOO_MANY_REQUESTS "rate_limited" Later "The message would have to wait";
    /// A failure of ours; nothing was committed.
    Internal = INTERNAL_SERVER_ERROR "internal" Later "Internal error";
    /// A server we depend on does not answer.
    DependencyUnavailable = SERVICE_UNAVAILABLE "dependency_unavailable" Later "A dependency does not answer";
    /// This process is stopping.
    Draining = SERVICE_UNAVAILABLE "draining" Later "This instance is stopping";
    /// Changes are switched off for a while.
    ReadOnlyMode = SERVICE_UNAVAILABLE "read_only_mode" Later "Changes are switched off for a while";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! Another try for those whose failure may pass.

/// Whether a message that failed with this code of Meta's is worth another try.
pub(super) fn is_worthwhile(code: i32) -> bool {
    whatsapp::error_class::classify(code, None, None).is_retryable()
}

//! URLs that the server is to POST to.

use inkhook_egress::Policy;

use super::error::{ApiError, quote};
use crate::domain::subscription::WebhookUrl;

/// A URL that may be delivered to now.
///
/// # Errors
/// A 422 that names the field. What may be a password is not repeated.
pub(super) fn checked(field: &str, given: String, policy: &Policy) -> Result<WebhookUrl, ApiError> {
    match policy.check_url(&given) {
        Ok(target) => Ok(WebhookUrl { normalized: target.normalized().to_owned(), given }),
        // What stands before an @ may be a password.
        Err(error) if given.contains('@') => Err(ApiError::invalid(field, error.to_string())),
        Err(error) => Err(ApiError::invalid(field, format!("{error}: {}", quote(&given)))),
    }
}

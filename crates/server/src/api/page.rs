//! Pages of lists: `limit`, `offset` and `before`.

use super::error::ApiError;

/// Rows of a page when the caller does not say.
pub const DEFAULT_LIMIT: i64 = 50;
/// Rows of a page at most; more is cut to this.
pub const MAX_LIMIT: i64 = 200;
/// Rows that can be skipped; beyond, `before` costs less.
pub const MAX_OFFSET: i64 = 10_000;

/// `limit` as the contract has it: cut to 1..=200, 50 when left out.
#[must_use]
pub fn limit(given: Option<i64>) -> u32 {
    u32::try_from(given.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)).unwrap_or(1)
}

/// `offset`, refused when it is negative or too deep.
///
/// # Errors
/// A 422 that names `offset` and says what to use instead.
pub fn offset(given: Option<i64>) -> Result<u32, ApiError> {
    let offset = given.unwrap_or(0);
    let within = u32::try_from(offset).ok().filter(|_| offset <= MAX_OFFSET);
    within.ok_or_else(|| {
        let msg = if offset < 0 {
            format!("{offset} is less than 0")
        } else {
            format!("{offset} is more than {MAX_OFFSET}; go on with before=<id of the last row>")
        };
        ApiError::invalid_at(vec!["query".into(), "offset".into()], msg, "invalid")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_cut_and_offsets_are_refused() {
        assert_eq!([None, Some(0), Some(-3), Some(7), Some(201)].map(limit), [50, 1, 1, 7, 200]);
        assert_eq!(offset(None).unwrap(), 0);
        assert_eq!(offset(Some(MAX_OFFSET)).unwrap(), 10_000);
        assert!(offset(Some(MAX_OFFSET + 1)).is_err());
        assert!(offset(Some(-1)).is_err());
    }
}

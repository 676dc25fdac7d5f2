//! One statement's text, as each database wants it.

use std::borrow::Cow;

const POSTGRES_BEGINS: &str = "/*pg";
const POSTGRES_ENDS: &str = "*/";
const SQLITE_BEGINS: &str = "/*lite*/";
const SQLITE_ENDS: &str = "/*end*/";

/// SQLite takes `$2` for a *name* and numbers names by their first appearance, so that `SET a = $2 WHERE b = $1`
/// would bind the two the wrong way round. `?2` is a number.
pub(super) fn for_sqlite(sql: &str) -> Cow<'_, str> {
    if sql.contains('$') { Cow::Owned(sql.replace('$', "?")) } else { Cow::Borrowed(sql) }
}

/// Postgres wants every parameter numbered: a `?` without a number is the next one.
pub(in crate::store) fn for_postgres(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("/*") {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(POSTGRES_BEGINS) {
            let (words, after) = after.split_once(POSTGRES_ENDS).unwrap_or((after, ""));
            text.push_str(words);
            rest = after;
        } else if let Some(after) = rest.strip_prefix(SQLITE_BEGINS) {
            rest = after.split_once(SQLITE_ENDS).map_or("", |(_, after)| after);
        } else {
            text.push_str("/*");
            rest = &rest[2..];
        }
    }
    text.push_str(rest);
    if !text.contains('?') {
        return text;
    }
    let mut numbered = String::with_capacity(text.len() + 16);
    let mut next = 1;
    for c in text.chars() {
        if c == '?' {
            numbered.push('$');
            numbered.push_str(&next.to_string());
            next += 1;
        } else {
            numbered.push(c);
        }
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reads_its_own_words() {
        let sql =
            "SELECT a FROM /*lite*/ t CROSS JOIN /*end*/ /*pg u JOIN */ v WHERE b = $1 /*pg FOR UPDATE */";
        assert_eq!(for_postgres(sql), "SELECT a FROM   u JOIN  v WHERE b = $1  FOR UPDATE ");
        let lite = for_sqlite(sql);
        assert!(lite.contains("?1") && lite.contains("CROSS JOIN") && lite.contains("/*pg FOR UPDATE */"));
        assert_eq!(for_postgres("a /* said */ b"), "a /* said */ b", "a comment is one");
    }

    #[test]
    fn parameters_without_a_number_get_theirs() {
        assert_eq!(for_postgres("a = ? AND b = ?"), "a = $1 AND b = $2");
    }
}

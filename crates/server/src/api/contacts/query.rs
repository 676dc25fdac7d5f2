//! Which contacts are asked for.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::error::{ApiError, quote};
use crate::api::page;
use crate::domain::contact::PointKind;
use crate::domain::{mail_address, phone_number};
use crate::store::contacts::{ContactFilter, ContactOrder, Lookup};

/// Characters of a search at most.
const SEARCH_CHARS: usize = 100;

fn wrong(field: &str, msg: impl Into<String>) -> ApiError {
    ApiError::invalid_at(vec!["query".into(), field.into()], msg, "invalid")
}

/// A list's parameters. One of them may come several times, which the others must not.
#[derive(Debug, Default)]
pub(super) struct ListQuery {
    q: Option<String>,
    order: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
    review_status: Vec<String>,
}

impl ListQuery {
    pub(super) fn read(pairs: Vec<(String, String)>) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for (name, value) in pairs {
            let place = match name.as_str() {
                "q" => &mut query.q,
                "order" => &mut query.order,
                "limit" => &mut query.limit,
                "offset" => &mut query.offset,
                "review_status" => {
                    query.review_status.push(value);
                    continue;
                }
                _ => {
                    let msg = format!("unknown field {}", quote(&name));
                    return Err(wrong(&name.chars().take(SEARCH_CHARS).collect::<String>(), msg));
                }
            };
            if place.replace(value).is_some() {
                return Err(wrong(&name, "stands here twice"));
            }
        }
        Ok(query)
    }

    /// The contacts that are asked for; `None`: those that nobody has reviewed, of which there are none.
    pub(super) fn filter(self) -> Result<Option<ContactFilter>, ApiError> {
        let number = |field: &str, text: Option<String>| {
            let number = text.map(|text| text.parse::<i64>()).transpose();
            number.map_err(|_| wrong(field, "must be a whole number"))
        };
        let order = match self.order.as_deref() {
            None | Some("name") => ContactOrder::Name,
            Some("recent") => ContactOrder::Recent,
            Some(other) => {
                return Err(wrong("order", format!("{} must be name or recent", quote(other))));
            }
        };
        let statuses = &self.review_status;
        if let Some(other) = statuses.iter().find(|it| !matches!(it.as_str(), "confirmed" | "unreviewed")) {
            let msg = format!("{} must be confirmed or unreviewed", quote(other));
            return Err(wrong("review_status", msg));
        }
        let q = self.q.map(|q| part("q", &q)).transpose()?.filter(|q| !q.is_empty());
        let filter = ContactFilter {
            q,
            order,
            limit: page::limit(number("limit", self.limit)?),
            offset: page::offset(number("offset", self.offset)?)?,
        };
        let some_are_meant = statuses.is_empty() || statuses.iter().any(|it| it == "confirmed");
        Ok(some_are_meant.then_some(filter))
    }
}

/// By what contacts are looked up: exactly one.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupQuery {
    /// An address, without regard to case.
    email: Option<String>,
    /// A part of an address.
    email_contains: Option<String>,
    /// What stands behind the `@`.
    email_domain: Option<String>,
    /// A number, E.164.
    phone: Option<String>,
    /// A part of a number.
    phone_contains: Option<String>,
}

impl LookupQuery {
    pub(super) fn checked(self) -> Result<Lookup, ApiError> {
        let mut given = [
            ("email", self.email),
            ("email_contains", self.email_contains),
            ("email_domain", self.email_domain),
            ("phone", self.phone),
            ("phone_contains", self.phone_contains),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field, value?)));
        let (Some((field, value)), None) = (given.next(), given.next()) else {
            let msg = "give exactly one of email, email_contains, email_domain, phone and phone_contains";
            return Err(ApiError::invalid_at(vec!["query".into()], msg, "invalid"));
        };
        match field {
            "email" if mail_address::is_address(value.trim()) => {
                Ok(Lookup::Point(mail_address::normalize(&value)))
            }
            "email" => Err(wrong(field, format!("{} is not a mail address", quote(&value)))),
            "phone" if phone_number::is_e164(value.trim()) => Ok(Lookup::Point(value.trim().to_owned())),
            "phone" => Err(wrong(field, format!("{} is not a number in E.164", quote(&value)))),
            "email_contains" => Ok(Lookup::Contains(PointKind::Email, some(field, &value)?)),
            "email_domain" => {
                Ok(Lookup::Domain(some(field, value.trim().strip_prefix('@').unwrap_or(&value))?))
            }
            _ => Ok(Lookup::Contains(PointKind::Phone, some(field, &value)?)),
        }
    }
}

/// A part of a text that is searched for.
fn part(field: &str, text: &str) -> Result<String, ApiError> {
    if text.chars().nth(SEARCH_CHARS).is_some() {
        return Err(wrong(field, format!("must have at most {SEARCH_CHARS} characters")));
    }
    if text.contains('\0') {
        return Err(wrong(field, "must not contain the character U+0000"));
    }
    Ok(text.trim().to_lowercase())
}

/// The same, and there is something to be searched for.
fn some(field: &str, text: &str) -> Result<String, ApiError> {
    let part = part(field, text)?;
    if part.is_empty() { Err(wrong(field, "must not be empty")) } else { Ok(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(field: &str, value: &str) -> Result<Lookup, ApiError> {
        let of = |name: &str| (name == field).then(|| value.to_owned());
        let query = LookupQuery {
            email: of("email"),
            email_contains: of("email_contains"),
            email_domain: of("email_domain"),
            phone: of("phone"),
            phone_contains: of("phone_contains"),
        };
        query.checked()
    }

    #[test]
    fn what_is_looked_up_is_compared_as_it_is_stored() {
        assert_eq!(lookup("email", " Ana@Client.Test").unwrap(), Lookup::Point("ana@client.test".into()));
        assert_eq!(lookup("email_domain", "@Client.test").unwrap(), Lookup::Domain("client.test".into()));
        assert_eq!(lookup("email_domain", "client.test").unwrap(), Lookup::Domain("client.test".into()));
        assert_eq!(lookup("phone", "+12025550178").unwrap(), Lookup::Point("+12025550178".into()));
        for (field, value) in [("email", "ana"), ("phone", "2025550178"), ("email_contains", " "), ("x", "")]
        {
            assert!(lookup(field, value).is_err(), "{field} {value}");
        }
        let long = "x".repeat(SEARCH_CHARS);
        assert!(lookup("email_contains", &long).is_ok());
        assert!(lookup("email_contains", &format!("{long}x")).is_err());
    }

    #[test]
    fn a_list_is_asked_for_once_but_for_its_review() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            ListQuery::read(pairs.collect()).and_then(ListQuery::filter)
        };
        let filter = read(&[("q", " Ana "), ("order", "recent"), ("limit", "7"), ("offset", "3")]);
        let filter = filter.unwrap().expect("some are meant");
        assert_eq!((filter.q.as_deref(), filter.order), (Some("ana"), ContactOrder::Recent));
        assert_eq!((filter.limit, filter.offset), (7, 3));
        let both = [("review_status", "unreviewed"), ("review_status", "confirmed")];
        assert!(read(&both).unwrap().is_some());
        assert!(read(&both[..1]).unwrap().is_none(), "there are none");
        for refused in [
            &[("order", "size")][..],
            &[("limit", "x")],
            &[("offset", "10001")],
            &[("review_status", "x")],
            &[("q", "a"), ("q", "b")],
            &[("colour", "blue")],
        ] {
            assert!(read(refused).is_err(), "{refused:?}");
        }
    }
}

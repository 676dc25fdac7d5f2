//! The lists on a card, as they are sent and shown.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::known;
use crate::domain::contact::{MAX_POINTS, Point};
use crate::domain::{mail_address, phone_number};

/// Characters of a label at most.
const LABEL_CHARS: usize = 100;
/// Characters of a part of an address, and of what a field of one's own says, at most.
const TEXT_CHARS: usize = 1_000;
/// Characters of a web site's address at most.
const URL_CHARS: usize = 2_048;
/// Entries of every other list at most.
const LIST_ENTRIES: usize = 20;

/// A mail address.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmailBody {
    #[serde(default)]
    label: Option<String>,
    value: String,
    #[serde(default)]
    is_primary: bool,
}

/// A phone number.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PhoneBody {
    #[serde(default)]
    label: Option<String>,
    /// E.164.
    value_e164: String,
    #[serde(default)]
    is_primary: bool,
}

/// A web site.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebsiteBody {
    #[serde(default)]
    label: Option<String>,
    url: String,
}

/// A day.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DateBody {
    #[serde(default)]
    label: Option<String>,
    /// `YYYY-MM-DD`.
    date: String,
}

/// Where somebody lives or works.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressBody {
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    street: Option<String>,
    #[serde(default)]
    city: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    postal: Option<String>,
    #[serde(default)]
    country: Option<String>,
}

/// Anything else.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomFieldBody {
    label: String,
    value: String,
}

/// An entry of a list that has no function here.
pub(super) trait Entry: Serialize {
    /// Its texts: the field, what it says, and how many characters that may be.
    fn texts(&self) -> Vec<(&'static str, Option<&str>, usize)>;

    /// The field that holds a day.
    fn day(&self) -> Option<(&'static str, &str)> {
        None
    }
}

impl Entry for WebsiteBody {
    fn texts(&self) -> Vec<(&'static str, Option<&str>, usize)> {
        vec![("label", self.label.as_deref(), LABEL_CHARS), ("url", Some(&self.url), URL_CHARS)]
    }
}

impl Entry for DateBody {
    fn texts(&self) -> Vec<(&'static str, Option<&str>, usize)> {
        vec![("label", self.label.as_deref(), LABEL_CHARS)]
    }

    fn day(&self) -> Option<(&'static str, &str)> {
        Some(("date", &self.date))
    }
}

impl Entry for AddressBody {
    fn texts(&self) -> Vec<(&'static str, Option<&str>, usize)> {
        vec![
            ("label", self.label.as_deref(), LABEL_CHARS),
            ("street", self.street.as_deref(), TEXT_CHARS),
            ("city", self.city.as_deref(), TEXT_CHARS),
            ("region", self.region.as_deref(), TEXT_CHARS),
            ("postal", self.postal.as_deref(), TEXT_CHARS),
            ("country", self.country.as_deref(), TEXT_CHARS),
        ]
    }
}

impl Entry for CustomFieldBody {
    fn texts(&self) -> Vec<(&'static str, Option<&str>, usize)> {
        vec![("label", Some(&self.label), LABEL_CHARS), ("value", Some(&self.value), TEXT_CHARS)]
    }
}

/// The entries of a list, if they keep the rules, as they are stored.
pub(super) fn entries<T: Entry>(field: &str, list: &[T]) -> Result<serde_json::Value, ApiError> {
    at_most(field, list.len(), LIST_ENTRIES)?;
    for (place, entry) in list.iter().enumerate() {
        let place = place.to_string();
        for (name, text, characters) in entry.texts() {
            known::column_text(&[field, &place, name], text.unwrap_or_default(), characters)?;
        }
        if let Some((name, text)) = entry.day() {
            day(&[field, &place, name], text)?;
        }
    }
    serde_json::to_value(list).map_err(|_| ApiError::invalid(field, "cannot be stored"))
}

/// Whether a text is a day, `YYYY-MM-DD`.
pub(super) fn day(path: &[&str], text: &str) -> Result<(), ApiError> {
    let is_day = text.len() == "YYYY-MM-DD".len() && text.parse::<Date>().is_ok();
    if is_day { Ok(()) } else { Err(known::at(path, "must be a day in the form YYYY-MM-DD", "invalid")) }
}

/// The addresses of a card.
pub(super) fn emails(list: Vec<EmailBody>) -> Result<Vec<Point>, ApiError> {
    let points = list.into_iter().map(|it| Point {
        label: it.label,
        value: it.value.trim().to_owned(),
        is_primary: it.is_primary,
    });
    let points: Vec<Point> = points.collect();
    let wrong = "must be a mail address: local@domain, at most 320 bytes";
    check(&points, ("emails", "value"), |value| mail_address::is_address(value).then_some(()).ok_or(wrong))?;
    unique(&points, ("emails", "value"), mail_address::normalize)?;
    Ok(points)
}

/// The numbers of a card.
pub(super) fn phones(list: Vec<PhoneBody>) -> Result<Vec<Point>, ApiError> {
    let points = list.into_iter().map(|it| Point {
        label: it.label,
        value: it.value_e164.trim().to_owned(),
        is_primary: it.is_primary,
    });
    let points: Vec<Point> = points.collect();
    let wrong = "must be a number in E.164: + and 7 to 15 digits";
    check(&points, ("phones", "value_e164"), |value| {
        phone_number::is_e164(value).then_some(()).ok_or(wrong)
    })?;
    unique(&points, ("phones", "value_e164"), str::to_owned)?;
    Ok(points)
}

fn check(
    points: &[Point],
    (field, name): (&str, &str),
    rule: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<(), ApiError> {
    at_most(field, points.len(), MAX_POINTS)?;
    for (place, point) in points.iter().enumerate() {
        let place = place.to_string();
        let label = point.label.as_deref().unwrap_or_default();
        known::column_text(&[field, &place, "label"], label, LABEL_CHARS)?;
        rule(&point.value).map_err(|wrong| known::at(&[field, &place, name], wrong, "invalid"))?;
    }
    Ok(())
}

fn unique(
    points: &[Point],
    (field, name): (&str, &str),
    normalize: impl Fn(&str) -> String,
) -> Result<(), ApiError> {
    let mut seen = std::collections::HashSet::new();
    for (place, point) in points.iter().enumerate() {
        if !seen.insert(normalize(&point.value)) {
            let msg = "stands twice on this contact";
            return Err(known::at(&[field, &place.to_string(), name], msg, "invalid"));
        }
    }
    Ok(())
}

fn at_most(field: &str, entries: usize, most: usize) -> Result<(), ApiError> {
    if entries > most {
        return Err(known::at(&[field], format!("must have at most {most} entries"), "too_long"));
    }
    Ok(())
}

/// Addresses as they are shown.
pub(super) fn shown_emails(points: Vec<Point>) -> Vec<EmailBody> {
    let shown = |Point { label, value, is_primary }| EmailBody { label, value, is_primary };
    points.into_iter().map(shown).collect()
}

/// Numbers as they are shown.
pub(super) fn shown_phones(points: Vec<Point>) -> Vec<PhoneBody> {
    let shown = |Point { label, value, is_primary }| PhoneBody { label, value_e164: value, is_primary };
    points.into_iter().map(shown).collect()
}

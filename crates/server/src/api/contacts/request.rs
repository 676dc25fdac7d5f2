//! What is sent about contacts, and how it is checked.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::card::{
    self, AddressBody, CustomFieldBody, DateBody, EmailBody, Entry, PhoneBody, WebsiteBody, entries,
};
use crate::api::body::{Object, Patch};
use crate::api::error::ApiError;
use crate::api::known::{self, Given};
use crate::domain::contact::Card;
use crate::domain::identity::Settings;
use crate::store::contacts::ContactChange;

/// Characters of a name, a company or a job title at most.
const NAME_CHARS: usize = 255;
/// Characters of notes at most.
const NOTES_CHARS: usize = 5_000;

/// A body with everything that a card has, and what only one of the two requests has.
macro_rules! card_body {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// What payloads call the contact; when left out, its given, middle and family name.
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 255)]
            preferred_name: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 255)]
            name_prefix: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 255)]
            given_name: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 255)]
            middle_name: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 255)]
            family_name: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 255)]
            name_suffix: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 255)]
            company_name: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 255)]
            job_title: Patch<String>,
            /// `YYYY-MM-DD`.
            #[serde(default)]
            #[schema(value_type = Option<String>)]
            birthday: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<String>, max_length = 5000)]
            notes: Patch<String>,
            #[serde(default)]
            #[schema(value_type = Option<Vec<EmailBody>>, max_items = 20)]
            emails: Patch<Vec<Object<EmailBody>>>,
            #[serde(default)]
            #[schema(value_type = Option<Vec<PhoneBody>>, max_items = 20)]
            phones: Patch<Vec<Object<PhoneBody>>>,
            #[serde(default)]
            #[schema(value_type = Option<Vec<WebsiteBody>>, max_items = 20)]
            websites: Patch<Vec<Object<WebsiteBody>>>,
            #[serde(default)]
            #[schema(value_type = Option<Vec<DateBody>>, max_items = 20)]
            dates: Patch<Vec<Object<DateBody>>>,
            #[serde(default)]
            #[schema(value_type = Option<Vec<AddressBody>>, max_items = 20)]
            addresses: Patch<Vec<Object<AddressBody>>>,
            #[serde(default)]
            #[schema(value_type = Option<Vec<CustomFieldBody>>, max_items = 20)]
            custom_fields: Patch<Vec<Object<CustomFieldBody>>>,
            $($(#[$field_doc])* $field: Given,)*
        }

        impl $name {
            fn change(self) -> Result<ContactChange, ApiError> {
                let mut fields = Settings::new();
                for (name, text, characters) in [
                    ("preferred_name", self.preferred_name, NAME_CHARS),
                    ("name_prefix", self.name_prefix, NAME_CHARS),
                    ("given_name", self.given_name, NAME_CHARS),
                    ("middle_name", self.middle_name, NAME_CHARS),
                    ("family_name", self.family_name, NAME_CHARS),
                    ("name_suffix", self.name_suffix, NAME_CHARS),
                    ("company_name", self.company_name, NAME_CHARS),
                    ("job_title", self.job_title, NAME_CHARS),
                    ("notes", self.notes, NOTES_CHARS),
                ] {
                    if let Patch::Set(text) = &text {
                        known::column_text(&[name], text, characters)?;
                    }
                    known::set(&mut fields, name, text);
                }
                if let Patch::Set(text) = &self.birthday {
                    card::day(&["birthday"], text)?;
                }
                known::set(&mut fields, "birthday", self.birthday);
                known::set(&mut fields, "websites", list("websites", self.websites)?);
                known::set(&mut fields, "dates", list("dates", self.dates)?);
                known::set(&mut fields, "addresses", list("addresses", self.addresses)?);
                known::set(&mut fields, "custom_fields", list("custom_fields", self.custom_fields)?);
                let emails = points(self.emails).map(card::emails).transpose()?;
                let phones = points(self.phones).map(card::phones).transpose()?;
                Ok(ContactChange { fields, emails, phones })
            }
        }
    };
}

card_body! {
    /// A contact to be made.
    CreateBody {
        /// Every agent sees every contact: nothing but null.
        #[serde(default)]
        #[schema(value_type = Option<Vec<uuid::Uuid>>)]
        access_identity_ids,
        /// The same.
        #[serde(default)]
        #[schema(value_type = Option<Object>)]
        permissions,
    }
}

card_body! {
    /// A change of a contact; what is left out stays, null clears.
    PatchBody {
        /// `confirmed`, which all contacts are.
        #[serde(default)]
        #[schema(value_type = Option<String>)]
        review_status,
    }
}

impl CreateBody {
    pub(super) fn checked(self) -> Result<Card, ApiError> {
        known::only_default(&["access_identity_ids"], &self.access_identity_ids, &[])?;
        known::only_default(&["permissions"], &self.permissions, &[])?;
        let ContactChange { mut fields, emails, phones } = self.change()?;
        fields.retain(|_, value| !value.is_null());
        Ok(Card { fields, emails: emails.unwrap_or_default(), phones: phones.unwrap_or_default() })
    }
}

impl PatchBody {
    pub(super) fn checked(self) -> Result<ContactChange, ApiError> {
        known::only_default(&["review_status"], &self.review_status, &[json!("confirmed")])?;
        self.change()
    }
}

/// Who is to see a contact.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessBody {
    /// Null: every agent. A single one cannot be asked for.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    identity_id: Given,
}

impl AccessBody {
    pub(super) fn checked(&self) -> Result<(), ApiError> {
        known::only_default(&["identity_id"], &self.identity_id, &[])
    }
}

/// A list as it is stored.
fn list<T: Entry>(field: &str, list: Patch<Vec<Object<T>>>) -> Result<Patch<Value>, ApiError> {
    list.try_map(|list| {
        let list: Vec<T> = list.into_iter().map(|Object(entry)| entry).collect();
        entries(field, &list)
    })
}

/// The addresses or numbers that a contact is to have; `None`: as it has them.
fn points<T>(list: Patch<Vec<Object<T>>>) -> Option<Vec<T>> {
    match list {
        Patch::Keep => None,
        Patch::Clear => Some(Vec::new()),
        Patch::Set(list) => Some(list.into_iter().map(|Object(entry)| entry).collect()),
    }
}

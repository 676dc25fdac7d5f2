//! How contacts are shown.

use inkhook_wire::id::{ContactFactId, ContactId, IdentityId, OrganizationId};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::card::{AddressBody, CustomFieldBody, DateBody, EmailBody, PhoneBody, WebsiteBody};
use super::card::{shown_emails, shown_phones};
use crate::domain::caller::Caller;
use crate::domain::contact::{Contact, LatestFact};
use crate::domain::time::TimeMs;

/// A contact.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContactBody {
    #[schema(value_type = uuid::Uuid)]
    id: ContactId,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[schema(value_type = Option<String>)]
    preferred_name: Value,
    #[schema(value_type = Option<String>)]
    name_prefix: Value,
    #[schema(value_type = Option<String>)]
    given_name: Value,
    #[schema(value_type = Option<String>)]
    middle_name: Value,
    #[schema(value_type = Option<String>)]
    family_name: Value,
    #[schema(value_type = Option<String>)]
    name_suffix: Value,
    #[schema(value_type = Option<String>)]
    company_name: Value,
    #[schema(value_type = Option<String>)]
    job_title: Value,
    #[schema(value_type = Option<String>)]
    birthday: Value,
    #[schema(value_type = Option<String>)]
    notes: Value,
    emails: Vec<EmailBody>,
    phones: Vec<PhoneBody>,
    #[schema(value_type = Vec<WebsiteBody>)]
    websites: Value,
    #[schema(value_type = Vec<DateBody>)]
    dates: Value,
    #[schema(value_type = Vec<AddressBody>)]
    addresses: Value,
    #[schema(value_type = Vec<CustomFieldBody>)]
    custom_fields: Value,
    access: Vec<AccessRow>,
    /// `manual`: contacts are not made by themselves here.
    creation_source: &'static str,
    /// `confirmed`.
    review_status: &'static str,
    /// The agent that made it; null: an admin did.
    #[schema(value_type = Option<uuid::Uuid>)]
    created_by_identity_id: Option<IdentityId>,
    is_auto_created: bool,
    is_confirmed: bool,
    /// How many facts are remembered.
    memory_count: u32,
    latest_memory: Option<MemorySummary>,
    /// `active`.
    status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
}

impl ContactBody {
    pub(super) fn new(caller: &Caller, contact: Contact) -> Self {
        let access = vec![AccessRow::everybody(&contact)];
        let mut fields = contact.card.fields;
        let mut text = |name: &str| fields.remove(name).unwrap_or_default();
        let names = [
            "preferred_name",
            "name_prefix",
            "given_name",
            "middle_name",
            "family_name",
            "name_suffix",
            "company_name",
            "job_title",
            "birthday",
            "notes",
        ];
        let [preferred, prefix, given, middle, family, suffix, company, job, birthday, notes] =
            names.map(&mut text);
        let mut list = |name: &str| fields.remove(name).unwrap_or_else(|| json!([]));
        let [websites, dates, addresses, custom_fields] =
            ["websites", "dates", "addresses", "custom_fields"].map(&mut list);
        Self {
            id: contact.id,
            organization_id: caller.organization_id,
            preferred_name: preferred,
            name_prefix: prefix,
            given_name: given,
            middle_name: middle,
            family_name: family,
            name_suffix: suffix,
            company_name: company,
            job_title: job,
            birthday,
            notes,
            emails: shown_emails(contact.card.emails),
            phones: shown_phones(contact.card.phones),
            websites,
            dates,
            addresses,
            custom_fields,
            access,
            creation_source: "manual",
            review_status: "confirmed",
            created_by_identity_id: contact.created_by,
            is_auto_created: false,
            is_confirmed: true,
            memory_count: contact.facts,
            latest_memory: contact.latest.map(MemorySummary::from),
            status: "active",
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        }
    }
}

/// The newest of what is remembered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemorySummary {
    #[schema(value_type = uuid::Uuid)]
    id: ContactFactId,
    content: String,
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
}

impl From<LatestFact> for MemorySummary {
    fn from(fact: LatestFact) -> Self {
        Self { id: fact.id, content: fact.content, updated_at: fact.updated_at }
    }
}

/// Who may see a contact.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccessRow {
    /// The contact's own id: there is one row for each contact.
    #[schema(value_type = uuid::Uuid)]
    id: ContactId,
    #[schema(value_type = uuid::Uuid)]
    contact_id: ContactId,
    /// Null: every agent of the organisation.
    #[schema(value_type = Option<uuid::Uuid>)]
    identity_id: Option<IdentityId>,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
}

impl AccessRow {
    /// Every agent of the organisation.
    pub(super) fn everybody(contact: &Contact) -> Self {
        Self { id: contact.id, contact_id: contact.id, identity_id: None, created_at: contact.created_at }
    }
}

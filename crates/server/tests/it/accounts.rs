//! Organisations, keys, identities and what belongs to them.

mod api_keys;
mod identities;
mod mailboxes;
mod organization_settings;
mod organizations;
mod phone_numbers;
mod reserved;
mod signing_keys;
mod tenancy;
mod texts;

//! Typed identifiers.
//!
//! Every id is a newtype over a [`Uuid`], so that a mailbox id can never be passed where an event
//! id is meant. Each has exactly one text form; parsing takes that form (hex digits in either
//! case) and nothing else, so `parse` and `Display` are inverses and a text form is safe to use
//! as a key.
//!
//! This module never makes a new id: randomness belongs to the caller, who passes a [`Uuid`].

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use uuid::Uuid;

/// A text that is not the id it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct ParseIdError {
    expected: &'static str,
}

impl ParseIdError {
    /// What the text should have been, for example "`evt_` and a UUID".
    pub fn expected(self) -> &'static str {
        self.expected
    }
}

/// Length of a UUID written with hyphens.
const HYPHENATED: usize = uuid::fmt::Hyphenated::LENGTH;
/// Length of a UUID written as bare hex digits.
const SIMPLE: usize = uuid::fmt::Simple::LENGTH;

struct IdVisitor<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr> Visitor<'_> for IdVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $form:ident, $length:ident, $expected:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form starts with; may be empty.
            pub const PREFIX: &'static str = $prefix;

            /// The id's UUID, without its prefix.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                fmt::Display::fmt(&self.0.$form(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix($prefix)
                    .filter(|rest| rest.len() == $length)
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or(ParseIdError { expected: $expected })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(IdVisitor(std::marker::PhantomData, $expected))
            }
        }
    )*};
}

ids! {
    /// A webhook subscription: a bare UUID.
    SubscriptionId = "", hyphenated, HYPHENATED, "a UUID";
    /// One HTTP request made for a delivery (the API's "delivery" rows): a bare UUID.
    AttemptId = "", hyphenated, HYPHENATED, "a UUID";
    /// An agent identity: a bare UUID.
    IdentityId = "", hyphenated, HYPHENATED, "a UUID";
    /// A mailbox: a bare UUID.
    MailboxId = "", hyphenated, HYPHENATED, "a UUID";
    /// A phone number: a bare UUID.
    PhoneNumberId = "", hyphenated, HYPHENATED, "a UUID";
    /// Somebody in an organisation's address book: a bare UUID.
    ContactId = "", hyphenated, HYPHENATED, "a UUID";
    /// Something that is remembered of a contact: a bare UUID.
    ContactFactId = "", hyphenated, HYPHENATED, "a UUID";
    /// An event, the same over retries, replays and restarts: `evt_` and a UUID.
    EventId = "evt_", hyphenated, HYPHENATED, "`evt_` and a UUID";
    /// A delivery on the wire, the same over its automatic retries: `req_` and a UUID.
    RequestId = "req_", hyphenated, HYPHENATED, "`req_` and a UUID";
    /// An organisation: `org_` and 32 hex digits. To clients it is an opaque string.
    OrganizationId = "org_", simple, SIMPLE, "`org_` and 32 hex digits";
    /// An API key's public name (not its secret): `ApiKey_` and a UUID.
    ApiKeyId = "ApiKey_", hyphenated, HYPHENATED, "`ApiKey_` and a UUID";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001";

    #[test]
    fn the_text_forms_are_pinned() {
        let uuid: Uuid = SAMPLE.parse().unwrap();
        assert_eq!(SubscriptionId::from(uuid).to_string(), SAMPLE);
        assert_eq!(EventId::from(uuid).to_string(), format!("evt_{SAMPLE}"));
        assert_eq!(RequestId::from(uuid).to_string(), format!("req_{SAMPLE}"));
        assert_eq!(ApiKeyId::from(uuid).to_string(), format!("ApiKey_{SAMPLE}"));
        assert_eq!(OrganizationId::from(uuid).to_string(), "org_0b9c6f1e5b1a4c9e8a533d0f5e1a1001");
        assert_eq!(EventId::from(uuid).as_uuid(), uuid);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "evt_",
            SAMPLE,
            "req_0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001",
            "EVT_0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001",
            "evt_0b9c6f1e5b1a4c9e8a533d0f5e1a1001",
            "evt_{0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001}",
            "evt_0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001 ",
            "evt_0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a100g",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text:?}");
        }
        assert!("org_demo".parse::<OrganizationId>().is_err());
        let error = "x".parse::<EventId>().unwrap_err();
        assert_eq!(error.to_string(), "not `evt_` and a UUID");
    }

    #[test]
    fn serde_writes_and_reads_the_text_form() {
        let id: EventId = format!("evt_{SAMPLE}").parse().unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"evt_{SAMPLE}\""));
        assert_eq!(serde_json::from_str::<EventId>(&json).unwrap(), id);
        let error = serde_json::from_str::<MailboxId>("\"nope\"").unwrap_err();
        assert!(error.to_string().contains("expected a UUID"), "{error}");
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverses(bytes: [u8; 16]) {
            let uuid = Uuid::from_bytes(bytes);
            prop_assert_eq!(EventId::from(uuid).to_string().parse(), Ok(EventId::from(uuid)));
            prop_assert_eq!(MailboxId::from(uuid).to_string().parse(), Ok(MailboxId::from(uuid)));
            let organization = OrganizationId::from(uuid);
            prop_assert_eq!(organization.to_string().parse(), Ok(organization));
        }
    }
}

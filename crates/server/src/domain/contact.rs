//! The address book: who an organisation knows, by which addresses and numbers, and what it remembers of them.
//!
//! An address or number is one contact's at most, so that whoever writes or calls is one person to everybody. What a
//! contact is called in payloads is what somebody said that it is called: never an address or a number.

use inkhook_wire::id::{ContactFactId, ContactId, IdentityId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identity::Settings;
use super::mail_address;
use super::time::TimeMs;

/// Contacts of an organisation at most: as many as its list can be paged through.
pub const MAX_CONTACTS: i64 = 10_000;
/// Addresses of a contact at most; and so many numbers.
pub const MAX_POINTS: usize = 20;
/// Facts of a contact at most, as the official clients say.
pub const MAX_FACTS: i64 = 25;
/// Characters of a fact at most.
pub const FACT_CHARS: usize = 1_000;
/// What the memories of one contact may take up in a payload: the newest that fit.
pub const MEMORIES_BYTES: usize = 16 * 1024;
/// What the memories of all contacts of one event may take up; whoever comes after that has none.
pub const EVENT_MEMORIES_BYTES: usize = 64 * 1024;
/// What the rows about contacts may take up in a payload, without memories; and so much those about agents. With the
/// 512 KiB of data that are taken at most, an event stays below the mebibyte at which many receivers stop.
pub const EVENT_ROWS_BYTES: usize = 128 * 1024;
/// What was said of a contact may take up so much, as it is stored.
pub const CARD_BYTES: usize = 32 * 1024;
/// Characters of the name that a contact has in payloads and lists.
const NAME_CHARS: usize = 255;

/// An address or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// A mail address.
    Email,
    /// A phone number.
    Phone,
}

impl PointKind {
    /// The integer that stands for it in the store.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Email => 1,
            Self::Phone => 2,
        }
    }

    /// The list on a card that holds such.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Email => "emails",
            Self::Phone => "phones",
        }
    }
}

/// An address or number as it stands on a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// What kind of address it is to whoever wrote the card.
    pub label: Option<String>,
    /// An address as it was written, or a number in E.164.
    pub value: String,
    /// Whether it is the one to use.
    pub is_primary: bool,
}

/// What was said of a contact.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Names, notes, and what else has no function here.
    pub fields: Settings,
    /// Its addresses.
    pub emails: Vec<Point>,
    /// Its numbers.
    pub phones: Vec<Point>,
}

/// What a search looks into.
const SEARCHED: [&str; 6] =
    ["preferred_name", "given_name", "family_name", "company_name", "job_title", "notes"];

impl Card {
    /// What people call it: its preferred name, or the others that it has.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        if let Some(preferred) = self.text("preferred_name") {
            return Some(preferred.to_owned());
        }
        let parts = ["given_name", "middle_name", "family_name"].map(|field| self.text(field));
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Some(name.chars().take(NAME_CHARS).collect::<String>()).filter(|name| !name.is_empty())
    }

    /// By what it is sorted.
    #[must_use]
    pub fn sort_key(&self) -> String {
        // A lower-case form can be longer, and what is indexed has its bound.
        self.name().unwrap_or_default().to_lowercase().chars().take(NAME_CHARS).collect()
    }

    /// What a search looks into.
    #[must_use]
    pub fn searched(&self) -> String {
        let texts = SEARCHED.iter().filter_map(|field| self.text(field));
        texts.collect::<Vec<_>>().join("\n").to_lowercase()
    }

    /// Its addresses and numbers in the form in which they are compared, in their order.
    pub fn points(&self) -> impl Iterator<Item = (PointKind, String)> {
        let emails = self.emails.iter().map(|it| (PointKind::Email, mail_address::normalize(&it.value)));
        emails.chain(self.phones.iter().map(|it| (PointKind::Phone, it.value.clone())))
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }
}

/// Somebody in the address book.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// The agent that made it; `None`: an admin did.
    pub created_by: Option<IdentityId>,
    /// What was said of it.
    pub card: Card,
    /// How many facts are remembered of it.
    pub facts: u32,
    /// The fact that changed last.
    pub latest: Option<LatestFact>,
    /// When it was made.
    pub created_at: TimeMs,
    /// When it was changed last.
    pub updated_at: TimeMs,
}

/// The newest fact, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestFact {
    /// Its id.
    pub id: ContactFactId,
    /// What it says.
    pub content: String,
    /// When it was changed last.
    pub updated_at: TimeMs,
}

macro_rules! fact_kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal, $word:literal;)*) => {
        /// What a fact is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum FactKind {
            $($(#[$doc])* #[serde(rename = $word)] $kind,)*
        }

        impl FactKind {
            /// The integer that stands for it in the store.
            #[must_use]
            pub fn code(self) -> i64 {
                match self { $(Self::$kind => $code,)* }
            }

            /// Reads [`FactKind::code`] back.
            #[must_use]
            pub fn from_code(code: i64) -> Option<Self> {
                match code { $($code => Some(Self::$kind),)* _ => None }
            }
        }
    };
}

fact_kinds! {
    /// Who the contact is.
    Profile = 1, "profile";
    /// How it wants things.
    Preference = 2, "preference";
    /// What is going on with it.
    Context = 3, "context";
}

/// Something that is remembered of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its id.
    pub id: ContactFactId,
    /// What it is about.
    pub kind: FactKind,
    /// What it says.
    pub content: String,
    /// When it was written.
    pub created_at: TimeMs,
    /// When it was changed last.
    pub updated_at: TimeMs,
}

/// The newest of these facts that fit into a payload, given newest first.
#[must_use]
pub fn memories<'a>(facts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut left = MEMORIES_BYTES;
    let fits = |fact: &&str| {
        let rest = left.checked_sub(fact.len());
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    facts.take_while(fits).collect()
}

/// A contact that a mail address or phone number belongs to, as a payload has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownContact {
    /// The address or number, in the form in which it is compared.
    pub point: String,
    /// The contact.
    pub id: ContactId,
    /// What people call it.
    pub name: Option<String>,
    /// What is remembered of it, newest first.
    pub memories: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn card(fields: Value) -> Card {
        let Value::Object(fields) = fields else { panic!("an object") };
        Card { fields, ..Card::default() }
    }

    #[test]
    fn a_contact_is_called_what_somebody_said_and_nothing_else() {
        let called = |fields| card(fields).name();
        assert_eq!(called(json!({"preferred_name": " Ana ", "given_name": "Anastasia"})), Some("Ana".into()));
        assert_eq!(called(json!({"given_name": "Ana", "family_name": "Lee"})), Some("Ana Lee".into()));
        assert_eq!(called(json!({"preferred_name": " ", "company_name": "Acme"})), None);
        let point = Point { label: None, value: "Ana@Client.test".into(), is_primary: true };
        let nameless = Card { emails: vec![point], ..Card::default() };
        assert_eq!((nameless.name(), nameless.sort_key()), (None, String::new()));
        assert_eq!(nameless.points().collect::<Vec<_>>(), [(PointKind::Email, "ana@client.test".into())]);
    }

    #[test]
    fn the_newest_memories_are_kept_as_far_as_they_fit() {
        let whole = "x".repeat(MEMORIES_BYTES);
        assert_eq!(memories([&*whole].into_iter()).len(), 1);
        assert_eq!(memories([&*whole, "", "y"].into_iter()), [&*whole, ""]);
        assert_eq!(memories([&*format!("{whole}y"), "z"].into_iter()), [""; 0], "none is passed over");
        let most = "é".repeat(FACT_CHARS);
        let facts = std::iter::repeat_n(&*most, 25);
        assert_eq!(memories(facts).len(), MEMORIES_BYTES / most.len());
    }

    #[test]
    fn kinds_read_back() {
        for kind in [FactKind::Profile, FactKind::Preference, FactKind::Context] {
            assert_eq!(FactKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(FactKind::from_code(4), None);
    }
}

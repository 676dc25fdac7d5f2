//! The list of event types that a subscription selects.

use std::fmt;

use inkhook_wire::event::{EventType, OwnerKind};

/// Names of a refused list that are told; the others wait for the next try.
const NAMES_TOLD: usize = 10;
/// Characters of a refused name that are told.
const NAME_CHARS: usize = 200;

/// A list of event types: not empty, none twice, `phone.incoming_call` not among them, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypes(Vec<EventType>);

/// Why a list of event types is refused. The text quotes the names, cut and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventTypesRefusal {
    /// Nothing in it.
    #[error("must name at least one event type")]
    Empty,
    /// More entries than there are types.
    #[error("has more entries than there are event types ({})", EventType::SUBSCRIBABLE.len())]
    TooMany,
    /// Names that the catalogue does not have.
    #[error("{0} not in the catalogue of event types; GET /api/v1/webhooks/catalog lists them")]
    Unknown(Names),
    /// `phone.incoming_call`.
    #[error(
        "'phone.incoming_call' cannot be subscribed to; set the phone number's incoming_call_webhook_url instead"
    )]
    IncomingCall,
    /// The same name again.
    #[error("{0} named more than once")]
    Repeated(Names),
    /// Types of another channel than the owner's.
    #[error("{names} not available to a subscription of {}", owner_field(*.owner))]
    WrongOwner {
        /// Which types.
        names: Names,
        /// What the subscription is attached to.
        owner: OwnerKind,
    },
}

/// Names to quote in a sentence, with the verb that fits their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    fn some<'a>(names: impl Iterator<Item = &'a str>) -> Option<Self> {
        let names: Vec<String> = names.take(NAMES_TOLD).map(quoted).collect();
        if names.is_empty() { None } else { Some(Self(names)) }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.0.len() == 1 { "is" } else { "are" };
        write!(f, "{} {verb}", self.0.join(", "))
    }
}

fn quoted(name: &str) -> String {
    let mut text: String = name.chars().take(NAME_CHARS).flat_map(char::escape_debug).collect();
    if name.chars().nth(NAME_CHARS).is_some() {
        text.push('…');
    }
    format!("'{text}'")
}

fn owner_field(owner: OwnerKind) -> &'static str {
    match owner {
        OwnerKind::Mailbox => "a mailbox_id, which takes message.* only",
        OwnerKind::PhoneNumber => "a phone_number_id, which takes text.* only",
        OwnerKind::Identity => "an agent_identity_id",
    }
}

impl EventTypes {
    /// Reads a list of names.
    ///
    /// # Errors
    /// The list is empty, or a name is unknown, not subscribable, or there twice.
    pub fn parse(names: &[String]) -> Result<Self, EventTypesRefusal> {
        if names.is_empty() {
            return Err(EventTypesRefusal::Empty);
        }
        if names.len() > EventType::SUBSCRIBABLE.len() {
            return Err(EventTypesRefusal::TooMany);
        }
        let unknown = names.iter().map(String::as_str).filter(|name| EventType::parse(name).is_none());
        if let Some(unknown) = Names::some(unknown) {
            return Err(EventTypesRefusal::Unknown(unknown));
        }
        let types: Vec<EventType> = names.iter().filter_map(|name| EventType::parse(name)).collect();
        if types.contains(&EventType::PhoneIncomingCall) {
            return Err(EventTypesRefusal::IncomingCall);
        }
        let repeated = types.iter().enumerate().filter(|(at, ty)| types[..*at].contains(ty));
        if let Some(repeated) = Names::some(repeated.map(|(_, ty)| ty.as_str())) {
            return Err(EventTypesRefusal::Repeated(repeated));
        }
        Ok(Self(types))
    }

    /// Takes over a list that was checked when it was stored.
    #[must_use]
    pub fn from_stored(types: Vec<EventType>) -> Self {
        Self(types)
    }

    /// Whether a subscription of such an owner may select all of these.
    ///
    /// # Errors
    /// Some of them belong to another channel.
    pub fn check_owner(&self, owner: OwnerKind) -> Result<(), EventTypesRefusal> {
        let wrong = self.iter().filter(|ty| !ty.subscribable_on(owner)).map(EventType::as_str);
        Names::some(wrong).map_or(Ok(()), |names| Err(EventTypesRefusal::WrongOwner { names, owner }))
    }

    /// The types in the order given.
    pub fn iter(&self) -> impl Iterator<Item = EventType> {
        self.0.iter().copied()
    }

    /// The types in the order given.
    #[must_use]
    pub fn as_slice(&self) -> &[EventType] {
        &self.0
    }

    /// Whether it selects this type.
    #[must_use]
    pub fn contains(&self, event_type: EventType) -> bool {
        self.0.contains(&event_type)
    }

    /// Whether both select some type.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.iter().any(|event_type| other.contains(event_type))
    }

    /// Those that `other` lacks.
    pub fn without(&self, other: &Self) -> impl Iterator<Item = EventType> {
        self.iter().filter(move |event_type| !other.contains(*event_type))
    }

    /// Whether all of them belong to one channel.
    #[must_use]
    pub fn is_single_family(&self) -> bool {
        let mut channels = self.iter().map(EventType::channel);
        let first = channels.next();
        channels.all(|channel| Some(channel) == first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(names: &[&str]) -> Result<EventTypes, EventTypesRefusal> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        EventTypes::parse(&names)
    }

    #[test]
    fn the_order_is_kept() {
        let types = parse(&["message.sent", "message.bounced", "message.received"]).unwrap();
        let names: Vec<&str> = types.iter().map(EventType::as_str).collect();
        assert_eq!(names, ["message.sent", "message.bounced", "message.received"]);
    }

    #[test]
    fn refusals_quote_the_names() {
        let text = |names: &[&str]| parse(names).unwrap_err().to_string();
        assert_eq!(parse(&[]), Err(EventTypesRefusal::Empty));
        assert!(text(&["message.recieved"]).starts_with("'message.recieved' is not in the catalogue"));
        assert!(text(&["a.b", "message.sent", "c.d"]).starts_with("'a.b', 'c.d' are not in the catalogue"));
        assert!(text(&["Message.sent"]).contains("'Message.sent'"), "names match exactly");
        assert!(text(&["phone.incoming_call"]).contains("incoming_call_webhook_url"));
        assert_eq!(text(&["text.sent", "text.sent"]), "'text.sent' is named more than once");
        assert!(text(&["a\nb"]).contains(r"'a\nb'"));
        assert!(text(&[&"x".repeat(NAME_CHARS + 1)]).contains(&format!("'{}…'", "x".repeat(NAME_CHARS))));
    }

    #[test]
    fn a_list_is_never_longer_than_the_catalogue() {
        let all: Vec<&str> = EventType::SUBSCRIBABLE.iter().map(|ty| ty.as_str()).collect();
        let types = parse(&all).unwrap();
        types.check_owner(OwnerKind::Identity).unwrap();
        assert!(!types.is_single_family());
        let longer: Vec<&str> = all.iter().copied().chain(["message.sent"]).collect();
        assert_eq!(parse(&longer), Err(EventTypesRefusal::TooMany));
        let strange = vec!["x"; NAMES_TOLD + 1];
        let told = parse(&strange).unwrap_err().to_string();
        assert_eq!(told.matches("'x'").count(), NAMES_TOLD);
    }

    #[test]
    fn each_owner_has_its_channels() {
        let fits = |name: &str, owner| parse(&[name]).unwrap().check_owner(owner).is_ok();
        use OwnerKind::{Identity, Mailbox, PhoneNumber};
        let cases = [
            ("message.received", [true, false, true]),
            ("text.received", [false, true, true]),
            ("call.ended", [false, false, true]),
            ("imessage.received", [false, false, true]),
            ("a2a.task.created", [false, false, true]),
            ("slack.dm_received", [false, false, true]),
            ("whatsapp.received", [false, false, true]),
        ];
        for (name, expected) in cases {
            let found = [Mailbox, PhoneNumber, Identity].map(|owner| fits(name, owner));
            assert_eq!(found, expected, "{name}");
        }
        let refusal = parse(&["message.sent", "a2a.task.created"]).unwrap().check_owner(Mailbox);
        let text = refusal.unwrap_err().to_string();
        assert!(text.contains("'a2a.task.created'") && text.contains("mailbox_id"), "{text}");
        assert!(!text.contains("message.sent"), "{text}");
    }

    #[test]
    fn sets_compare_whatever_their_order() {
        let a = parse(&["message.sent", "message.received"]).unwrap();
        let b = parse(&["message.received", "text.sent"]).unwrap();
        let c = parse(&["text.received"]).unwrap();
        assert!(a.overlaps(&b) && b.overlaps(&a) && !a.overlaps(&c));
        assert_eq!(b.without(&a).collect::<Vec<_>>(), [EventType::TextSent]);
        assert!(a.is_single_family() && !b.is_single_family());
    }
}

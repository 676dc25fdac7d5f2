//! The vocabulary in which the shapes of data are written down: plain constants, no code.

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Nothing but null.
    Null,
    Bool,
    /// Any string.
    Text,
    /// A UUID with hyphens.
    Uuid,
    /// An ISO 8601 date and time with an offset.
    Time,
    /// A whole number, zero or more.
    Count,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// One word of a closed list.
    OneOf(&'static [&'static str]),
    /// An object whose members are not looked at.
    Map,
    Object(&'static [Field]),
    /// An object of one of two shapes.
    Either(&'static Either),
    List(&'static Kind),
}

/// Two shapes that one key tells apart.
#[derive(Debug)]
pub(super) struct Either {
    pub(super) key: &'static str,
    /// The shape of an object that has the key.
    pub(super) with: &'static [Field],
    /// The shape of one that does not.
    pub(super) without: &'static [Field],
}

/// What happens when a key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// An error.
    Refuse,
    /// It stays out.
    Leave,
    /// It is appended.
    Fill(Fill),
}

/// A value that the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Null,
    False,
    EmptyList,
    UserInitiated,
    FreshId,
    Now,
    Contacts,
    AgentIdentities,
    /// The same for the same identity and numbers.
    Conversation,
    /// The number, if the call came over it.
    CallNumber,
    BodyState,
    BodyTruncated,
    BodyTotalChars,
    BodyIncludedChars,
    /// The four that name the owner: when given they must be right.
    IdentityId,
    MailboxId,
    EmailAddress,
    LocalNumber,
}

/// One key of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether the value may be null.
    pub(super) nullable: bool,
    pub(super) absent: Absent,
}

impl Field {
    /// May also be null.
    pub(super) const fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }
}

/// Must be there, and not null.
pub(super) const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, nullable: false, absent: Absent::Refuse }
}

/// May be null, and is appended as null.
pub(super) const fn nullable(name: &'static str, kind: Kind) -> Field {
    filled(name, kind, Fill::Null).or_null()
}

/// May be left out, but not null.
pub(super) const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { absent: Absent::Leave, ..required(name, kind) }
}

/// Is appended with what the server knows.
pub(super) const fn filled(name: &'static str, kind: Kind, fill: Fill) -> Field {
    Field { absent: Absent::Fill(fill), ..required(name, kind) }
}

//! The shape of a transcript's entries.

use crate::payload::transcript::Marker;
use crate::validate::shape::Kind::{Bool, Count, OneOf, Text};
use crate::validate::shape::{Either, Field, Kind, optional, required};

pub(super) const TRANSCRIPT_ENTRY: Kind =
    Kind::Either(&Either { key: "marker", with: ABRIDGEMENT, without: TURN });

pub(in crate::validate) const ABRIDGEMENT: &[Field] = &[
    required("marker", OneOf(Marker::WORDS)),
    required("omitted_turns", Count),
    required("omitted_ms", Count),
];

pub(in crate::validate) const TURN: &[Field] = &[
    required("party", Text),
    required("text", Text),
    required("ts_ms", Count),
    optional("phone_number", Text).or_null(),
    optional("truncated", Bool),
];

//! A flat index of a JSON text: one node for each value, in text order, in one allocation.
//!
//! Made in one pass, which also refuses what no published data may be: a key twice in one object,
//! nesting beyond [`MAX_DEPTH`], a lone surrogate (such a string cannot be read back by most
//! receivers). Keys are compared as they read, not as they are spelled: `"a"` and `"\u0061"` are
//! the same key.

use std::borrow::Cow;

use super::error::{DataError, DataErrorKind, Fault};

mod build;

/// Longest text of one event's data. Source: an event is at most 512 KiB.
pub const MAX_DATA_BYTES: usize = 512 * 1024;

/// Deepest nesting of objects and lists; `{}` has depth 1. No shape of the contract comes near.
pub const MAX_DEPTH: usize = 64;

/// Numbers a node. The root is 0.
pub(super) type NodeId = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    String,
    List,
    Object,
}

/// A span of the text and whether it holds a backslash.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
    escaped: bool,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// The value's text, quotes and brackets included.
    span: Span,
    /// The key's text without quotes; empty outside objects.
    key: Span,
    /// First child; the node's own number when there is none.
    first: NodeId,
    /// Next sibling; the root (0, nobody's sibling) when there is none.
    next: NodeId,
}

#[derive(Debug)]
pub(super) struct Index<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

impl<'a> Index<'a> {
    pub(super) const ROOT: NodeId = 0;

    pub(super) fn build(text: &'a str) -> Result<Self, DataError> {
        if text.len() > MAX_DATA_BYTES {
            let text = format!("is longer than {MAX_DATA_BYTES} bytes");
            return Err(Fault::new(DataErrorKind::TooLarge, text).into());
        }
        Ok(build::run(text)?)
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn kind(&self, id: NodeId) -> Kind {
        self.node(id).kind
    }

    /// The value as it stands in the text.
    pub(super) fn raw(&self, id: NodeId) -> &'a str {
        let span = self.node(id).span;
        &self.text[span.start as usize..span.end as usize]
    }

    /// Where the value ends in the text.
    pub(super) fn end(&self, id: NodeId) -> usize {
        self.node(id).span.end as usize
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn is_null(&self, id: NodeId) -> bool {
        self.kind(id) == Kind::Null
    }

    pub(super) fn is_escaped(&self, id: NodeId) -> bool {
        self.node(id).span.escaped
    }

    /// What a string says; `None` for any other value.
    pub(super) fn string(&self, id: NodeId) -> Option<Cow<'a, str>> {
        let node = self.node(id);
        let inner = Span { start: node.span.start + 1, end: node.span.end.saturating_sub(1), ..node.span };
        (node.kind == Kind::String).then(|| self.decoded(inner))
    }

    /// The key of an object's member.
    pub(super) fn key(&self, id: NodeId) -> Cow<'a, str> {
        self.decoded(self.node(id).key)
    }

    fn decoded(&self, span: Span) -> Cow<'a, str> {
        let raw = &self.text[span.start as usize..span.end as usize];
        if span.escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }
    }

    /// An object's members or a list's items, in text order; nothing for any other value.
    pub(super) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let first = self.node(id).first;
        std::iter::successors((first != id).then_some(first), |child| {
            let next = self.node(*child).next;
            (next != Self::ROOT).then_some(next)
        })
    }

    /// The member of an object that has this key.
    pub(super) fn member(&self, object: NodeId, key: &str) -> Option<NodeId> {
        if self.kind(object) != Kind::Object {
            return None;
        }
        self.children(object).find(|child| self.has_key(*child, key))
    }

    /// [`Index::member`], followed along a path.
    pub(super) fn path(&self, from: NodeId, keys: &[&str]) -> Option<NodeId> {
        keys.iter().try_fold(from, |object, key| self.member(object, key))
    }

    fn has_key(&self, id: NodeId, key: &str) -> bool {
        let span = self.node(id).key;
        if span.escaped {
            self.decoded(span) == key
        } else {
            &self.text[span.start as usize..span.end as usize] == key
        }
    }
}

/// The code unit of a `\uXXXX` that `bytes` starts with.
fn unicode_escape(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// What a string with escapes says. Its escapes have been checked.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(unit) = unicode_escape(rest.as_bytes()) {
            rest = &rest[6..];
            let low = unicode_escape(rest.as_bytes());
            let pair = [unit, low.unwrap_or_default()];
            let wide = (0xD800..0xDC00).contains(&unit);
            let units = if wide { &pair[..] } else { &pair[..1] };
            out.extend(char::decode_utf16(units.iter().copied()).map(|c| c.unwrap_or('\u{FFFD}')));
            rest = if wide { &rest[6..] } else { rest };
        } else {
            let escape = rest[1..].chars().next().unwrap_or('\\');
            out.push(match escape {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            });
            rest = &rest[1 + escape.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The index is made of text that is JSON already; it does not lean on that.
        #[test]
        fn any_text_gets_an_answer(text in r#"([\[\]{}:,"\\\\ 0-9truefalsnd8cé-]|\\\\u[0-9d]{1,4}|"a":){0,40}"#) {
            if let Ok(index) = Index::build(&text) {
                super::super::canonical::write(&index);
            }
        }

        #[test]
        fn escapes_read_as_serde_json_reads_them(said: String, tail in "[ -~]{0,3}") {
            let units = said.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            let text = format!("\"{}{}\"", units.collect::<String>(), tail.replace(['"', '\\'], "/"));
            let index = Index::build(&text).unwrap();
            let read = index.string(Index::ROOT).unwrap();
            prop_assert_eq!(&*read, serde_json::from_str::<String>(&text).unwrap());
        }
    }
}

//! A flat index of a JSON text: one node for each value, in text order, in one allocation.
//!
//! Made in one pass, which also refuses what no published data may be: a key twice in one object,
//! nesting beyond [`MAX_DEPTH`], a lone surrogate (such a string cannot be read back by most
//! receivers). Keys are compared as they read, not as they are spelled: `"a"` and `"\u0061"` are
//! the same key.

use std::borrow::Cow;
use std::collections::HashSet;

use super::error::{Checked, DataError, DataErrorKind, Fault};

/// Longest text of one event's data. Source: an event is at most 512 KiB.
pub const MAX_DATA_BYTES: usize = 512 * 1024;

/// Deepest nesting of objects and lists; `{}` has depth 1. No shape of the contract comes near.
pub const MAX_DEPTH: usize = 64;

/// From this many keys on, an object's keys are compared by hash instead of one by one.
const HASH_KEYS_FROM: usize = 16;

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
        let mut builder = Builder {
            index: Self {
                text,
                nodes: Vec::with_capacity(64),
            },
            pos: 0,
        };
        builder.white_space();
        builder.value(0, Span::default())?;
        builder.white_space();
        if builder.pos != text.len() {
            return Err(builder.syntax().into());
        }
        Ok(builder.index)
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
        let inner = Span {
            start: node.span.start + 1,
            end: node.span.end.saturating_sub(1),
            ..node.span
        };
        (node.kind == Kind::String).then(|| self.decoded(inner))
    }

    /// The key of an object's member.
    pub(super) fn key(&self, id: NodeId) -> Cow<'a, str> {
        self.decoded(self.node(id).key)
    }

    fn decoded(&self, span: Span) -> Cow<'a, str> {
        let raw = &self.text[span.start as usize..span.end as usize];
        if span.escaped {
            Cow::Owned(unescape(raw))
        } else {
            Cow::Borrowed(raw)
        }
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
        self.children(object)
            .find(|child| self.has_key(*child, key))
    }

    /// [`Index::member`], followed along a path.
    pub(super) fn path(&self, from: NodeId, keys: &[&str]) -> Option<NodeId> {
        keys.iter()
            .try_fold(from, |object, key| self.member(object, key))
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

struct Builder<'a> {
    index: Index<'a>,
    pos: usize,
}

impl<'a> Builder<'a> {
    fn peek(&self) -> Option<u8> {
        self.index.text.as_bytes().get(self.pos).copied()
    }

    fn syntax(&self) -> Fault {
        let text = format!("is not JSON at byte {}", self.pos);
        Fault::new(DataErrorKind::Syntax, text)
    }

    fn white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.pos += 1;
        }
    }

    /// Takes `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    /// `depth` counts the objects and lists around the value.
    fn value(&mut self, depth: usize, key: Span) -> Checked<NodeId> {
        let id = narrow(self.index.nodes.len());
        let start = narrow(self.pos);
        self.index.nodes.push(Node {
            kind: Kind::Null,
            span: Span::default(),
            key,
            first: id,
            next: Index::ROOT,
        });
        let mut escaped = false;
        let kind = match self.peek() {
            Some(b'{') => self.object(id, depth + 1)?,
            Some(b'[') => self.list(id, depth + 1)?,
            Some(b'"') => {
                escaped = self.string()?.escaped;
                Kind::String
            }
            Some(b't') => self.word("true", Kind::Bool)?,
            Some(b'f') => self.word("false", Kind::Bool)?,
            Some(b'n') => self.word("null", Kind::Null)?,
            Some(b'-' | b'0'..=b'9') => {
                while matches!(
                    self.peek(),
                    Some(b'+' | b'-' | b'.' | b'e' | b'E' | b'0'..=b'9')
                ) {
                    self.pos += 1;
                }
                Kind::Number
            }
            _ => return Err(self.syntax()),
        };
        let end = narrow(self.pos);
        let node = &mut self.index.nodes[id as usize];
        node.kind = kind;
        node.span = Span {
            start,
            end,
            escaped,
        };
        Ok(id)
    }

    fn word(&mut self, word: &str, kind: Kind) -> Checked<Kind> {
        if !self.index.text[self.pos..].starts_with(word) {
            return Err(self.syntax());
        }
        self.pos += word.len();
        Ok(kind)
    }

    /// Links `child` behind `last`, or as the first of `parent`.
    fn link(&mut self, parent: NodeId, last: Option<NodeId>, child: NodeId) {
        match last {
            Some(last) => self.index.nodes[last as usize].next = child,
            None => self.index.nodes[parent as usize].first = child,
        }
    }

    fn deeper(depth: usize) -> Checked<()> {
        if depth > MAX_DEPTH {
            let text = format!("is nested deeper than {MAX_DEPTH} levels");
            return Err(Fault::new(DataErrorKind::TooDeep, text));
        }
        Ok(())
    }

    fn list(&mut self, id: NodeId, depth: usize) -> Checked<Kind> {
        Self::deeper(depth)?;
        self.pos += 1;
        self.white_space();
        if self.take(b']') {
            return Ok(Kind::List);
        }
        let mut last = None;
        for position in 0_usize.. {
            self.white_space();
            let item = self.value(depth, Span::default());
            let item = item.map_err(|fault| fault.at(position.to_string()))?;
            self.link(id, last, item);
            last = Some(item);
            self.white_space();
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.syntax());
            }
        }
        Ok(Kind::List)
    }

    fn object(&mut self, id: NodeId, depth: usize) -> Checked<Kind> {
        Self::deeper(depth)?;
        self.pos += 1;
        self.white_space();
        if self.take(b'}') {
            return Ok(Kind::Object);
        }
        let mut last = None;
        let mut keys = Keys::default();
        loop {
            self.white_space();
            if self.peek() != Some(b'"') {
                return Err(self.syntax());
            }
            let key = self.string()?;
            self.fresh_key(id, key, &mut keys)?;
            self.white_space();
            if !self.take(b':') {
                return Err(self.syntax());
            }
            self.white_space();
            let member = self.value(depth, key);
            let member = member.map_err(|fault| fault.at(self.index.decoded(key)))?;
            self.link(id, last, member);
            last = Some(member);
            self.white_space();
            if self.take(b'}') {
                return Ok(Kind::Object);
            }
            if !self.take(b',') {
                return Err(self.syntax());
            }
        }
    }

    fn fresh_key(&self, object: NodeId, key: Span, keys: &mut Keys<'a>) -> Checked<()> {
        let text = self.index.decoded(key);
        // Until the first member is linked, the object has no children.
        let mut earlier = self.index.children(object);
        keys.count += 1;
        let twice = if keys.count <= HASH_KEYS_FROM {
            earlier.any(|member| self.index.has_key(member, &text))
        } else {
            if keys.seen.is_empty() {
                keys.seen.extend(earlier.map(|m| self.index.key(m)));
            }
            !keys.seen.insert(text.clone())
        };
        if twice {
            let fault = Fault::new(DataErrorKind::DuplicateKey, "comes twice in one object");
            return Err(fault.at(text));
        }
        Ok(())
    }

    /// Passes a string and gives the span between its quotes.
    fn string(&mut self) -> Checked<Span> {
        let bytes = self.index.text.as_bytes();
        self.pos += 1;
        let start = self.pos;
        let mut escaped = false;
        loop {
            let rest = &bytes[self.pos..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\'));
            self.pos += plain.ok_or_else(|| self.syntax())?;
            if bytes[self.pos] == b'"' {
                break;
            }
            escaped = true;
            self.escape()?;
        }
        let span = Span {
            start: narrow(start),
            end: narrow(self.pos),
            escaped,
        };
        self.pos += 1;
        Ok(span)
    }

    /// Passes one escape; a surrogate must have its other half.
    fn escape(&mut self) -> Checked<()> {
        let lone = || {
            let text = "holds half of a surrogate pair, which is no character";
            Fault::new(DataErrorKind::Syntax, text)
        };
        let rest = &self.index.text.as_bytes()[self.pos..];
        let Some(unit) = unicode_escape(rest) else {
            self.pos += 2;
            return if self.pos <= self.index.text.len() {
                Ok(())
            } else {
                Err(self.syntax())
            };
        };
        self.pos += 6;
        match unit {
            0xD800..=0xDBFF => match unicode_escape(&rest[6..]) {
                Some(0xDC00..=0xDFFF) => {
                    self.pos += 6;
                    Ok(())
                }
                _ => Err(lone()),
            },
            0xDC00..=0xDFFF => Err(lone()),
            _ => Ok(()),
        }
    }
}

/// The keys of one object so far.
#[derive(Default)]
struct Keys<'a> {
    count: usize,
    seen: HashSet<Cow<'a, str>>,
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

/// Positions and node numbers fit: the text is at most [`MAX_DATA_BYTES`] long.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).expect("bounded by MAX_DATA_BYTES")
}

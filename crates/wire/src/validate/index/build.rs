//! The one pass that makes the index.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Index, Kind, MAX_DEPTH, Node, NodeId, Span, unicode_escape};
use crate::validate::error::{Checked, DataErrorKind, Fault};

/// From this many keys on, an object's keys are compared by hash instead of one by one.
const HASH_KEYS_FROM: usize = 16;

/// A mail has about this many values; the list grows when there are more.
const EXPECTED_NODES: usize = 64;

pub(super) fn run(text: &str) -> Checked<Index<'_>> {
    let mut builder = Builder { index: Index { text, nodes: Vec::with_capacity(EXPECTED_NODES) }, pos: 0 };
    builder.white_space();
    builder.value(0, Span::default())?;
    builder.white_space();
    if builder.pos != text.len() {
        return Err(builder.syntax());
    }
    Ok(builder.index)
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
                while matches!(self.peek(), Some(b'+' | b'-' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    self.pos += 1;
                }
                Kind::Number
            }
            _ => return Err(self.syntax()),
        };
        let end = narrow(self.pos);
        let node = &mut self.index.nodes[id as usize];
        node.kind = kind;
        node.span = Span { start, end, escaped };
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
        let span = Span { start: narrow(start), end: narrow(self.pos), escaped };
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
            return if self.pos <= self.index.text.len() { Ok(()) } else { Err(self.syntax()) };
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

/// Positions and node numbers fit: the text is at most [`MAX_DATA_BYTES`] long.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).expect("bounded by MAX_DATA_BYTES")
}

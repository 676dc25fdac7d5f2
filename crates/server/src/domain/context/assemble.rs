//! From what was found to a context that keeps its bounds: oldest first, and where it is too long without the oldest.

use std::io;

use inkhook_wire::payload::context::{Context, ContextBlock, ContextMode, ContextScope, ContextSkipped};
use serde::Serialize;

use super::{Class, ContextItem, MAX_CONTEXT_BYTES, MAX_ITEM_BYTES};
use crate::domain::number::Seq;
use crate::domain::subscription::ClassContext;

/// What was found of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Of which.
    pub class: Class,
    /// Over what it was looked up.
    pub scope: ContextScope,
    /// What was asked for.
    pub setting: ClassContext,
    /// In any order, each of the class.
    pub items: Vec<Item>,
    /// Older ones were left out already.
    pub is_cut: bool,
    /// Why nothing was looked up, if so.
    pub skipped: Option<ContextSkipped>,
}

/// Something said, and when it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Acceptance number of its event.
    pub seq: Seq,
    /// What is shown.
    pub item: ContextItem,
    bytes: usize,
}

impl Item {
    /// Measures it, once.
    #[must_use]
    pub fn new(seq: Seq, item: ContextItem) -> Self {
        let bytes = size_of(&item);
        Self { seq, item, bytes }
    }

    /// What it takes in a context.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The context of these blocks, of [`MAX_CONTEXT_BYTES`] at most: of all items together the oldest go first.
#[must_use]
pub fn assemble(mut blocks: Vec<Block>) -> Context {
    let mut sizes: Vec<(Seq, usize, usize)> = Vec::new();
    for (place, block) in blocks.iter_mut().enumerate() {
        block.items.sort_by_key(|one| one.seq);
        let before = block.items.len();
        block.items.retain(|one| one.bytes <= MAX_ITEM_BYTES);
        block.is_cut |= block.items.len() < before;
        sizes.extend(block.items.iter().map(|one| (one.seq, place, one.bytes)));
    }
    let without_items = |block: &Block| {
        let Block { class, scope, setting, is_cut, skipped, .. } = *block;
        Block { class, scope, setting, items: Vec::new(), is_cut, skipped }
    };
    let frame: Vec<Block> = blocks.iter().map(without_items).collect();
    // The comma before each counts, too; "true" is shorter than "false".
    let mut left = MAX_CONTEXT_BYTES.saturating_sub(size_of(&written(frame)));
    sizes.sort_by_key(|(seq, ..)| std::cmp::Reverse(*seq));
    let mut kept = vec![0; blocks.len()];
    for (_, place, size) in sizes {
        let Some(rest) = left.checked_sub(size + 1) else { break };
        left = rest;
        kept[place] += 1;
    }
    for (block, kept) in blocks.iter_mut().zip(kept) {
        let oldest = block.items.len() - kept;
        block.items.drain(..oldest);
        block.is_cut |= oldest > 0;
    }
    written(blocks)
}

fn written(blocks: Vec<Block>) -> Context {
    let mut context = Context::default();
    for block in blocks {
        match block.class {
            Class::Email => {
                context.email = Some(of_class(block, |item| match item {
                    ContextItem::Mail(mail) => Some(mail),
                    _ => None,
                }));
            }
            Class::Texts => {
                context.texts = Some(of_class(block, |item| match item {
                    ContextItem::Text(text) => Some(text),
                    _ => None,
                }));
            }
            Class::Calls => {
                context.calls = Some(of_class(block, |item| match item {
                    ContextItem::Call(call) => Some(call),
                    _ => None,
                }));
            }
        }
    }
    context
}

fn of_class<I>(block: Block, one: impl Fn(ContextItem) -> Option<I>) -> ContextBlock<I> {
    let (mode, requested, hours) = match block.setting {
        ClassContext::Count { count } => (ContextMode::Count, Some(u64::from(count)), None),
        ClassContext::Window { hours } => (ContextMode::Window, None, Some(u64::from(hours))),
    };
    ContextBlock {
        scope: block.scope,
        items: block.items.into_iter().filter_map(|it| one(it.item)).collect(),
        truncated: block.is_cut,
        mode: Some(mode),
        requested,
        hours,
        skipped: block.skipped,
    }
}

/// Untagged: as a context shows it.
impl Serialize for ContextItem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Mail(mail) => mail.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
            Self::Call(call) => call.serialize(serializer),
        }
    }
}

/// What something takes as JSON; what cannot be written is too long for anything.
fn size_of(value: &impl Serialize) -> usize {
    struct Counted(usize);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, value).map_or(usize::MAX, |()| counted.0)
}

#[cfg(test)]
mod tests;

//! One spelling for all texts that say the same, for the hash that recognises a repeat.

use super::index::{Index, Kind, NodeId};

pub(super) fn write(index: &Index<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(index.text().len());
    value(index, Index::ROOT, &mut out);
    out
}

fn value(index: &Index<'_>, id: NodeId, out: &mut Vec<u8>) {
    match index.kind(id) {
        Kind::Object => object(index, id, out),
        Kind::List => {
            out.push(b'[');
            for (i, item) in index.children(id).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                value(index, item, out);
            }
            out.push(b']');
        }
        Kind::String if index.is_escaped(id) => {
            string(&index.string(id).unwrap_or_default(), out);
        }
        // A string without a backslash has one spelling only.
        Kind::String | Kind::Number | Kind::Bool | Kind::Null => {
            out.extend_from_slice(index.raw(id).as_bytes());
        }
    }
}

fn object(index: &Index<'_>, id: NodeId, out: &mut Vec<u8>) {
    let mut members: Vec<_> = index.children(id).map(|m| (index.key(m), m)).collect();
    members.sort_unstable();
    out.push(b'{');
    for (i, (key, member)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        string(&key, out);
        out.push(b':');
        value(index, member, out);
    }
    out.push(b'}');
}

fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a string can be written to memory");
}

//! Whether every first byte was written while its lease lasted, as the nodes noted it by their own monotonic clocks.
//!
//! A process that is frozen between the question and the write cannot know. Each freeze may have made one such first
//! byte late, and only one whose question and write it lies between: that one is counted.

use std::path::Path;
use std::time::Duration;

/// When a first byte was asked for, when it was written at the latest, and when its lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    asked: Duration,
    written: Duration,
    lease_end: Duration,
}

/// What a node noted; the file is made before it starts.
pub(super) fn read(directory: &Path) -> Vec<Note> {
    let text = std::fs::read_to_string(directory.join("first_bytes")).expect("the node's notes");
    text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("a note: {line}"))).collect()
}

fn parse(line: &str) -> Option<Note> {
    let mut numbers = line.split(' ').map(|number| number.parse().ok().map(Duration::from_micros));
    let mut next = || numbers.next().flatten();
    let note = Note { asked: next()?, written: next()?, lease_end: next()? };
    numbers.next().is_none().then_some(note)
}

/// How many freezes of a node made a first byte late; or one that none of them did.
pub(super) fn excused(notes: &[Note], freezes: &[Duration]) -> Result<usize, Note> {
    let mut freezes = freezes.to_vec();
    freezes.sort();
    let all = freezes.len();
    let mut late: Vec<&Note> = notes.iter().filter(|note| note.written > note.lease_end).collect();
    late.sort_by_key(|note| note.written.saturating_sub(note.asked));
    for note in late {
        // The shortest window takes the shortest freeze that is left.
        let window = note.written.saturating_sub(note.asked);
        let held = freezes.first().is_some_and(|freeze| *freeze <= window);
        if !held || note.asked >= note.lease_end {
            return Err(*note);
        }
        freezes.remove(0);
    }
    Ok(all - freezes.len())
}

#[test]
fn only_a_freeze_between_question_and_write_excuses() {
    let note = |asked, written, lease_end| {
        let [asked, written, lease_end] = [asked, written, lease_end].map(Duration::from_millis);
        Note { asked, written, lease_end }
    };
    let freezes = |millis: &[u64]| millis.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
    assert_eq!(parse("1000 2000 3000"), Some(note(1, 2, 3)));
    assert_eq!((parse("1000 2000"), parse("1 2 3 4"), parse("1 2 x")), (None, None, None));
    let (good, late, held) = (note(10, 20, 20), note(10, 21, 20), note(10, 8_010, 6_000));
    assert_eq!(excused(&[good], &[]), Ok(0));
    assert_eq!(excused(&[good, late], &[]), Err(late));
    assert_eq!(excused(&[late], &freezes(&[8_000])), Err(late), "it was not frozen there");
    assert_eq!(excused(&[held, good], &freezes(&[8_000])), Ok(1));
    assert_eq!(excused(&[held, held], &freezes(&[8_000])), Err(held), "one for each freeze");
    assert_eq!(excused(&[held, held], &freezes(&[7_000, 8_000])), Ok(2));
    let late_question = note(7_000, 15_000, 6_000);
    assert_eq!(excused(&[late_question], &freezes(&[8_000])), Err(late_question), "it was late already");
}

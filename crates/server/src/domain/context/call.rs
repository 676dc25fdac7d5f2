//! What was said in a call, short enough to go with others: its beginning and its end.

use inkhook_wire::payload::transcript::{Abridgement, Marker, TranscriptEntry};

use super::cut;

/// What a call's transcript takes at most, as JSON, give or take the marker.
pub(super) const MAX_TRANSCRIPT_BYTES: usize = 16 * 1024;
/// What is shown of what one said without a pause.
pub(super) const MAX_TURN_BYTES: usize = 2 * 1024;
/// What an entry takes besides its text, at most: names, a number and the time.
const ENTRY_BYTES: usize = 128;

/// The transcript without its middle if it is too long, and whether that is so.
pub(super) fn abridged(mut entries: Vec<TranscriptEntry>) -> (Vec<TranscriptEntry>, bool) {
    entries.iter_mut().for_each(shorten);
    let sizes: Vec<usize> = entries.iter().map(size).collect();
    if sizes.iter().sum::<usize>() <= MAX_TRANSCRIPT_BYTES {
        return (entries, false);
    }
    let fit = |sizes: &mut dyn Iterator<Item = &usize>| {
        let mut left = MAX_TRANSCRIPT_BYTES / 2;
        sizes.take_while(|size| left.checked_sub(**size).inspect(|rest| left = *rest).is_some()).count()
    };
    let head = fit(&mut sizes.iter());
    let tail = fit(&mut sizes.iter().rev());
    let rest = entries.split_off(entries.len() - tail);
    let omitted = entries.split_off(head);
    entries.push(TranscriptEntry::Abridged(marker(&omitted, rest.first())));
    entries.extend(rest);
    (entries, true)
}

fn shorten(entry: &mut TranscriptEntry) {
    let TranscriptEntry::Turn(turn) = entry else { return };
    let (text, is_cut) = cut(&turn.text, MAX_TURN_BYTES);
    if is_cut {
        (turn.text, turn.truncated) = (text.to_owned(), Some(true));
    }
}

/// What an entry takes, and a little more.
fn size(entry: &TranscriptEntry) -> usize {
    let text = match entry {
        TranscriptEntry::Turn(turn) => {
            let number = turn.phone_number.get().map_or(0, String::len);
            escaped(&turn.text) + escaped(&turn.party) + number
        }
        TranscriptEntry::Abridged(_) => 0,
    };
    ENTRY_BYTES + text
}

/// What a text takes as JSON: a control character is six.
fn escaped(text: &str) -> usize {
    text.bytes().map(|byte| if byte < 0x20 { 6 } else { 1 + usize::from(matches!(byte, b'"' | b'\\')) }).sum()
}

/// In the place of these; what had been left out before counts, too.
fn marker(omitted: &[TranscriptEntry], next: Option<&TranscriptEntry>) -> Abridgement {
    let mut turns = 0;
    let mut times = Vec::new();
    for entry in omitted {
        match entry {
            TranscriptEntry::Turn(turn) => {
                turns += 1;
                times.push(turn.ts_ms);
            }
            TranscriptEntry::Abridged(earlier) => turns += earlier.omitted_turns,
        }
    }
    let end = match next {
        Some(TranscriptEntry::Turn(turn)) => Some(turn.ts_ms),
        _ => times.last().copied(),
    };
    let omitted_ms = end.zip(times.first()).map_or(0, |(end, begin)| end.saturating_sub(*begin));
    Abridgement { marker: Marker::Abridged, omitted_turns: turns, omitted_ms }
}

#[cfg(test)]
mod tests {
    use inkhook_wire::payload::Maybe;
    use inkhook_wire::payload::transcript::Turn;

    use super::*;

    fn turn(number: u64, text: &str) -> TranscriptEntry {
        TranscriptEntry::Turn(Turn {
            party: "remote".into(),
            text: text.into(),
            ts_ms: number * 1_000,
            phone_number: Maybe::Absent,
            truncated: None,
        })
    }

    #[test]
    fn a_short_one_stays_as_it_is() {
        let entries = vec![turn(0, "hello"), turn(1, "good bye")];
        assert_eq!(abridged(entries.clone()), (entries, false));
        assert_eq!(abridged(Vec::new()), (Vec::new(), false));
    }

    #[test]
    fn a_long_one_keeps_its_beginning_and_its_end() {
        let entries: Vec<_> = (0..400).map(|number| turn(number, &"x".repeat(100))).collect();
        let (short, is_abridged) = abridged(entries.clone());
        assert!(is_abridged);
        let at = short.iter().position(|it| matches!(it, TranscriptEntry::Abridged(_))).expect("a marker");
        assert_eq!(short[..at], entries[..at]);
        let tail = short.len() - at - 1;
        assert_eq!(short[at + 1..], entries[400 - tail..]);
        assert!(at > 20 && tail > 20, "{at} and {tail}");
        let TranscriptEntry::Abridged(marker) = &short[at] else { panic!("{short:?}") };
        let omitted = 400 - at as u64 - tail as u64;
        assert_eq!((marker.omitted_turns, marker.omitted_ms), (omitted, omitted * 1_000));
        let bytes = serde_json::to_vec(&short).expect("JSON").len();
        assert!((8_000..=MAX_TRANSCRIPT_BYTES).contains(&bytes), "{bytes}");
    }

    #[test]
    fn what_was_left_out_before_counts_and_a_monologue_is_cut() {
        let earlier = Abridgement { marker: Marker::Abridged, omitted_turns: 7, omitted_ms: 9 };
        let mut entries: Vec<_> = (0..100).map(|number| turn(number, &"é".repeat(300))).collect();
        entries.insert(50, TranscriptEntry::Abridged(earlier));
        let (short, _) = abridged(entries);
        let markers: Vec<_> = short
            .iter()
            .filter_map(|it| match it {
                TranscriptEntry::Abridged(marker) => Some(marker.omitted_turns),
                TranscriptEntry::Turn(_) => None,
            })
            .collect();
        assert_eq!(markers, [100 - (short.len() as u64 - 1) + 7]);

        let (one, is_abridged) = abridged(vec![turn(0, &"é".repeat(MAX_TURN_BYTES))]);
        let TranscriptEntry::Turn(one) = &one[0] else { panic!("{one:?}") };
        assert_eq!((one.text.len(), one.truncated, is_abridged), (MAX_TURN_BYTES, Some(true), false));
    }

    #[test]
    fn whatever_the_texts_are_made_of_it_stays_within_its_bound() {
        let entries: Vec<_> = (0..50).map(|number| turn(number, &"\u{1}\"".repeat(600))).collect();
        let (short, is_abridged) = abridged(entries);
        assert!(is_abridged && serde_json::to_vec(&short).expect("JSON").len() <= MAX_TRANSCRIPT_BYTES);
    }
}

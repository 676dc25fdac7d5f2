//! Properties over generated input: cuts change nothing, no bytes do harm, data is what was sent.

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::Play;
use crate::Limits;

const ENVELOPE: &[u8] = b"EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<jo@example.com>\r\nDATA\r\n";

fn small() -> Limits {
    Limits {
        max_message_bytes: 400,
        max_header_bytes: 120,
        max_received: 2,
        max_recipients: 3,
        max_command_bytes: 64,
        ..Limits::default()
    }
}

/// Bytes that matter to the parser, most of them in pieces that mean something.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "EHLO me",
        "MAIL FROM:<a@b>",
        "RCPT TO:<jo@example.com>",
        "RCPT TO:<no@example.com>",
        "RSET",
        "NOOP",
        "Received: x",
        "GET /",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r\n.\r\n",
        "\r\n.\r\n",
        "\n.\n",
        "\r",
        "\n",
        "\0",
        ".",
        "text",
        " ",
        ":",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..100),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = vec(prop_oneof![Just(b'.'), Just(0), any::<u8>()], 0..40);
    vec(line, 0..20).prop_map(|lines| {
        let mut text = Vec::new();
        for line in lines {
            text.extend(line.into_iter().filter(|b| !matches!(b, b'\r' | b'\n')));
            text.extend(b"\r\n");
        }
        text
    })
}

/// As a client does it (RFC 5321, 4.5.2).
fn stuff(text: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::new();
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend(line);
    }
    stuffed
}

fn feed_in_cuts(play: &mut Play, mut input: &[u8], cuts: &[usize]) {
    let mut cuts = cuts.iter().cycle();
    while !input.is_empty() {
        let cut = cuts.next().map_or(input.len(), |cut| *cut).min(input.len());
        play.feed(&input[..cut]);
        input = &input[cut..];
    }
}

/// The body that a message with these octets after the 354 has, found by splitting instead of by
/// a state machine: up to the first CRLF `.` CRLF, no bare CR or LF, first dot of a line dropped.
fn reference(sent: &[u8]) -> Option<Vec<u8>> {
    let framed = [b"\r\n", sent].concat();
    let end = framed.windows(5).position(|window| window == b"\r\n.\r\n")?;
    let mut body = Vec::new();
    let mut rest = framed[2..end + 2].to_vec();
    while !rest.is_empty() {
        let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = &rest[..length];
        if line.contains(&b'\r') || line.contains(&b'\n') {
            return None;
        }
        body.extend(line.strip_prefix(b".").unwrap_or(line));
        body.extend(b"\r\n");
        rest.drain(..length + 2);
    }
    Some(body)
}

proptest! {
    #[test]
    fn any_bytes_in_any_cuts_get_the_same_answers(input in noise(), cuts in vec(1..9_usize, 1..9)) {
        let mut whole = Play::new(&small());
        whole.feed(&input);
        let mut cut = Play::new(&small());
        feed_in_cuts(&mut cut, &input, &cuts);
        prop_assert_eq!(whole.log, cut.log);
    }

    #[test]
    fn any_data_in_any_cuts_gets_the_same_answers(input in noise(), cuts in vec(1..9_usize, 1..9)) {
        // Whatever follows the message must hold no DATA, so that cuts cannot matter.
        let mut whole = Play::new(&small());
        whole.feed(ENVELOPE);
        whole.feed(&input);
        let mut cut = Play::new(&small());
        cut.feed(ENVELOPE);
        feed_in_cuts(&mut cut, &input, &cuts);
        prop_assert_eq!(whole.log, cut.log);
        prop_assert_eq!(whole.messages, cut.messages);
    }

    #[test]
    fn a_message_is_what_a_plain_reading_says(input in noise()) {
        let limits = Limits { max_received: 1_000, ..Limits::default() };
        let mut play = Play::new(&limits);
        play.feed(ENVELOPE);
        play.feed(&input);
        let got = play.messages.into_iter().next().map(|envelope| envelope.data);
        prop_assert_eq!(got, reference(&input));
    }

    #[test]
    fn data_stuffed_again_is_what_was_sent(text in text(), cuts in vec(1..50_usize, 1..9)) {
        let sent = stuff(&text);
        let mut play = Play::new(&Limits::default());
        play.feed(ENVELOPE);
        feed_in_cuts(&mut play, &[&sent[..], b".\r\n"].concat(), &cuts);
        prop_assert_eq!(play.messages.len(), 1);
        prop_assert_eq!(&play.messages[0].data, &text);
        prop_assert_eq!(stuff(&play.messages[0].data), sent);
    }
}

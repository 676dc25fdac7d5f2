//! What holds for any bytes, and for any mail built from known parts.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;

fn assert_within_bounds(mail: &ParsedMail) {
    let cc = mail.cc_addresses.as_deref().unwrap_or_default();
    assert!(1 + mail.to_addresses.len() + cc.len() <= MAX_ADDRESSES);
    let addresses = mail.to_addresses.iter().chain(cc).chain([&mail.from_address]);
    for address in addresses {
        assert!(address.contains('@') && address.len() <= MAX_ADDRESS_BYTES, "{address:?}");
        assert!(!address.chars().any(|c| c.is_whitespace() || c.is_control()), "{address:?}");
    }
    for line in [&mail.subject, &mail.snippet].into_iter().flatten() {
        assert!(line.chars().count() <= MAX_SUBJECT_CHARS && !line.chars().any(char::is_control));
        assert_eq!(line.trim(), line);
    }
    assert!(mail.snippet.iter().all(|s| s.chars().count() <= MAX_SNIPPET_CHARS));
    assert!(mail.body.text.len() <= MAX_BODY_BYTES);
    assert!(!mail.body.text.contains(['\r', '\0']));
    assert_eq!(mail.body.text.chars().count(), mail.body.included_chars);
    let whole = mail.body.included_chars == mail.body.total_chars;
    assert_eq!(whole, mail.body.state != BodyState::Truncated);
    let ids = mail.message_id.iter().chain(&mail.in_reply_to).chain(&mail.references);
    for id in ids {
        assert!(id.starts_with('<') && id.ends_with('>') && id.len() <= MAX_MESSAGE_ID_BYTES);
    }
    assert!(mail.in_reply_to.len() <= MAX_PARENTS && mail.references.len() <= MAX_PARENTS);
    let key = thread_key(mail);
    assert!(key.parents.len() <= MAX_PARENTS && key.participants.contains(&key.sender));
}

/// Pieces that a parser reacts to, in any order.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "From: ",
        "To: ",
        "Cc: ",
        "Subject: ",
        "Message-ID: ",
        "References: ",
        "Date: ",
        "\r\n",
        "\n",
        "\r\n\r\n",
        "\r",
        " ",
        "\t",
        "--b",
        "--b--",
        "--",
        "a@b.test",
        "<",
        ">",
        ",",
        ";",
        ":",
        "\"",
        "\\",
        "(",
        ")",
        "=?utf-8?q?",
        "=?utf-16?b?",
        "?=",
        "=C3",
        "=",
        "==",
        "Content-Type: ",
        "multipart/mixed; boundary=b",
        "multipart/alternative; boundary=\"b\"",
        "text/html",
        "text/plain; charset=",
        "iso-2022-jp",
        "utf-7",
        "utf-16",
        "gb18030",
        "message/rfc822",
        "Content-Transfer-Encoding: ",
        "base64",
        "quoted-printable",
        "Content-Disposition: ",
        "attachment; filename*0*=utf-8''%e2%82; filename*1=",
        "*",
        "'",
        "&amp;",
        "&#x110000;",
        "<a href=",
        "</a>",
        "<style",
        "<!--",
        "-->",
        "\u{0}",
        "é",
        "🎉",
        "Received: ",
        "Fri, 31 Feb 99999 99:99:99 +9999",
        "From ",
    ];
    let word = proptest::sample::select(words.to_vec()).prop_map(|w| w.as_bytes().to_vec());
    vec(prop_oneof![8 => word, 1 => vec(any::<u8>(), 0..8)], 0..120).prop_map(|v| v.concat())
}

fn quoted_printable(text: &str) -> String {
    let hex = |b: &u8| format!("={b:02X}");
    let bytes: Vec<String> = text.as_bytes().iter().map(hex).collect();
    bytes.chunks(20).map(<[String]>::concat).collect::<Vec<_>>().join("=\r\n")
}

fn base64_lines(text: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let lines = encoded.as_bytes().chunks(76).map(|l| String::from_utf8_lossy(l).into_owned());
    lines.collect::<Vec<_>>().join("\r\n")
}

fn encoded_word(text: &str) -> String {
    use base64::Engine as _;
    let mut words = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    for chunk in chars.chunks(10) {
        let chunk: String = chunk.iter().collect();
        let encoded = base64::engine::general_purpose::STANDARD.encode(chunk);
        words.push(format!("=?utf-8?B?{encoded}?="));
    }
    words.join("\r\n ")
}

/// Wraps a leaf into multiparts of random kinds, beside other leaves.
fn wrap(leaf: String, kinds: &[u8]) -> String {
    let mut part = leaf;
    for (at, kind) in kinds.iter().enumerate() {
        let boundary = format!("=_{at}");
        let html = "Content-Type: text/html\r\n\r\n<p>other</p>";
        let file = "Content-Type: application/pdf\r\n\r\n%PDF";
        let (subtype, beside) = match kind % 3 {
            0 => ("mixed", file),
            1 => ("alternative", html),
            _ => ("related", file),
        };
        part = format!(
            "Content-Type: multipart/{subtype}; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n\
             {part}\r\n--{boundary}\r\n{beside}\r\n--{boundary}--\r\n"
        );
    }
    part
}

proptest! {
    #[test]
    fn any_bytes_are_read_within_the_bounds(raw in vec(any::<u8>(), 0..4096)) {
        content_hash(&raw);
        if let Ok(mail) = parse(&raw, Some("a@client.test")) {
            assert_within_bounds(&mail);
        }
    }

    #[test]
    fn any_heap_of_mail_pieces_is_read_within_the_bounds(heap in hostile(), parts in any::<bool>()) {
        let begin: &[u8] = if parts {
            b"From: a@client.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        } else {
            b""
        };
        let raw = [begin, &heap].concat();
        content_hash(&raw);
        if let Ok(mail) = parse(&raw, Some("a@client.test")) {
            assert_within_bounds(&mail);
        }
    }

    #[test]
    fn a_mail_gives_back_its_subject_and_text(
        subject in "[\\PC&&[^\\s]]{1,12}( [\\PC&&[^\\s]]{1,12}){0,4}",
        lines in vec("[\\PC&&[^\\s]]{1,30}", 1..12),
        kinds in vec(any::<u8>(), 0..6),
        encoding in any::<bool>(),
    ) {
        let text = lines.join("\r\n");
        let (name, content) = if encoding {
            ("base64", base64_lines(&text))
        } else {
            ("quoted-printable", quoted_printable(&text))
        };
        let leaf = format!(
            "Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: {name}\r\n\r\n{content}"
        );
        let raw = format!(
            "From: a@client.test\r\nSubject: {}\r\n{}",
            encoded_word(&subject),
            wrap(leaf, &kinds)
        );
        let mail = parse(raw.as_bytes(), None).unwrap();
        prop_assert_eq!(mail.subject.as_deref(), Some(&*subject));
        prop_assert_eq!(mail.body.text, lines.join("\n"));
    }
}

//! Every mail in `tests/corpus` against the fields written beside it. `tests/corpus/README.md`
//! describes both.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::super::{BodyState, MailError, ParsedMail, parse};

const REQUIRED: [&str; 7] = ["subject", "from", "to", "cc", "message_id", "body_state", "has_attachments"];
const MIN_MAILS: usize = 36;
const MIN_WELL_FORMED: usize = 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// The mail's bytes: an `.eml` as it is, a `.recipe` built from its pieces.
fn bytes_of(path: &Path) -> Vec<u8> {
    let file = fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "eml") {
        return file;
    }
    let recipe: Value = serde_json::from_slice(&file).unwrap();
    let mut mail = String::new();
    for piece in recipe["pieces"].as_array().unwrap() {
        let text = piece["text"].as_str().unwrap();
        for n in 1..=piece.get("times").map_or(1, |times| times.as_u64().unwrap()) {
            mail.push_str(&text.replace("{n}", &n.to_string()));
        }
    }
    mail.into_bytes()
}

fn fields_of(mail: &ParsedMail) -> Value {
    json!({
        "subject": mail.subject,
        "from": mail.from_address,
        "to": mail.to_addresses,
        "cc": mail.cc_addresses,
        "message_id": mail.message_id,
        "in_reply_to": mail.in_reply_to,
        "references": mail.references,
        "date": mail.date_s,
        "body": mail.body.text,
        "body_state": match mail.body.state {
            BodyState::Complete => "complete",
            BodyState::Truncated => "truncated",
            BodyState::Unavailable => "unavailable",
        },
        "snippet": mail.snippet,
        "has_attachments": mail.has_attachments,
    })
}

/// What differs between a mail and what is expected of it, a line a field.
fn differences(expected: &Map<String, Value>, got: &Result<ParsedMail, MailError>) -> Vec<String> {
    let mail = match (expected.get("refused"), got) {
        (Some(reason), Err(error)) if *reason == format!("{error:?}") => return Vec::new(),
        (Some(reason), got) => return vec![format!("refused: expected {reason}, got {got:?}")],
        (None, Err(error)) => return vec![format!("refused: {error:?}")],
        (None, Ok(mail)) => mail,
    };
    let fields = fields_of(mail);
    let mut wrong = Vec::new();
    for (name, want) in expected {
        match name.as_str() {
            "well_formed" | "envelope_sender" => {}
            "body_contains" => {
                let texts = want.as_array().unwrap().iter().map(|text| text.as_str().unwrap());
                let missing = texts.filter(|text| !mail.body.text.contains(text));
                wrong.extend(missing.map(|text| format!("body lacks {text:?}")));
            }
            name => match fields.get(name) {
                Some(value) if value == want => {}
                Some(value) => wrong.push(format!("{name}: expected {want}, got {value}")),
                None => wrong.push(format!("{name}: no such field")),
            },
        }
    }
    let has_body = expected.contains_key("body") || expected.contains_key("body_contains");
    let missing = REQUIRED.iter().filter(|name| !expected.contains_key(**name));
    wrong.extend(missing.map(|name| format!("{name}: not in the expectations")));
    wrong.extend((!has_body).then(|| "neither body nor body_contains expected".to_owned()));
    wrong
}

#[test]
fn every_mail_gives_the_fields_written_beside_it() {
    let mut wrong = Vec::new();
    let (mut mails, mut well_formed) = (0, 0);
    let mut expectations = BTreeSet::new();
    let mut used = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let beside = path.with_extension("json");
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => {
                expectations.insert(path);
                continue;
            }
            Some("eml" | "recipe") => {}
            _ => continue,
        }
        mails += 1;
        let Ok(expected) = fs::read(&beside) else {
            wrong.push(format!("{name}: has no expectations"));
            continue;
        };
        let expected: Map<String, Value> = serde_json::from_slice(&expected).unwrap();
        well_formed += usize::from(expected["well_formed"] == true);
        let sender = expected.get("envelope_sender").map(|sender| sender.as_str().unwrap());
        let got = parse(&bytes_of(&path), sender);
        wrong.extend(differences(&expected, &got).into_iter().map(|d| format!("{name}: {d}")));
        used.insert(beside);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(used, expectations, "expectations without a mail");
    assert!(mails >= MIN_MAILS && well_formed >= MIN_WELL_FORMED);
}

#[test]
fn the_check_notices_a_wrong_field_and_a_wrong_refusal() {
    let got = parse(b"From: a@x.test\r\nSubject: s\r\n\r\nt", None);
    let expected = |value: Value| value.as_object().unwrap().clone();
    assert_eq!(differences(&expected(json!({"refused": "TooDeep"})), &got).len(), 1);
    let right = json!({"subject": "s", "from": "a@x.test", "to": [], "cc": null, "body": "t",
        "message_id": null, "body_state": "complete", "has_attachments": false});
    assert!(differences(&expected(right.clone()), &got).is_empty());
    for name in right.as_object().unwrap().keys() {
        let mut other = expected(right.clone());
        other[name] = json!("other");
        assert_eq!(differences(&other, &got).len(), 1, "{name}");
        other.remove(name);
        assert_eq!(differences(&other, &got).len(), 1, "{name}");
    }
}

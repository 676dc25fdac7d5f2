//! Every mail of the corpus through the real listener: taken whole or refused for good, never half.

use std::path::Path;

use serde_json::Value;

use super::Post;

/// The mail's bytes: an `.eml` as it is, a `.recipe` built from its pieces (see the corpus's README).
fn bytes_of(path: &Path) -> Vec<u8> {
    let file = std::fs::read(path).expect("a file");
    if path.extension().is_some_and(|extension| extension == "eml") {
        return file;
    }
    let recipe: Value = serde_json::from_slice(&file).expect("JSON");
    let mut mail = String::new();
    for piece in recipe["pieces"].as_array().expect("pieces") {
        for n in 1..=piece["times"].as_u64().unwrap_or(1) {
            mail.push_str(&piece["text"].as_str().expect("text").replace("{n}", &n.to_string()));
        }
    }
    mail.into_bytes()
}

/// A CR or LF that is not half of a CRLF: refused, whatever the parser would make of it.
fn has_bare_line_end(mail: &[u8]) -> bool {
    (0..mail.len()).any(|at| match mail[at] {
        b'\r' => mail.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || mail[at - 1] != b'\r',
        _ => false,
    })
}

#[tokio::test]
async fn every_mail_is_one_event_or_a_5yz_and_none() {
    let post = Post::new().await;
    let mut client = post.client().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let (mut taken, mut refused) = (0, 0);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if !path.extension().is_some_and(|extension| extension == "eml" || extension == "recipe") {
            continue;
        }
        let beside = std::fs::read(path.with_extension("json")).expect("expectations");
        let expected: Value = serde_json::from_slice(&beside).expect("JSON");
        let mail = bytes_of(&path);
        let before = (post.events(), post.server.snapshot());
        let sender = expected["envelope_sender"].as_str().unwrap_or_default();
        let (code, text) = client.mail(sender, &[&post.help.address], &mail).await;
        if expected.get("refused").is_some() || has_bare_line_end(&mail) {
            assert!((500..600).contains(&code), "{}: {text}", path.display());
            assert_eq!(post.server.snapshot(), before.1, "{}", path.display());
            refused += 1;
            continue;
        }
        assert_eq!(code, 250, "{}: {text}", path.display());
        assert_eq!(post.events(), before.0 + 1, "{}", path.display());
        taken += 1;
        let newest = post.server.get("/api/v1/events?limit=1").by(&post.acme).send().await.expect(200);
        let event = newest.json["events"][0]["id"].as_str().expect("an id").to_owned();
        let message = post.payload(&event).await["data"]["message"].clone();
        let fields = [
            ("subject", "subject"),
            ("from", "from_address"),
            ("to", "to_addresses"),
            ("cc", "cc_addresses"),
        ];
        for (ours, field) in fields.into_iter().chain([("message_id", "message_id")]) {
            assert_eq!(message[field], expected[ours], "{}: {field}", path.display());
        }
        if let Some(body) = expected.get("body").filter(|_| message["body_state"] != "unavailable") {
            assert_eq!(&message["body"], body, "{}", path.display());
        }
        // The clock stands still, and one key may ask so often.
        post.server.advance(std::time::Duration::from_secs(1));
    }
    assert!(taken >= 45 && refused >= 9, "{taken} taken, {refused} refused");
    assert_eq!(post.server.query::<i64>("SELECT count(*) FROM queue"), [0]);
}

//! The `data` object of `message.received`, in the key order of the wire contract (section 5.3).

use serde::Serialize;
use uuid::Uuid;

use super::{BodyState, ParsedMail};

/// What the server knows about a mail that the mail does not say.
#[derive(Debug, Clone, Copy)]
pub struct MessageFacts<'a> {
    /// The new message's id.
    pub message_uuid: Uuid,
    /// The mailbox that received it.
    pub mailbox_id: Uuid,
    /// That mailbox's address.
    pub mailbox_address: &'a str,
    /// The thread that it joins or starts.
    pub thread_id: Uuid,
    /// When it was accepted, ISO 8601 in UTC.
    pub created_at_iso: &'a str,
    /// The rows of `contacts`, as a JSON array; put in as it is.
    pub contacts_json: &'a str,
    /// The same of `agent_identities`.
    pub agent_identities_json: &'a str,
}

#[derive(Serialize)]
struct Received<'a> {
    id: Uuid,
    mailbox_id: Uuid,
    thread_id: Uuid,
    message_id: Option<&'a str>,
    from_address: &'a str,
    to_addresses: &'a [String],
    cc_addresses: Option<&'a [String]>,
    bcc_addresses: Option<&'a [String]>,
    subject: Option<&'a str>,
    snippet: Option<&'a str>,
    email_address: &'a str,
    body: Option<&'a str>,
    body_state: &'a str,
    body_truncated: bool,
    body_total_chars: usize,
    body_included_chars: usize,
    direction: &'a str,
    status: &'a str,
    has_attachments: bool,
    created_at: &'a str,
}

/// The `data` JSON of the `message.received` event of one mailbox. An unavailable body is null.
pub fn message_data(mail: &ParsedMail, facts: MessageFacts<'_>) -> String {
    let body = &mail.body;
    let message = Received {
        id: facts.message_uuid,
        mailbox_id: facts.mailbox_id,
        thread_id: facts.thread_id,
        message_id: mail.message_id.as_deref(),
        from_address: &mail.from_address,
        to_addresses: &mail.to_addresses,
        cc_addresses: mail.cc_addresses.as_deref(),
        bcc_addresses: None,
        subject: mail.subject.as_deref(),
        snippet: mail.snippet.as_deref(),
        email_address: facts.mailbox_address,
        body: (body.state != BodyState::Unavailable).then_some(&*body.text),
        body_state: match body.state {
            BodyState::Complete => "complete",
            BodyState::Truncated => "truncated",
            BodyState::Unavailable => "unavailable",
        },
        body_truncated: body.state == BodyState::Truncated,
        body_total_chars: body.total_chars,
        body_included_chars: body.included_chars,
        direction: "inbound",
        status: "received",
        has_attachments: mail.has_attachments,
        created_at: facts.created_at_iso,
    };
    let message = serde_json::to_string(&message).expect("text and numbers always serialise");
    let (contacts, identities) = (facts.contacts_json, facts.agent_identities_json);
    format!(r#"{{"message":{message},"contacts":{contacts},"agent_identities":{identities}}}"#)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn facts(identities: &str) -> MessageFacts<'_> {
        let id = |last: u128| Uuid::from_u128(0x6d2c_1a40_0f9b_4a0e_9f53_7b1f_2a2b_0000 + last);
        MessageFacts {
            message_uuid: id(1),
            mailbox_id: id(2),
            mailbox_address: "help@mail.test",
            thread_id: id(3),
            created_at_iso: "2026-11-20T09:30:01.180Z",
            contacts_json: r#"[{"bucket":"from"}]"#,
            agent_identities_json: identities,
        }
    }

    #[test]
    fn the_sample_of_the_contract() {
        let raw = b"Message-ID: <q1@client.test>\r\nFrom: Ana <ana@client.test>\r\n\
            To: help@mail.test\r\nCc: lee@client.test\r\nSubject: Invoice 42\r\n\r\n\
            Could you resend invoice 42?\r\n";
        let mail = parse(raw, None).unwrap();
        let identities = r#"[{"bucket":"cc","address":"lee@client.test"}]"#;
        let expected = concat!(
            r#"{"message":{"id":"6d2c1a40-0f9b-4a0e-9f53-7b1f2a2b0001","#,
            r#""mailbox_id":"6d2c1a40-0f9b-4a0e-9f53-7b1f2a2b0002","#,
            r#""thread_id":"6d2c1a40-0f9b-4a0e-9f53-7b1f2a2b0003","#,
            r#""message_id":"<q1@client.test>","from_address":"ana@client.test","#,
            r#""to_addresses":["help@mail.test"],"cc_addresses":["lee@client.test"],"#,
            r#""bcc_addresses":null,"subject":"Invoice 42","#,
            r#""snippet":"Could you resend invoice 42?","email_address":"help@mail.test","#,
            r#""body":"Could you resend invoice 42?","body_state":"complete","#,
            r#""body_truncated":false,"body_total_chars":28,"body_included_chars":28,"#,
            r#""direction":"inbound","status":"received","has_attachments":false,"#,
            r#""created_at":"2026-11-20T09:30:01.180Z"},"contacts":[{"bucket":"from"}],"#,
            r#""agent_identities":[{"bucket":"cc","address":"lee@client.test"}]}"#
        );
        assert_eq!(message_data(&mail, facts(identities)), expected);
    }

    #[test]
    fn without_text_the_body_is_null_and_says_so() {
        let raw = b"From: a@client.test\r\nContent-Type: application/pdf\r\n\r\nx";
        let mail = parse(raw, None).unwrap();
        let data: serde_json::Value = serde_json::from_str(&message_data(&mail, facts("[]"))).unwrap();
        let message = &data["message"];
        assert!(message["body"].is_null() && message["snippet"].is_null());
        assert!(message["subject"].is_null() && message["cc_addresses"].is_null());
        assert_eq!(message["body_state"], "unavailable");
        assert_eq!(message["body_truncated"], false);
        assert_eq!(message["to_addresses"], serde_json::json!([]));
    }
}

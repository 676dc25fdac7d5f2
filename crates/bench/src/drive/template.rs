//! A request with gaps that are filled in each time it is sent.
//!
//! In the body, `{{seq}}` stands for the event's number, `{{timestamp_us}}` for the moment it is sent, or is
//! due, in unix microseconds, `{{uuid}}` for a UUID that is another one each time, and `{{mark}}` for what a
//! receiver of this crate recognises ([`mark`]).

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use inkhook_wire::sign::{self, SigningKey};

use crate::receive::mark;

/// Several events in one request.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Events in each.
    pub events: u64,
    /// What stands before the first; commas stand between them.
    pub before: String,
    /// What stands after the last.
    pub after: String,
}

impl Batch {
    /// As our own `POST /api/v1/events/batch` takes them.
    pub fn of(events: u64) -> Self {
        Self { events, before: r#"{"events":["#.into(), after: "]}".into() }
    }
}

#[derive(Debug, Clone)]
enum Piece {
    Text(Vec<u8>),
    Seq,
    TimestampUs,
    Uuid,
    Mark,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Template {
    head: Vec<u8>,
    body: Vec<Piece>,
    batch: Option<Batch>,
    key: Option<SigningKey>,
}

impl Template {
    /// A POST of `body` to a path of this host.
    ///
    /// # Errors
    /// The body has a gap that nobody knows how to fill, or a header is none.
    pub fn post(
        host: SocketAddr,
        path: &str,
        headers: &[(String, String)],
        body: &str,
    ) -> anyhow::Result<Self> {
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n");
        let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !has_type {
            head.push_str("Content-Type: application/json\r\n");
        }
        for (name, value) in headers {
            if [name, value].iter().any(|text| text.contains(['\r', '\n'])) {
                bail!("the header {name:?} has a line break");
            }
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("Content-Length: ");
        Ok(Self { head: head.into(), body: pieces(body)?, batch: None, key: None })
    }

    /// The same with several events in each request.
    #[must_use]
    pub fn batched(self, batch: Batch) -> Self {
        Self { batch: Some(batch), ..self }
    }

    /// The same signed as a delivery is.
    #[must_use]
    pub fn signed(self, key: SigningKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Events in one request.
    pub fn events(&self) -> u64 {
        self.batch.as_ref().map_or(1, |batch| batch.events)
    }

    /// Writes the whole request; `body` is memory to work in.
    pub(crate) fn render(&self, request: &mut Vec<u8>, body: &mut Vec<u8>, number: u64, at_us: u64) {
        body.clear();
        match &self.batch {
            None => self.event(body, number, at_us),
            Some(batch) => {
                body.extend_from_slice(batch.before.as_bytes());
                for place in 0..batch.events {
                    if place > 0 {
                        body.push(b',');
                    }
                    self.event(body, number * batch.events + place, at_us);
                }
                body.extend_from_slice(batch.after.as_bytes());
            }
        }
        request.clear();
        request.extend_from_slice(&self.head);
        put(request, format_args!("{}\r\n", body.len()));
        if let Some(key) = &self.key {
            sign(request, key, number, at_us, body);
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
    }

    fn event(&self, body: &mut Vec<u8>, number: u64, at_us: u64) {
        for piece in &self.body {
            match piece {
                Piece::Text(text) => body.extend_from_slice(text),
                Piece::Seq => put(body, format_args!("{number}")),
                Piece::TimestampUs => put(body, format_args!("{at_us}")),
                Piece::Uuid => put(body, format_args!("{}", uuid(number, at_us))),
                Piece::Mark => mark::write(body, number, at_us),
            }
        }
    }
}

fn put(into: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    into.write_fmt(what).expect("memory takes what is written");
}

/// The headers of a delivery.
fn sign(request: &mut Vec<u8>, key: &SigningKey, number: u64, at_us: u64, body: &[u8]) {
    let id = uuid(number, at_us);
    let (request_id, event_id) = (format!("req_{id}"), format!("evt_{id}"));
    let seconds = i64::try_from(at_us / 1_000_000).unwrap_or(i64::MAX);
    let inkbox = sign::sign_inkbox(key, &request_id, seconds, body);
    let standard = sign::sign_standard(key, &event_id, seconds, body);
    put(
        request,
        format_args!(
            "{}: {request_id}\r\n{}: {seconds}\r\n{}: {inkbox}\r\n{}: {event_id}\r\n{}: {seconds}\r\n\
             {}: {standard}\r\n",
            sign::HEADER_REQUEST_ID,
            sign::HEADER_TIMESTAMP,
            sign::HEADER_SIGNATURE,
            sign::HEADER_WEBHOOK_ID,
            sign::HEADER_WEBHOOK_TIMESTAMP,
            sign::HEADER_WEBHOOK_SIGNATURE
        ),
    );
}

/// Another one for each number and moment; no secret depends on it.
pub(crate) fn uuid(number: u64, at_us: u64) -> uuid::Uuid {
    let (high, low) = (mix(number ^ mix(at_us)), mix(number.wrapping_add(mix(!at_us))));
    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// The finaliser of SplitMix64.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

fn pieces(mut text: &str) -> anyhow::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    while let Some((before, rest)) = text.split_once("{{") {
        let (name, after) = rest.split_once("}}").context("a gap in the body has no end: '}}'")?;
        pieces.push(Piece::Text(before.into()));
        pieces.push(match name {
            "seq" => Piece::Seq,
            "timestamp_us" => Piece::TimestampUs,
            "uuid" => Piece::Uuid,
            "mark" => Piece::Mark,
            other => bail!(
                "'{{{{{other}}}}}' is none of {{{{seq}}}}, {{{{timestamp_us}}}}, {{{{uuid}}}}, {{{{mark}}}}"
            ),
        });
        text = after;
    }
    pieces.push(Piece::Text(text.into()));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(body: &str) -> anyhow::Result<Template> {
        let headers = [("X-Key".to_owned(), "k".to_owned())];
        Template::post("127.0.0.1:1".parse()?, "/p", &headers, body)
    }

    fn render(template: &Template, number: u64) -> String {
        let (mut request, mut body) = (Vec::new(), Vec::new());
        template.render(&mut request, &mut body, number, 17);
        String::from_utf8(request).unwrap()
    }

    #[test]
    fn gaps_are_filled_and_the_length_is_right() {
        let text = render(&template("{{seq}} at {{timestamp_us}} {{mark}}!").unwrap(), 4);
        assert_eq!(
            text,
            "POST /p HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/json\r\nX-Key: k\r\n\
             Content-Length: 29\r\n\r\n4 at 17 inkhook-bench:4:17:!"
                .replace("29", &"4 at 17 inkhook-bench:4:17:!".len().to_string())
        );
        assert!(template("{{what}}").is_err());
        assert!(template("{{seq").is_err());
    }

    #[test]
    fn a_batch_numbers_its_events_on() {
        let text = render(&template("{{seq}}").unwrap().batched(Batch::of(3)), 2);
        assert!(text.ends_with("\r\n\r\n{\"events\":[6,7,8]}"), "{text}");
    }

    #[test]
    fn a_signed_request_verifies_by_both_schemes() {
        let key = SigningKey::from_random_bytes([7; 32]);
        let text = render(&template("{\"n\":{{seq}}}").unwrap().signed(key.clone()), 1);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let headers = || {
            let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            lines.map(|(name, value)| (name, value.as_bytes()))
        };
        sign::verify_inkbox(key.secret(), headers(), body.as_bytes(), None).unwrap();
        sign::verify_standard(key.secret(), headers(), body.as_bytes(), None).unwrap();
    }

    #[test]
    fn no_uuid_comes_twice() {
        let all: std::collections::HashSet<_> = (0..10_000).map(|number| uuid(number, 5)).collect();
        assert_eq!(all.len(), 10_000);
    }
}

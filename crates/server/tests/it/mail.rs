//! Mail on its whole way: through the real listener into the real store, and out to a receiver.

mod accepting;
mod client;
mod corpus;
mod forgetting;
mod repeats;
mod shape;
mod threads;

use std::net::{Ipv4Addr, SocketAddr};

use inkhook_server::ingest::receive::Receiver as Ingest;
use inkhook_server::smtp_in::{SmtpConfig, SmtpServer, from_ingest};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use crate::support::{Identity, MAIL_DOMAIN, Organization, Setup, TestServer};

/// A server that takes mail, one organisation and the identity `help` in it.
struct Post {
    server: TestServer,
    acme: Organization,
    help: Identity,
    address: SocketAddr,
}

impl Post {
    async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let server = TestServer::with(setup);
        let acme = server.organization("acme").await;
        let help = acme.identity("help").await;
        let app = &server.app;
        let intake = from_ingest::intake(Ingest {
            store: app.store.clone(),
            clock: app.clock.clone(),
            entropy: app.entropy.clone(),
            queued: app.bells.queued.clone(),
        });
        let config = SmtpConfig {
            listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
            host_name: MAIL_DOMAIN.into(),
            mail_domain: MAIL_DOMAIN.into(),
            ..SmtpConfig::default()
        };
        let listener = SmtpServer::bind(config, intake).await.expect("a free port").expect("it listens");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(listener.serve(CancellationToken::new(), CancellationToken::new()));
        Self { server, acme, help, address }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Hands over a mail that must be taken; the id that the reply names.
    async fn accepted(&self, recipients: &[&str], mail: &str) -> String {
        let (code, text) = self.client().await.mail("eve@client.test", recipients, mail.as_bytes()).await;
        assert_eq!(code, 250, "{text}");
        let start = text.find("evt_").unwrap_or_else(|| panic!("no id in {text}"));
        text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect()
    }

    /// The payload of an event of `acme`.
    async fn payload(&self, event: &str) -> Value {
        let reply = self.server.get(&format!("/api/v1/events/{event}")).by(&self.acme).send().await;
        reply.expect(200).json["payload"].clone()
    }

    /// The payloads of an organisation's events, oldest first.
    async fn payloads(&self, organization: &Organization) -> Vec<Value> {
        let list = self.server.get("/api/v1/events?limit=200").by(organization).send().await.expect(200);
        let mut payloads = Vec::new();
        for event in list.json["events"].as_array().expect("a list").iter().rev() {
            let path = format!("/api/v1/events/{}", event["id"].as_str().expect("an id"));
            let one = self.server.get(&path).by(organization).send().await.expect(200);
            payloads.push(one.json["payload"].clone());
        }
        payloads
    }

    /// How many events there are, of whomever.
    fn events(&self) -> i64 {
        self.server.query("SELECT count(*) FROM events")[0]
    }
}

//! Mail comes in: the SMTP listener.
//!
//! It keeps the sockets, the time and the bounds; the protocol is `inkhook-smtp`, and what a
//! mailbox is and where a mail goes is the [`Intake`]'s business. Per message: the intake says of
//! each recipient whether it is ours, the message is received into memory that was set aside for
//! it, the intake takes it, and only then does the client read 250. Whatever fails on our side is
//! a 4xx, so the client keeps the mail and sends it again; a session that is cut off before its
//! 250 has promised nothing.
//!
//! The message is handed over exactly as it came. No `Received:` line is put before it: the hop
//! from the last sender to us is in [`Mail::peer`] and [`Mail::helo`].
//!
//! It never relays, never makes a bounce, and does not verify the sender.
//!
//! Shutdown: the soft token stops listening; a session between commands is told 421, one that is
//! sending a message may finish it, gets its answer and then its 421. The hard token ends all.

mod bounds;
mod connection;
pub mod from_ingest;
mod intake;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use inkhook_smtp::{Limits, Reply, Session};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use bounds::Usage;
pub use intake::{Accept, Intake, Lookup, Mail};

use connection::Connection;

/// How long the listener waits after an `accept` that failed, usually for want of descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Settings of the listener.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// Where to listen; `None` for no SMTP at all. Default 127.0.0.1:2525.
    pub listen: Option<SocketAddr>,
    /// What the server calls itself. Default `mail.localhost`.
    pub host_name: String,
    /// The domain whose mailboxes are ours; it completes a bare `postmaster`. Default
    /// `mail.localhost`.
    pub mail_domain: String,
    /// Bounds of one session.
    pub limits: Limits,
    /// Connections in all; one more is told 421 and closed. Default 100.
    pub max_connections: usize,
    /// Connections of one client, that is one IPv4 address or one IPv6 /64; one more is told 421
    /// and closed. Default 10.
    pub max_connections_per_client: usize,
    /// Bytes of messages in memory over all sessions, from the first byte received until the
    /// intake has answered; past it 452. Default 64 MiB.
    pub max_data_bytes: usize,
    /// How long a client may take over one command (RFC 5321, 4.5.3.2.7). Default 5 min.
    pub idle_timeout: Duration,
    /// How long a client may take over one message, from the 354 to its end mark (RFC 5321,
    /// 4.5.3.2.6). Default 10 min.
    pub data_timeout: Duration,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 2525))),
            host_name: "mail.localhost".to_owned(),
            mail_domain: "mail.localhost".to_owned(),
            limits: Limits::default(),
            max_connections: 100,
            max_connections_per_client: 10,
            max_data_bytes: 64 * 1024 * 1024,
            idle_timeout: Duration::from_mins(5),
            data_timeout: Duration::from_mins(10),
        }
    }
}

/// A bound listener, not yet accepting.
#[derive(Debug)]
pub struct SmtpServer {
    listener: TcpListener,
    config: Arc<SmtpConfig>,
    intake: Intake,
    usage: Usage,
}

impl SmtpServer {
    /// Binds what `config.listen` says; `None` when it says nothing.
    pub async fn bind(config: SmtpConfig, intake: Intake) -> io::Result<Option<Self>> {
        let Some(address) = config.listen else {
            return Ok(None);
        };
        Ok(Some(Self {
            listener: TcpListener::bind(address).await?,
            usage: Usage::new(&config),
            config: Arc::new(config),
            intake,
        }))
    }

    /// Where it listens, with the port that a 0 in the configuration became.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A view of what is in use, for metrics.
    pub fn usage(&self) -> Usage {
        self.usage.clone()
    }

    /// Serves until `soft` is cancelled and every session has ended; `hard` ends them all at once.
    pub async fn serve(self, soft: CancellationToken, hard: CancellationToken) {
        let sessions = TaskTracker::new();
        loop {
            match soft.run_until_cancelled(self.listener.accept()).await {
                None => break,
                Some(Ok((stream, peer))) => {
                    if let Some(connection) = self.admit(stream, peer, &soft) {
                        let hard = hard.clone();
                        sessions.spawn(async move {
                            hard.run_until_cancelled(connection.run()).await;
                        });
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "an SMTP connection could not be accepted");
                    let _ = tokio::time::timeout(ACCEPT_BACKOFF, soft.cancelled()).await;
                }
            }
        }
        drop(self.listener);
        sessions.close();
        sessions.wait().await;
    }

    /// A connection with its place among the others, or none and a 421.
    fn admit(&self, stream: TcpStream, peer: SocketAddr, soft: &CancellationToken) -> Option<Connection> {
        let SmtpConfig { host_name, mail_domain, limits, .. } = &*self.config;
        let mut session = Session::new(host_name, mail_domain, limits.clone());
        match self.usage.enter(peer.ip()) {
            Ok(place) => Some(Connection::new(
                stream,
                peer,
                session,
                place,
                Arc::clone(&self.config),
                self.intake.clone(),
                soft.clone(),
            )),
            Err(reason) => {
                tracing::debug!(%peer, ?reason, "an SMTP connection was turned away");
                turn_away(stream, &session.goodbye(reason));
                None
            }
        }
    }
}

/// Writes without waiting: the reply fits the empty send buffer of a new connection, and who has
/// no place here gets no task either. A failure changes nothing, the connection closes anyway.
fn turn_away(stream: TcpStream, reply: &Reply) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(reply.as_bytes());
    }
}

//! What the listener asks of the rest of the server: two asynchronous functions.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;

/// Whether an address is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    Mailbox,
    Unknown,
    /// It cannot be told now: 451.
    Unavailable,
}

/// A received message with its envelope.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// Reverse-path, `local@domain`; `None` is `<>`. Unverified.
    pub envelope_from: Option<String>,
    /// Recipients that the lookup knew, at least one, letters as sent; one may be here twice.
    pub recipients: Vec<String>,
    /// Header and body as they came, dots unstuffed, every line ended by CRLF.
    pub data: Vec<u8>,
    /// Where the connection came from.
    pub peer: SocketAddr,
    /// What the client called itself. Unverified.
    pub helo: String,
}

/// Sizes only: a message is nobody's to log.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("peer", &self.peer)
            .field("recipients", &self.recipients.len())
            .field("data_bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// What became of a message. Texts are sentences for the sender's administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accept {
    /// It is committed: 250, which names the id.
    Ok { id: String },
    /// No recipient exists any more: 550.
    NoneLeft,
    /// Our fault, for now: 451.
    TryLater(String),
    /// No space, for now: 452.
    NoSpace,
    /// It will never be taken: 550.
    Refused(String),
}

type LookupFn = dyn Fn(String) -> BoxFuture<'static, Lookup> + Send + Sync;
type AcceptFn = dyn Fn(Mail) -> BoxFuture<'static, Accept> + Send + Sync;

/// The two functions. Both may be called by many sessions at once, and their futures may be
/// dropped when the server is cut off; a mail committed but not answered comes again.
#[derive(Clone)]
pub struct Intake {
    lookup: Arc<LookupFn>,
    accept: Arc<AcceptFn>,
}

impl Intake {
    pub fn new<L, LF, A, AF>(lookup: L, accept: A) -> Self
    where
        L: Fn(String) -> LF + Send + Sync + 'static,
        LF: Future<Output = Lookup> + Send + 'static,
        A: Fn(Mail) -> AF + Send + Sync + 'static,
        AF: Future<Output = Accept> + Send + 'static,
    {
        Self {
            lookup: Arc::new(move |address| Box::pin(lookup(address))),
            accept: Arc::new(move |mail| Box::pin(accept(mail))),
        }
    }

    /// Is `address` (`local@domain`, ASCII, letters as sent) a mailbox here?
    pub(super) async fn lookup(&self, address: String) -> Lookup {
        (self.lookup)(address).await
    }

    /// Takes a message; `Ok` means that it is committed.
    pub(super) async fn accept(&self, mail: Mail) -> Accept {
        (self.accept)(mail).await
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

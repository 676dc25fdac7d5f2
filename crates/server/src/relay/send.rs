//! One mail, to the relay.

use std::fmt;
use std::time::Duration;

use lettre::Address;
use lettre::address::AddressError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;

use crate::domain::secret::Secret;

/// Characters of the relay's words that go into the log.
const WHY_CHARS: usize = 300;

/// How the way to the relay is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte on.
    Tls,
    /// TLS from STARTTLS on; a relay that does not offer it is not used.
    StartTls,
    /// Not at all.
    None,
}

/// The operator's relay.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// See there.
    pub security: Security,
    /// User and password, if it wants them.
    pub login: Option<(String, Secret)>,
    /// Certificate authorities that may sign its certificate besides the operating system's, PEM.
    pub ca: Option<Vec<u8>>,
    /// Whom mails are from.
    pub from: String,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The sender's address.
    #[error("signup.from is not a mail address")]
    From(#[source] AddressError),
    /// Certificates.
    #[error("the certificates for the mail relay cannot be used")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// How long the relay may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// From the name of its host until it wants the mail.
    pub(super) before: Duration,
    /// From the mail to the word whether it has it.
    pub(super) verdict: Duration,
    /// To say goodbye, which nobody needs.
    pub(super) goodbye: Duration,
}

/// A relay, not connected.
pub(super) struct Relay {
    times: Times,
    settings: Settings,
    from: Address,
    hello: ClientId,
    tls: Option<TlsParameters>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why a mail is not with the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words, for the log.
    pub(super) why: String,
    /// It would be refused again.
    pub(super) is_for_good: bool,
}

impl Failure {
    fn slow(what: &str, most: Duration) -> Self {
        Self {
            why: format!("the relay took longer than {} s {what}", most.as_secs_f32()),
            is_for_good: false,
        }
    }

    /// Of what the relay said about a mail to this address: without it.
    fn about(error: &lettre::transport::smtp::Error, to: &str) -> Self {
        let mut why = error.to_string();
        // It tells its source by itself.
        let mut source = std::error::Error::source(error).and_then(std::error::Error::source);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        let why = without_addresses(&why, to);
        let why: String = why.chars().take(WHY_CHARS).flat_map(char::escape_debug).collect();
        Self { why, is_for_good: error.is_permanent() }
    }
}

/// A text without mail addresses, whosever (a relay may name the one that stands behind an alias), and without what
/// is before the @ of this one.
fn without_addresses(text: &str, to: &str) -> String {
    let local_part = to.split('@').next().unwrap_or(to);
    let is_of_address = |c: char| c.is_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~@".contains(c);
    let mut clean = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_of_address(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let bare = word.trim_matches(['.', '\'', '=']);
        if word.contains('@') || bare.eq_ignore_ascii_case(local_part) {
            clean.push('…');
        } else {
            clean.push_str(word);
        }
        let end = after.find(is_of_address).unwrap_or(after.len());
        let (between, after) = after.split_at(end);
        clean.push_str(between);
        rest = after;
    }
    clean
}

impl Relay {
    pub(super) fn new(settings: Settings, mail_domain: &str, times: Times) -> Result<Self, BuildError> {
        let from: Address = settings.from.parse().map_err(BuildError::From)?;
        let tls = match settings.security {
            Security::None => None,
            Security::Tls | Security::StartTls => Some(tls(&settings).map_err(BuildError::Tls)?),
        };
        Ok(Self { times, from, hello: ClientId::Domain(mail_domain.to_owned()), tls, settings })
    }

    pub(super) fn from(&self) -> &str {
        self.from.as_ref()
    }

    /// Hands a mail over, which is ASCII. Once the relay has taken it, nothing that goes wrong or is late is an error
    /// any more.
    pub(super) async fn send(&self, to: &str, mail: &[u8]) -> Result<(), Failure> {
        let Times { before, verdict, goodbye } = self.times;
        let address = to.parse();
        let address: Address =
            address.map_err(|error: AddressError| Failure { why: error.to_string(), is_for_good: true })?;
        let ready = tokio::time::timeout(before, self.announce(to, address)).await;
        let mut connection = ready.map_err(|_| Failure::slow("until it wanted the mail", before))??;
        let taken = match tokio::time::timeout(verdict, connection.message(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::about(&error, to)),
            Err(_) => return Err(Failure::slow("to say whether it has the mail", verdict)),
        };
        let quit = tokio::time::timeout(goodbye, connection.quit()).await;
        if !matches!(quit, Ok(Ok(_))) {
            tracing::debug!("the relay said no goodbye");
        }
        taken
    }

    /// A connection to a relay that wants the mail now.
    async fn announce(&self, to: &str, address: Address) -> Result<AsyncSmtpConnection, Failure> {
        // What the relay says before it knows the mail is not about the mail.
        let connected = self.connect().await;
        let mut connection =
            connected.map_err(|error| Failure { is_for_good: false, ..Failure::about(&error, to) })?;
        let about = |error: lettre::transport::smtp::Error| Failure::about(&error, to);
        connection.command(Mail::new(Some(self.from.clone()), Vec::new())).await.map_err(about)?;
        connection.command(Rcpt::new(address, Vec::new())).await.map_err(about)?;
        connection.command(Data).await.map_err(about)?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let Settings { host, port, security, login, .. } = &self.settings;
        let from_the_start = self.tls.clone().filter(|_| *security == Security::Tls);
        let server = (host.as_str(), *port);
        // All of it together is bounded; this is for one step.
        let step = Some(self.times.before);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, step, &self.hello, from_the_start, None).await?;
        if let Some(tls) = self.tls.clone().filter(|_| *security == Security::StartTls) {
            connection.starttls(tls, &self.hello).await?;
        }
        if let Some((user, password)) = login {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(connection)
    }
}

fn tls(settings: &Settings) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(pem) = &settings.ca {
        builder = builder.add_root_certificate(Certificate::from_pem(pem)?);
    }
    builder.build_rustls()
}

#[cfg(test)]
mod tests;

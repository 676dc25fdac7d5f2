//! One mail, to the relay.

use std::fmt;
use std::time::Duration;

use lettre::Address;
use lettre::address::{AddressError, Envelope};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use super::TIMEOUT;
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

/// A relay, not connected.
pub(super) struct Relay {
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
    pub(super) fn slow() -> Self {
        Self { why: format!("the relay took longer than {} s", TIMEOUT.as_secs()), is_for_good: false }
    }
}

impl From<lettre::transport::smtp::Error> for Failure {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        let why: String = why.chars().take(WHY_CHARS).flat_map(char::escape_debug).collect();
        Self { why, is_for_good: error.is_permanent() }
    }
}

impl Relay {
    pub(super) fn new(settings: Settings, mail_domain: &str) -> Result<Self, BuildError> {
        let from: Address = settings.from.parse().map_err(BuildError::From)?;
        let tls = match settings.security {
            Security::None => None,
            Security::Tls | Security::StartTls => Some(tls(&settings).map_err(BuildError::Tls)?),
        };
        Ok(Self { from, hello: ClientId::Domain(mail_domain.to_owned()), tls, settings })
    }

    pub(super) fn from(&self) -> &str {
        self.from.as_ref()
    }

    /// Hands a mail over. Once the relay has taken it, nothing that goes wrong is an error any more.
    pub(super) async fn send(&self, to: &str, mail: &[u8]) -> Result<(), Failure> {
        let never = |why: String| Failure { why, is_for_good: true };
        let to: Address = to.parse().map_err(|error: AddressError| never(error.to_string()))?;
        let envelope = Envelope::new(Some(self.from.clone()), vec![to]);
        let envelope = envelope.map_err(|error| never(error.to_string()))?;
        // What the relay says before it knows the mail is not about the mail.
        let connected = self.connect().await;
        let mut connection = connected.map_err(|failure| Failure { is_for_good: false, ..failure })?;
        connection.send(&envelope, mail).await?;
        if connection.quit().await.is_err() {
            tracing::debug!("the relay took the mail and hung up");
        }
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let Settings { host, port, security, login, .. } = &self.settings;
        let from_the_start = self.tls.clone().filter(|_| *security == Security::Tls);
        let server = (host.as_str(), *port);
        // All of it together is bounded; this is for one step.
        let step: Option<Duration> = Some(TIMEOUT);
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
mod tests {
    use super::*;

    fn settings(from: &str) -> Settings {
        Settings {
            host: "127.0.0.1".into(),
            port: 25,
            security: Security::None,
            login: Some(("user".into(), Secret::new("hunter2".into()))),
            ca: None,
            from: from.into(),
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_at_once_and_no_password_is_printed() {
        assert!(matches!(Relay::new(settings("nobody"), "mail.test"), Err(BuildError::From(_))));
        let broken = Settings {
            security: Security::Tls,
            ca: Some(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_vec()),
            ..settings("a@mail.test")
        };
        assert!(matches!(Relay::new(broken, "mail.test"), Err(BuildError::Tls(_))));
        let relay = Relay::new(settings("a@mail.test"), "mail.test").expect("a relay");
        assert!(!format!("{relay:?}").contains("hunter2"));
    }
}

//! TLS 1.2 and newer, certificates verified, HTTP/1.1 only.
//!
//! Session resumption is off. A resumed session is a secret shared by two
//! connections, and tenants must not share one; a session store per tenant
//! would be memory that grows with tenants to save a handshake only where a
//! connection has been idle for longer than the pool keeps it.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::target::Target;

/// Whom to trust for certificates.
#[derive(Clone, Debug)]
pub enum Roots {
    /// The operating system's trusted authorities, read once.
    System,
    /// These authorities and no others.
    Given(Vec<CertificateDer<'static>>),
}

pub(crate) fn connector(roots: Roots) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(store(roots)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn store(roots: Roots) -> Result<RootCertStore, rustls::Error> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Given(certificates) => {
            for certificate in certificates {
                store.add(certificate)?;
            }
        }
        Roots::System => {
            let loaded = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(loaded.certs);
            if store.is_empty() {
                tracing::warn!(
                    errors = ?loaded.errors,
                    "no trusted certificate authority found on this system: every https request will fail"
                );
            }
        }
    }
    Ok(store)
}

/// The name a certificate must be valid for.
pub(crate) fn server_name(target: &Target) -> Result<ServerName<'static>, String> {
    match target.address() {
        Some(address) => Ok(ServerName::from(address)),
        None => ServerName::try_from(target.host().to_owned())
            .map_err(|_| "the host is not a name that a certificate can carry".to_owned()),
    }
}

/// What went wrong, as a phrase for the tenant's log.
pub(crate) fn reason(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(error) => rustls_reason(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection during the handshake".to_owned()
        }
        None => format!("the handshake failed: {}", error.kind()),
    }
}

pub(crate) fn rustls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate_reason(error),
        rustls::Error::AlertReceived(alert) => format!("the server sent the alert {alert:?}"),
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}

fn certificate_reason(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "certificate has expired".to_owned(),
        E::NotValidYet | E::NotValidYetContext { .. } => "certificate is not valid yet".to_owned(),
        E::NotValidForName => "certificate is not valid for this host".to_owned(),
        E::NotValidForNameContext { expected, .. } => {
            format!("certificate is not valid for {}", expected.to_str())
        }
        E::UnknownIssuer => "certificate is not signed by a trusted authority".to_owned(),
        E::Revoked => "certificate has been revoked".to_owned(),
        other => format!("certificate is not acceptable: {other}"),
    }
}

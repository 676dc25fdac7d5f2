//! TLS with a certificate that nobody trusts: made at the start, signed by itself.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::behave;
use super::ledger::Ledger;

/// Makes the certificate.
pub(super) fn acceptor() -> io::Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves who trusts it all the same; counts who does not as a refused handshake.
pub(super) async fn accept(ledger: Arc<Ledger>, listener: std::net::TcpListener, acceptor: TlsAcceptor) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let (ledger, acceptor) = (ledger.clone(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor.accept(stream).await {
                Ok(stream) => behave::serve(ledger, stream).await,
                Err(_) => ledger.handshake_refused(),
            }
        });
    }
}

//! `[signup]`: agents that sign up by themselves, and the mail relay that brings their codes to people.

use std::fs;
use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::{Problem, require};
use crate::domain::secret::Secret;
use crate::domain::signup;

/// How the way to the relay is kept from others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayTls {
    /// TLS from the first byte on; port 465.
    Tls,
    /// TLS from STARTTLS on, or not at all; port 587.
    #[default]
    StartTls,
    /// None; port 25. For a relay on the same machine or network.
    None,
}

impl RelayTls {
    fn port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }
}

/// See the module.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signup {
    /// Whether agents may.
    pub enabled: bool,
    /// The relay's name or address. With `--dev` it may be left out: the codes are in the log then.
    pub relay_host: Option<String>,
    /// Its port; the usual one of `relay_tls` when left out.
    pub relay_port: Option<u16>,
    /// `starttls`, `tls` or `none`.
    pub relay_tls: RelayTls,
    /// Its user, if it wants one.
    pub relay_user: Option<String>,
    /// That user's password.
    pub relay_password: Option<String>,
    /// A file that holds it.
    pub relay_password_file: Option<PathBuf>,
    /// A certificate authority that signs its certificate, PEM, besides the operating system's.
    pub relay_ca_file: Option<PathBuf>,
    /// Whom the mails are from.
    pub from: Option<String>,
}

impl std::fmt::Debug for Signup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signup")
            .field("enabled", &self.enabled)
            .field("relay_host", &self.relay_host)
            .finish_non_exhaustive()
    }
}

/// A relay, with all that is needed to use it.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is kept from others.
    pub tls: RelayTls,
    /// User and password, if it wants them.
    pub login: Option<(String, Secret)>,
    /// What is in the file of certificates.
    pub ca: Option<Vec<u8>>,
    /// Whom mails are from.
    pub from: String,
}

impl Signup {
    /// The relay, if there is one. Valid after validation.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn relay(&self) -> std::io::Result<Option<Relay>> {
        let (Some(host), Some(from)) = (&self.relay_host, &self.from) else { return Ok(None) };
        let login = self.relay_user.clone().zip(self.password()?);
        let ca = self.relay_ca_file.as_ref().map(fs::read).transpose()?;
        let port = self.relay_port.unwrap_or(self.relay_tls.port());
        let (host, from) = (host.clone(), from.clone());
        Ok(Some(Relay { host, port, tls: self.relay_tls, login, ca, from }))
    }

    fn password(&self) -> std::io::Result<Option<Secret>> {
        match (&self.relay_password, &self.relay_password_file) {
            (Some(password), _) => Ok(Some(Secret::new(password.clone()))),
            (None, Some(path)) => Ok(Some(Secret::new(fs::read_to_string(path)?.trim().to_owned()))),
            (None, None) => Ok(None),
        }
    }

    /// `dev` lets the relay be left out.
    pub(super) fn validate(&self, dev: bool, problems: &mut Vec<Problem>) {
        let host = self.relay_host.as_deref();
        require(
            problems,
            !self.enabled || dev || host.is_some(),
            "signup.relay_host",
            "names no mail relay, and without one nobody would get a code; only serve --dev shows codes in its log",
        );
        require(
            problems,
            host.is_none_or(is_host),
            "signup.relay_host",
            format!("'{}' is neither a host name nor an address", host.unwrap_or_default()),
        );
        require(
            problems,
            host.is_none() || self.from.as_deref().is_some_and(|from| signup::human_email(from, "").is_ok()),
            "signup.from",
            format!(
                "'{}' is not a mail address like no-reply@example.com, from which the relay could take mails",
                self.from.as_deref().unwrap_or_default()
            ),
        );
        require(problems, self.relay_port != Some(0), "signup.relay_port", "0 is no port");
        self.validate_login(host, problems);
        match self.relay_ca_file.as_ref().map(fs::read) {
            Some(Err(error)) => require(problems, false, "signup.relay_ca_file", error.to_string()),
            Some(Ok(pem)) => require(
                problems,
                matches!(CertificateDer::pem_slice_iter(&pem).next(), Some(Ok(_))),
                "signup.relay_ca_file",
                "holds no certificate in PEM",
            ),
            None => {}
        }
    }

    fn validate_login(&self, host: Option<&str>, problems: &mut Vec<Problem>) {
        let has_password = self.relay_password.is_some() || self.relay_password_file.is_some();
        require(
            problems,
            self.relay_password.is_none() || self.relay_password_file.is_none(),
            "signup.relay_password",
            "give relay_password or relay_password_file, not both",
        );
        if let Err(error) = self.password() {
            require(problems, false, "signup.relay_password_file", error.to_string());
        }
        require(
            problems,
            self.relay_user.is_some() == has_password,
            "signup.relay_user",
            "a user needs a password, and a password a user",
        );
        let is_local = host.is_some_and(|host| {
            host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        });
        require(
            problems,
            !has_password || self.relay_tls != RelayTls::None || is_local,
            "signup.relay_tls",
            "none would send the password over the network for everybody to read; use starttls or tls",
        );
    }
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    host.parse::<std::net::IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(is_label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(signup: &Signup, dev: bool) -> Vec<String> {
        let mut problems = Vec::new();
        signup.validate(dev, &mut problems);
        problems.into_iter().map(|problem| problem.key.into_owned()).collect()
    }

    fn relay() -> Signup {
        Signup {
            enabled: true,
            relay_host: Some("mail.example.com".into()),
            from: Some("no-reply@example.com".into()),
            ..Signup::default()
        }
    }

    #[test]
    fn it_is_off_and_then_needs_a_relay_but_for_developers() {
        assert_eq!(problems(&Signup::default(), false), [""; 0]);
        assert!(!Signup::default().enabled);
        let bare = Signup { enabled: true, ..Signup::default() };
        assert_eq!(problems(&bare, false), ["signup.relay_host"]);
        assert_eq!(problems(&bare, true), [""; 0]);
        assert!(bare.relay().expect("no file").is_none());
        assert_eq!(problems(&relay(), false), [""; 0]);
    }

    #[test]
    fn the_port_is_the_usual_one() {
        for (tls, port) in [(RelayTls::Tls, 465), (RelayTls::StartTls, 587), (RelayTls::None, 25)] {
            let found = Signup { relay_tls: tls, ..relay() }.relay().expect("no file").expect("a relay");
            assert_eq!(found.port, port);
        }
        let own = Signup { relay_port: Some(2525), ..relay() };
        assert_eq!(own.relay().expect("no file").expect("a relay").port, 2525);
    }

    #[test]
    fn all_that_is_wrong_is_said_and_no_password_is() {
        let wrong = Signup {
            relay_host: Some("not a host".into()),
            relay_port: Some(0),
            relay_tls: RelayTls::None,
            relay_password: Some("hunter2".into()),
            relay_password_file: Some("nowhere/password".into()),
            relay_ca_file: Some("nowhere/ca.pem".into()),
            from: Some("Ana <ana@example.com>\r\nBcc: x@example.com".into()),
            ..relay()
        };
        let expected = [
            "signup.relay_host",
            "signup.from",
            "signup.relay_port",
            "signup.relay_password",
            "signup.relay_user",
            "signup.relay_tls",
            "signup.relay_ca_file",
        ];
        assert_eq!(problems(&wrong, false), expected);
        let mut said = Vec::new();
        wrong.validate(false, &mut said);
        assert!(!format!("{said:?} {wrong:?}").contains("hunter2"));
        let unreadable = Signup {
            relay_user: Some("u".into()),
            relay_password_file: Some("nowhere/password".into()),
            ..relay()
        };
        assert_eq!(problems(&unreadable, false), ["signup.relay_password_file"]);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let no_certificate = directory.path().join("ca.pem");
        fs::write(&no_certificate, "hello").expect("written");
        let empty = Signup { relay_ca_file: Some(no_certificate), ..relay() };
        assert_eq!(problems(&empty, false), ["signup.relay_ca_file"]);
        let local = Signup {
            relay_host: Some("127.0.0.1".into()),
            relay_tls: RelayTls::None,
            relay_user: Some("u".into()),
            relay_password: Some("hunter2".into()),
            ..relay()
        };
        assert_eq!(problems(&local, false), [""; 0], "nobody reads along on loopback");
    }
}

//! Agents that sign up by themselves, and the people who vouch for them.
//!
//! Pure: the limits, which addresses and names are possible, how a code looks and what a guess at it comes to.
//! Nothing here depends on what is known already, so that an answer made of it cannot tell.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;

use super::entropy::Entropy;
use super::secret::Secret;
use super::time::TimeMs;

/// For how long one may be claimed; then it goes, with its names.
pub const LASTS: Duration = Duration::from_hours(48);
/// Over how long the next three are counted.
pub const WINDOW: Duration = Duration::from_hours(24);
/// Sign-ups that name one human in [`WINDOW`].
pub const PER_HUMAN: usize = 5;
/// Sign-ups from one network in [`WINDOW`]; see [`block`].
pub const PER_BLOCK: usize = 20;
/// Sign-ups in [`WINDOW`].
pub const IN_ALL: usize = 500;
/// Wrong guesses at one code; then it takes another code.
pub const GUESSES_OF_CODE: u32 = 5;
/// Wrong guesses at all codes of one sign-up; then only an approval can claim it.
pub const GUESSES: u32 = 10;
/// Further codes that one sign-up may ask for.
pub const RESENDS: u32 = 5;
/// From one code to the next.
pub const RESEND_COOLDOWN: Duration = Duration::from_mins(5);
/// Characters of the note to the human at most.
pub const NOTE_CHARS: usize = 2_000;
/// Bytes of a mail address at most (RFC 5321, 4.5.3.1.3, without the brackets).
pub const ADDRESS_BYTES: usize = 254;

/// Digits of a code.
const CODE_DIGITS: usize = 6;
/// Characters that are put behind each name.
const SUFFIX_CHARS: usize = 8;
/// 32 of them, so that each byte gives one; none that is easily taken for another.
const SUFFIX_ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
/// What an invitation's token begins with, as the client libraries know it; 43 characters follow.
const TOKEN_PREFIX: &str = "a2ai_";
/// Bytes of a token's random part.
const TOKEN_BYTES: usize = 32;

/// Why a text is no address of a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is no plain mail address.
    #[error("must be a plain mail address in ASCII, like ana@example.com")]
    Form,
    /// It is too long.
    #[error("must have at most {ADDRESS_BYTES} bytes")]
    TooLong,
    /// It is a mailbox of this server: an agent's.
    #[error("must not be a mailbox of this server: those are agents'")]
    Ours,
}

/// The form in which a human's address is stored and compared: lower case.
///
/// Only what can stand in an envelope and a header as it is: no quotes, no comments, no spaces, nothing
/// beyond ASCII.
///
/// # Errors
/// It is none, or one of this server's own mailboxes, by which an agent would vouch for itself.
pub fn human_email(text: &str, mail_domain: &str) -> Result<String, BadAddress> {
    if text.len() > ADDRESS_BYTES {
        return Err(BadAddress::TooLong);
    }
    let (local, domain) = text.split_once('@').ok_or(BadAddress::Form)?;
    if !is_local_part(local) || !is_domain(domain) {
        return Err(BadAddress::Form);
    }
    if domain.eq_ignore_ascii_case(mail_domain) {
        return Err(BadAddress::Ours);
    }
    Ok(text.to_ascii_lowercase())
}

/// RFC 5322, 3.2.3: a dot-atom.
fn is_local_part(text: &str) -> bool {
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.len() <= 64 && text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

/// What sign-ups that name a human are counted under: `ana+1@` and `ana+2@` reach the same one.
#[must_use]
pub fn counted_as(email: &str) -> String {
    match email.split_once('@') {
        Some((local, domain)) => {
            let local = local.split_once('+').map_or(local, |(before, _)| before);
            format!("{local}@{domain}")
        }
        None => email.to_owned(),
    }
}

/// The network of a client that sign-ups, and requests without a key, are counted by: /24, or /48 of IPv6.
#[must_use]
pub fn block(address: IpAddr) -> String {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, bits).map_or_else(|_| address.to_string(), |net| net.trunc().to_string())
}

/// A fresh ending for names. Every name gets one, so that none tells which names were taken.
#[must_use]
pub fn suffix(entropy: &Entropy) -> String {
    let bytes: [u8; SUFFIX_CHARS] = entropy.bytes();
    bytes.iter().map(|byte| char::from(SUFFIX_ALPHABET[usize::from(byte % 32)])).collect()
}

/// A name with its ending, of at most so many bytes. `base` is a name by [`super::names`], or is made one.
#[must_use]
pub fn named(base: &str, suffix: &str, most: usize) -> String {
    let room = most.saturating_sub(suffix.len() + 1);
    let base = base.get(..room).unwrap_or(base).trim_end_matches(['.', '-', '_']);
    format!("{base}-{suffix}")
}

/// A name made of what people see, if enough of it can stand in one.
#[must_use]
pub fn name_of(display_name: &str) -> Option<String> {
    let mut name = String::new();
    for c in display_name.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

/// The six digits that come of an HMAC. One of 10^6 is drawn from 2^64, so that none is likelier than another by
/// more than one in 10^13.
#[must_use]
pub fn code(mac: &[u8; 32]) -> Secret {
    let (first, _) = mac.split_at(8);
    let number = first.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    Secret::new(format!("{:0CODE_DIGITS$}", number % 1_000_000))
}

/// Whether a text can be a code at all.
#[must_use]
pub fn is_code(text: &str) -> bool {
    text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A fresh token for an invitation.
#[must_use]
pub fn invitation_token(entropy: &Entropy) -> Secret {
    let bytes: [u8; TOKEN_BYTES] = entropy.bytes();
    Secret::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether a text can be an invitation's token at all.
#[must_use]
pub fn is_invitation_token(text: &str) -> bool {
    let is_one = |rest: &str| {
        rest.len() == 43 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.strip_prefix(TOKEN_PREFIX).is_some_and(is_one)
}

/// What is to be said in the mail that brings a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeMail {
    /// The agent's handle.
    pub handle: String,
    /// Its mailbox.
    pub address: String,
    /// What people see.
    pub display_name: Option<String>,
    /// What it says that it runs in.
    pub harness: Option<String>,
    /// What it writes.
    pub note: String,
    /// Who is to have the code, in the form of [`human_email`].
    pub human_email: String,
    /// The code.
    pub code: Secret,
    /// Until when it is good.
    pub expires_at: TimeMs,
}

/// How a sign-up stands, as far as codes are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Wrong guesses so far.
    pub guesses: u32,
    /// Those at the code in force.
    pub guesses_of_code: u32,
    /// Further codes that were asked for.
    pub resends: u32,
    /// Since when the code in force is.
    pub code_made_at: TimeMs,
    /// When it ends.
    pub expires_at: TimeMs,
}

/// Why a code is not looked at, or none is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Its time is over.
    Expired,
    /// There were too many wrong guesses, for good.
    UsedUp,
    /// Not now; perhaps after so long.
    Wait(Wait, Duration),
}

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wrong guesses at this code: another one is needed.
    Guesses,
    /// It is too soon for another code.
    Cooldown,
    /// Further codes: there are no more.
    Resends,
}

impl Standing {
    /// Whether a guess may be made now.
    ///
    /// # Errors
    /// See [`Closed`].
    pub fn may_guess(&self, now: TimeMs) -> Result<(), Closed> {
        self.is_open(now)?;
        if self.guesses_of_code >= GUESSES_OF_CODE {
            let next = self.may_resend(now);
            let wait = if let Err(Closed::Wait(_, wait)) = next { wait } else { Duration::ZERO };
            return Err(Closed::Wait(Wait::Guesses, wait));
        }
        Ok(())
    }

    /// Whether another code may be made now.
    ///
    /// # Errors
    /// See [`Closed`].
    pub fn may_resend(&self, now: TimeMs) -> Result<(), Closed> {
        self.is_open(now)?;
        if self.resends >= RESENDS {
            return Err(Closed::Wait(Wait::Resends, self.expires_at.since(now)));
        }
        let next = self.code_made_at.after(RESEND_COOLDOWN);
        if now < next { Err(Closed::Wait(Wait::Cooldown, next.since(now))) } else { Ok(()) }
    }

    fn is_open(&self, now: TimeMs) -> Result<(), Closed> {
        if now >= self.expires_at {
            return Err(Closed::Expired);
        }
        if self.guesses >= GUESSES { Err(Closed::UsedUp) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;

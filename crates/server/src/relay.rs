//! Handing codes of sign-ups to the operator's own mail relay.
//!
//! Beside everything else: a registration is answered before its mail is looked at, so that nobody learns from the
//! time it takes what the relay said, and a relay that hangs or is down holds nobody up. One mail at a time, each
//! within [`Times`]; what waits is rows, as many as the limits of signing up let there be. A mail that the relay
//! did not take is tried again by [`WAITS`], then given up, which is logged and counted; one that it refused for
//! good is given up at once. The human then asks the agent to have the code sent again. Once the relay has said that
//! it took the mail, nothing that it does or leaves undone makes it go out again.
//!
//! With `--dev` and no relay the code is shown in the log instead: there the operator is the human.
//!
//! Connections go to the host that the operator named and to no other: nothing that a caller says has a part in
//! where, so they need no vetting as those of `egress` do.

mod defuse;
mod message;
mod send;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::entropy::Entropy;
use crate::domain::metrics::MailOutcome;
use crate::domain::signup::CodeMail;
use crate::domain::time::Clock;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::signups::mails::DueMail;
use crate::wake::Bell;

pub use self::send::{BuildError, Security, Settings};
use self::send::{Relay, Times};

/// How long the relay may take for each part of one mail.
const TIMES: Times = Times {
    before: Duration::from_secs(20),
    // RFC 5321, 4.5.3.2.6, has ten minutes; a relay that looks into a mail of one page needs fewer.
    verdict: Duration::from_mins(5),
    goodbye: Duration::from_secs(2),
};
/// For how long a claimed mail is nobody else's: as long as the relay may take in all, and a while for the settling.
pub const LEASE: Duration =
    TIMES.before.saturating_add(TIMES.verdict).saturating_add(TIMES.goodbye).saturating_add(SETTLING);
const SETTLING: Duration = Duration::from_secs(38);
/// From one attempt to the next: about a quarter of an hour in all.
pub const WAITS: [Duration; 7] = [
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(3),
    Duration::from_mins(5),
    Duration::from_mins(5),
];
/// Looks for mails at least this often; a bell makes it sooner.
const POLL: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Mailer {
    store: Store,
    clock: Clock,
    entropy: Entropy,
    mail_domain: String,
    /// None: to the log.
    relay: Option<Relay>,
}

impl Mailer {
    /// Mails through a relay, or writes to the log where there is none.
    ///
    /// # Errors
    /// The relay's settings cannot be used.
    pub fn new(
        store: Store,
        clock: Clock,
        entropy: Entropy,
        mail_domain: String,
        relay: Option<Settings>,
    ) -> Result<Self, BuildError> {
        let relay = relay.map(|settings| Relay::new(settings, &mail_domain, TIMES)).transpose()?;
        Ok(Self { store, clock, entropy, mail_domain, relay })
    }

    /// Hands mails over until the soft stop; the hard one cuts the last one off, and its code goes out again at the
    /// next start.
    pub async fn run(self, bell: Bell, soft: CancellationToken, hard: CancellationToken) {
        let mut bell = bell.listen();
        while !soft.is_cancelled() {
            let turn = tokio::select! {
                turn = self.turn() => turn,
                () = hard.cancelled() => return,
            };
            match turn {
                Ok(true) => continue,
                Ok(false) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "mails of sign-ups failed");
                }
            }
            tokio::select! {
                () = soft.cancelled() => {}
                () = bell.rung() => {}
                () = pause() => {}
            }
        }
    }

    /// Hands one mail over, if one waits; whether one did. Tests turn the loop by hand with this.
    ///
    /// # Errors
    /// The store could not be read or written.
    pub async fn turn(&self) -> Result<bool, StoreError> {
        let Some(mail) = self.store.claim_signup_mail(self.clock.wall(), LEASE).await? else {
            return Ok(false);
        };
        let (outcome, wait) = match &self.relay {
            None => {
                show(&mail.content);
                (MailOutcome::Sent, None)
            }
            Some(relay) => self.hand_over(relay, &mail).await,
        };
        self.store.metrics().mail(outcome);
        let next = wait.map(|wait| self.clock.wall().after(wait));
        self.store.settle_signup_mail(&mail, next).await?;
        Ok(true)
    }

    async fn hand_over(&self, relay: &Relay, mail: &DueMail) -> (MailOutcome, Option<Duration>) {
        let id = self.entropy.uuid();
        let text = message::compose(&mail.content, relay.from(), &self.mail_domain, id, self.clock.wall());
        let Err(failure) = relay.send(&mail.content.human_email, text.as_bytes()).await else {
            return (MailOutcome::Sent, None);
        };
        let failures = usize::try_from(mail.attempts).unwrap_or(usize::MAX);
        let wait = WAITS.get(failures.saturating_sub(1)).copied().filter(|_| !failure.is_for_good);
        // Not to whom: a log is no place for people's addresses.
        let (handle, why) = (&mail.content.handle, &failure.why);
        if let Some(wait) = wait {
            let seconds = wait.as_secs();
            tracing::warn!(handle, why, seconds, "a sign-up's code could not be mailed; it is tried again");
            (MailOutcome::PutOff, Some(wait))
        } else {
            tracing::error!(handle, why, "a sign-up's code could not be mailed; it is given up");
            (MailOutcome::GivenUp, None)
        }
    }
}

/// In place of a mail.
fn show(mail: &CodeMail) {
    tracing::info!(
        handle = mail.handle,
        human_email = mail.human_email,
        code = mail.code.expose(),
        "a sign-up's code; without --dev it is mailed"
    );
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait, beside a bell")]
async fn pause() {
    tokio::time::sleep(POLL).await;
}

//! The listener's two questions, answered by `ingest`.

use super::intake::{Accept, Intake, Lookup, Mail};
use crate::ingest::receive::{ReceiveError, Receiver};

/// An intake that looks mailboxes up in the store and turns mails into events.
#[must_use]
pub fn intake(receiver: Receiver) -> Intake {
    let lookup = receiver.clone();
    Intake::new(
        move |address| {
            let receiver = lookup.clone();
            async move {
                match receiver.knows(&address).await {
                    Ok(true) => Lookup::Mailbox,
                    Ok(false) => Lookup::Unknown,
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a recipient could not be looked up"
                        );
                        Lookup::Unavailable
                    }
                }
            }
        },
        move |mail| {
            let receiver = receiver.clone();
            async move { accept(&receiver, mail).await }
        },
    )
}

async fn accept(receiver: &Receiver, mail: Mail) -> Accept {
    match receiver.receive(mail.envelope_from, mail.recipients, mail.data).await {
        Ok(events) => {
            let id = events.first().map(ToString::to_string).unwrap_or_default();
            Accept::Ok { id }
        }
        Err(ReceiveError::Mail(error)) => Accept::Refused(error.to_string()),
        Err(ReceiveError::NobodyLeft) => Accept::NoneLeft,
        Err(error) if error.is_no_room() => Accept::NoSpace,
        Err(ReceiveError::Store(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a mail could not be stored");
            Accept::TryLater("the message could not be stored just now".into())
        }
    }
}

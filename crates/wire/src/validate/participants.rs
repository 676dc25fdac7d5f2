//! Whom an event names: the addresses and numbers that the server looks up before it fills in
//! `contacts` and `agent_identities`.

use super::error::{DataError, DataErrorKind, Fault};
use super::index::{Index, NodeId};
use super::{MailParticipants, TextParticipants};
use crate::event::Channel;
use crate::payload::Direction;
use crate::payload::mail::Bucket;

/// Most addresses that one mail event may name, over from, to, cc and bcc; and most numbers that any
/// other one may.
pub const MAX_ADDRESSES: usize = 1_000;

pub(super) fn mail(index: &Index<'_>) -> Result<MailParticipants, DataError> {
    let Some(message) = index.member(Index::ROOT, "message") else {
        return Ok((None, Vec::new()));
    };
    count_addresses(index, message)?;
    let direction = direction(index, message);
    let buckets: &[_] = match direction {
        Some(Direction::Inbound) => &[Bucket::From, Bucket::Cc],
        Some(Direction::Outbound) => &[Bucket::To, Bucket::Cc, Bucket::Bcc],
        None => &[],
    };
    let rows = buckets.iter().flat_map(|bucket| {
        let addresses = addresses(index, message, bucket_field(*bucket));
        addresses.map(|address| (*bucket, address))
    });
    Ok((direction, rows.collect()))
}

/// Refuses a mail that names more than [`MAX_ADDRESSES`] addresses.
pub(super) fn count_addresses(index: &Index<'_>, message: NodeId) -> Result<(), DataError> {
    let lists = [Bucket::To, Bucket::Cc, Bucket::Bcc].map(bucket_field);
    let lists = lists.iter().filter_map(|key| index.member(message, key));
    let count = 1 + lists.map(|list| index.children(list).count()).sum::<usize>();
    if count > MAX_ADDRESSES {
        let text = format!("names more than {MAX_ADDRESSES} addresses");
        return Err(Fault::new(DataErrorKind::TooMany, text).at("message").into());
    }
    Ok(())
}

pub(super) fn text(index: &Index<'_>) -> Result<TextParticipants, DataError> {
    let Some(message) = index.member(Index::ROOT, "text_message") else {
        return Ok((None, Vec::new()));
    };
    let numbers = remote_numbers(index, message);
    if numbers.len() > MAX_ADDRESSES {
        let text = format!("names more than {MAX_ADDRESSES} numbers");
        let fault = Fault::new(DataErrorKind::TooMany, text);
        return Err(fault.at("text_message").into());
    }
    Ok((direction(index, message), numbers))
}

/// The distinct numbers at the other end, whatever the channel.
pub(super) fn numbers(index: &Index<'_>, channel: Channel) -> Result<Vec<String>, DataError> {
    let part = |key| index.member(Index::ROOT, key).map(|part| (key, part));
    let found = match channel {
        Channel::Text => return Ok(text(index)?.1),
        Channel::IMessage | Channel::WhatsApp => {
            part("message").filter(|(_, it)| !index.is_null(*it)).or_else(|| part("reaction"))
        }
        Channel::Call => part("call"),
        Channel::Mail | Channel::A2a | Channel::Slack => None,
    };
    let Some((key, message)) = found else { return Ok(Vec::new()) };
    let numbers = others(index, message);
    if numbers.len() > MAX_ADDRESSES {
        let text = format!("names more than {MAX_ADDRESSES} numbers");
        return Err(Fault::new(DataErrorKind::TooMany, text).at(key).into());
    }
    Ok(numbers)
}

/// The numbers of an iMessage, a WhatsApp message, a reaction or a call that are not the owner's.
fn others(index: &Index<'_>, message: NodeId) -> Vec<String> {
    let own = ["local_number", "local_phone_number"];
    let own: Vec<_> = own.iter().filter_map(|key| index.string(index.member(message, key)?)).collect();
    let single = ["remote_number", "remote_phone_number", "sender_number"];
    let single = single.iter().flat_map(|key| addresses(index, message, key));
    let recipients = index.member(message, "recipients").into_iter().flat_map(|list| index.children(list));
    let recipients = recipients.flat_map(|row| addresses(index, row, "remote_number"));
    let mut seen = std::collections::HashSet::new();
    single
        .chain(addresses(index, message, "participants"))
        .chain(recipients)
        .filter(|number| !own.iter().any(|own| own == number))
        .filter(|number| seen.insert(number.clone()))
        .collect()
}

/// The distinct numbers at the other end of a text, in order of appearance.
pub(super) fn remote_numbers(index: &Index<'_>, message: NodeId) -> Vec<String> {
    let single = ["remote_phone_number", "sender_phone_number"];
    let single = single.iter().filter_map(|key| index.member(message, key));
    let recipients = index.member(message, "recipients").into_iter();
    let recipients = recipients.flat_map(|list| index.children(list));
    let recipients = recipients.filter_map(|row| index.member(row, "recipient_phone_number"));
    let local = index.member(message, "local_phone_number");
    let local = local.and_then(|id| index.string(id));
    let mut seen = std::collections::HashSet::new();
    single
        .chain(recipients)
        .filter_map(|id| index.string(id))
        .filter(|number| local.as_ref() != Some(number))
        .filter(|number| seen.insert(number.clone()))
        .map(std::borrow::Cow::into_owned)
        .collect()
}

const fn bucket_field(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::From => "from_address",
        Bucket::To => "to_addresses",
        Bucket::Cc => "cc_addresses",
        Bucket::Bcc => "bcc_addresses",
    }
}

fn direction(index: &Index<'_>, message: NodeId) -> Option<Direction> {
    let text = index.string(index.member(message, "direction")?)?;
    Direction::parse(&text)
}

/// The strings of a member: itself, or its items.
fn addresses(index: &Index<'_>, message: NodeId, key: &str) -> impl Iterator<Item = String> {
    let member = index.member(message, key).into_iter();
    member
        .flat_map(|id| std::iter::once(id).chain(index.children(id)))
        .filter_map(|id| index.string(id))
        .map(std::borrow::Cow::into_owned)
}

//! The numbers under which what was said is found: one for each who took part, and one for each who took part in that
//! conversation.
//!
//! A hash, so that a row is short and of fixed length whatever it stands for. What two keys share by chance is read and
//! thrown away: whoever reads compares the event itself.

use inkhook_wire::id::IdentityId;
use sha2::{Digest, Sha256};

use super::{Class, Party, Said};

/// What `party` took part in, of a class.
#[must_use]
pub fn of_party(identity: IdentityId, class: Class, party: &Party) -> i64 {
    hash(identity, class, &["party", party.as_str()])
}

/// What `party` took part in, of a conversation.
#[must_use]
pub fn of_conversation(identity: IdentityId, class: Class, conversation: &str, party: &Party) -> i64 {
    hash(identity, class, &["conversation", conversation, party.as_str()])
}

/// All under which something said is found.
#[must_use]
pub fn all(identity: IdentityId, said: &Said<'_>) -> Vec<i64> {
    let class = said.class();
    let conversation = said.conversation();
    let mut keys = Vec::new();
    for party in said.parties() {
        keys.push(of_party(identity, class, &party));
        keys.extend(conversation.iter().map(|it| of_conversation(identity, class, it, &party)));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn hash(identity: IdentityId, class: Class, parts: &[&str]) -> i64 {
    let mut hash = Sha256::new_with_prefix(identity.as_uuid().as_bytes());
    hash.update([match class {
        Class::Email => 1,
        Class::Texts => 2,
        Class::Calls => 3,
    }]);
    for part in parts {
        // Lengths keep neighbours apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = [0; 8];
    key.copy_from_slice(&hash.finalize()[..8]);
    i64::from_be_bytes(key)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn whatever_is_different_has_another_key() {
        let (one, two) = (IdentityId::from(Uuid::from_u128(1)), IdentityId::from(Uuid::from_u128(2)));
        let ana = Party::named("ana@example.com");
        let mut keys = vec![
            of_party(one, Class::Email, &ana),
            of_party(two, Class::Email, &ana),
            of_party(one, Class::Texts, &ana),
            of_party(one, Class::Email, &Party::named("bob@example.com")),
            of_conversation(one, Class::Email, "t", &ana),
            of_conversation(one, Class::Email, "u", &ana),
            of_conversation(one, Class::Email, "tana", &Party::named("@example.com")),
        ];
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 7);
        assert_eq!(
            of_party(one, Class::Email, &ana),
            of_party(one, Class::Email, &Party::named(" Ana@Example.com"))
        );
    }
}

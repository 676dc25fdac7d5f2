//! What accepting asks again and again: whether an organisation has an address book at all, and whose the addresses
//! and numbers are that its events name.
//!
//! An answer is valid until the organisation's address book changes: the commit of the change forgets it before the
//! change is answered, and a read that began before it may not fill the cache after it. What another node changes is
//! forgotten when this one says next that it is there, within about a second. An organisation without contacts costs
//! one look into this cache for each event, and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::facts::Names;
use crate::domain::contact::KnownContact;
use crate::domain::number::OrganizationNo;

/// Names and address books that are remembered at most; beyond, what was remembered is forgotten.
const MAX_REMEMBERED: usize = 20_000;
/// What the contacts that are remembered may take up, give or take those of one event.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ContactCache(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    changes: u64,
    books: HashMap<OrganizationNo, Book>,
    names: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Book {
    has_any: Option<bool>,
    known: HashMap<String, Option<Arc<KnownContact>>>,
}

/// What a read found of an address book.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// There is nobody in it.
    NobodyAtAll,
    /// These, of those that were looked for; that there are others is known.
    These(&'a [Arc<KnownContact>]),
    /// The same; nobody asked whether there are others.
    TheseAlone(&'a [Arc<KnownContact>]),
}

impl ContactCache {
    /// How often something was forgotten; a read that fills the cache asks before it begins.
    pub(super) fn changes(&self) -> u64 {
        self.read().changes
    }

    /// Which contacts these names are, in the order given, when all of it is known.
    pub(super) fn find(&self, organization: OrganizationNo, names: &Names) -> Option<Vec<Arc<KnownContact>>> {
        if names.is_empty() {
            return Some(Vec::new());
        }
        let state = self.read();
        let book = state.books.get(&organization)?;
        if book.has_any == Some(false) {
            return Some(Vec::new());
        }
        let mut found = Vec::new();
        for name in names.iter() {
            found.extend(book.known.get(name)?.clone());
        }
        Some(found)
    }

    /// Whether it is known that the organisation has contacts.
    pub(super) fn has_contacts(&self, organization: OrganizationNo) -> bool {
        self.read().books.get(&organization).is_some_and(|book| book.has_any == Some(true))
    }

    /// Remembers what a read found that began after so many changes, unless there was one since.
    pub(super) fn remember(
        &self,
        changes: u64,
        organization: OrganizationNo,
        names: &Names,
        found: &Found<'_>,
    ) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if state.changes != changes {
            return;
        }
        let more = names.len() + usize::from(!state.books.contains_key(&organization));
        if state.names + more > MAX_REMEMBERED || state.bytes >= MAX_BYTES {
            *state = State { changes, ..State::default() };
        }
        let State { books, names: count, bytes, .. } = &mut *state;
        if !books.contains_key(&organization) {
            *count += 1;
        }
        let book = books.entry(organization).or_default();
        let these = match found {
            Found::NobodyAtAll => {
                book.has_any = Some(false);
                return;
            }
            Found::These(these) => {
                book.has_any = Some(true);
                these
            }
            Found::TheseAlone(these) => {
                if !these.is_empty() {
                    book.has_any = Some(true);
                }
                these
            }
        };
        for name in names.iter() {
            let contact = these.iter().find(|contact| contact.point == *name).cloned();
            *bytes += name.len() + contact.as_deref().map_or(0, size);
            *count += usize::from(book.known.insert(name.clone(), contact).is_none());
        }
    }

    /// An organisation's address book has changed.
    pub(super) fn forget(&self, organization: OrganizationNo) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.changes += 1;
        if let Some(book) = state.books.remove(&organization) {
            let known = book.known.iter();
            let bytes: usize =
                known.map(|(name, contact)| name.len() + contact.as_deref().map_or(0, size)).sum();
            state.names = state.names.saturating_sub(book.known.len() + 1);
            state.bytes = state.bytes.saturating_sub(bytes);
        }
    }

    /// Some address book has changed elsewhere.
    pub(super) fn forget_all(&self) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { changes: state.changes + 1, ..State::default() };
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(contact: &KnownContact) -> usize {
    let memories: usize = contact.memories.iter().map(String::len).sum();
    contact.point.len() + contact.name.as_ref().map_or(0, String::len) + memories
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ACME: OrganizationNo = OrganizationNo(1);
    const GLOBEX: OrganizationNo = OrganizationNo(2);

    fn names(addresses: &[&str]) -> Names {
        Names { addresses: addresses.iter().map(ToString::to_string).collect(), numbers: Vec::new() }
    }

    fn contact(point: &str, memory: &str) -> Arc<KnownContact> {
        Arc::new(KnownContact {
            point: point.into(),
            id: Uuid::from_u128(9).into(),
            name: None,
            memories: vec![memory.into()],
        })
    }

    #[test]
    fn an_organisation_without_contacts_is_answered_for_every_name() {
        let cache = ContactCache::default();
        let ana = names(&["ana@client.test"]);
        assert_eq!(cache.find(ACME, &ana), None);
        cache.remember(0, ACME, &ana, &Found::NobodyAtAll);
        assert_eq!(cache.find(ACME, &names(&["lee@client.test"])), Some(Vec::new()));
        assert_eq!(cache.find(GLOBEX, &ana), None, "tenants never meet");
        assert_eq!(cache.find(GLOBEX, &Names::default()), Some(Vec::new()), "nobody is nobody");
    }

    #[test]
    fn answers_only_when_all_of_it_is_known() {
        let cache = ContactCache::default();
        let (ana, both) = (contact("ana@client.test", "x"), names(&["lee@client.test", "ana@client.test"]));
        cache.remember(0, ACME, &both, &Found::These(std::slice::from_ref(&ana)));
        assert_eq!(cache.find(ACME, &both), Some(vec![ana]));
        assert_eq!(cache.find(ACME, &names(&["ana@client.test", "mia@client.test"])), None);
        assert!(cache.has_contacts(ACME) && !cache.has_contacts(GLOBEX));
        cache.remember(0, GLOBEX, &both, &Found::TheseAlone(&[]));
        assert_eq!(cache.find(GLOBEX, &both), Some(Vec::new()));
        assert!(!cache.has_contacts(GLOBEX), "nobody asked");
    }

    #[test]
    fn a_change_forgets_its_organisation_and_no_stale_read_comes_back() {
        let cache = ContactCache::default();
        let ana = names(&["ana@client.test"]);
        let began = cache.changes();
        cache.remember(began, ACME, &ana, &Found::NobodyAtAll);
        cache.remember(began, GLOBEX, &ana, &Found::NobodyAtAll);
        cache.forget(ACME);
        assert_eq!(cache.find(ACME, &ana), None);
        assert_eq!(cache.find(GLOBEX, &ana), Some(Vec::new()), "whose address book is as it was");
        cache.remember(began, ACME, &ana, &Found::NobodyAtAll);
        assert_eq!(cache.find(ACME, &ana), None);
        cache.forget_all();
        assert_eq!(cache.find(GLOBEX, &ana), None);
    }

    #[test]
    fn one_beyond_a_bound_begins_anew() {
        let cache = ContactCache::default();
        let many: Vec<String> = (1..MAX_REMEMBERED).map(|n| format!("a{n}@client.test")).collect();
        let many = Names { addresses: many, numbers: Vec::new() };
        cache.remember(0, ACME, &many, &Found::TheseAlone(&[]));
        assert!(cache.find(ACME, &many).is_some(), "as many as there may be, with their book");
        cache.remember(0, ACME, &names(&["one@more.test"]), &Found::TheseAlone(&[]));
        assert_eq!(cache.find(ACME, &many), None);
        let large = contact("ana@client.test", &"x".repeat(MAX_BYTES));
        let ana = names(&["ana@client.test"]);
        cache.remember(0, ACME, &ana, &Found::These(&[large]));
        assert!(cache.find(ACME, &ana).is_some());
        cache.remember(0, GLOBEX, &ana, &Found::NobodyAtAll);
        assert_eq!(cache.find(ACME, &ana), None);
    }

    #[test]
    fn what_is_forgotten_makes_room() {
        let cache = ContactCache::default();
        let ana = names(&["ana@client.test"]);
        for _ in 0..3 {
            let large = contact("ana@client.test", &"x".repeat(MAX_BYTES));
            cache.remember(cache.changes(), ACME, &ana, &Found::These(&[large]));
            cache.forget(ACME);
        }
        let state = cache.read();
        assert_eq!((state.names, state.bytes), (0, 0));
    }
}

//! What publishing asks again and again: who stands behind an owner, and which names are agents.
//!
//! A publish that finds its answers here needs no read before it goes to the writer. An answer is valid
//! for one *epoch*: the commit of any change to identities, mailboxes or numbers begins a new one before
//! that change is answered, and a read that began before it may not fill the cache after it. The accepting
//! transaction looks at the owner once more, so that the cache can never let an event in that it should
//! not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::facts::Names;
use crate::domain::number::OrganizationNo;
use crate::domain::owner::{KnownAgent, Owner, OwnerFacts};

/// Owners that are remembered at most, and so many names; beyond, what was remembered is forgotten.
const MAX_REMEMBERED: usize = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FactCache {
    epoch: Arc<AtomicU64>,
    state: RwLock<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    epoch: u64,
    owners: HashMap<(OrganizationNo, Owner), Arc<OwnerFacts>>,
    agents: HashMap<OrganizationNo, HashMap<String, Option<KnownAgent>>>,
    names: usize,
}

impl FactCache {
    /// A cache whose epochs are counted here.
    pub(super) fn new(epoch: Arc<AtomicU64>) -> Self {
        Self { epoch, state: RwLock::default() }
    }

    /// The epoch now; a read that fills the cache asks before it begins.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// The answer to a publish, when all of it is known.
    pub(super) fn find(
        &self,
        organization: OrganizationNo,
        owner: Owner,
        names: &Names,
    ) -> Option<(Arc<OwnerFacts>, Vec<KnownAgent>)> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.epoch != self.epoch() {
            return None;
        }
        let facts = state.owners.get(&(organization, owner))?.clone();
        let mut agents = Vec::new();
        if !names.is_empty() {
            let known = state.agents.get(&organization)?;
            for name in names.iter() {
                agents.extend(known.get(name)?.clone());
            }
        }
        Some((facts, agents))
    }

    /// Remembers what a read that began in `epoch` found, unless a change came between.
    pub(super) fn remember(
        &self,
        epoch: u64,
        organization: OrganizationNo,
        facts: &Arc<OwnerFacts>,
        names: &Names,
        found: &[KnownAgent],
    ) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if epoch != self.epoch() {
            return;
        }
        if state.epoch != epoch
            || state.owners.len() >= MAX_REMEMBERED
            || state.names + names.len() > MAX_REMEMBERED
        {
            *state = Remembered { epoch, ..Remembered::default() };
        }
        state.owners.insert((organization, facts.owner), facts.clone());
        let Remembered { agents, names: count, .. } = &mut *state;
        let known = agents.entry(organization).or_default();
        for name in names.iter() {
            let agent = found.iter().find(|agent| agent.name == *name).cloned();
            *count += usize::from(known.insert(name.clone(), agent).is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ACME: OrganizationNo = OrganizationNo(1);

    fn owner(n: u128) -> Owner {
        Owner::Mailbox(Uuid::from_u128(n).into())
    }

    fn facts(n: u128) -> Arc<OwnerFacts> {
        Arc::new(OwnerFacts {
            owner: owner(n),
            identity_id: Uuid::from_u128(9).into(),
            agent_handle: "help".into(),
            mailbox: None,
            phone_number: None,
        })
    }

    fn names(addresses: &[&str]) -> Names {
        Names { addresses: addresses.iter().map(ToString::to_string).collect(), numbers: Vec::new() }
    }

    fn agent(name: &str) -> KnownAgent {
        KnownAgent {
            name: name.into(),
            identity: Uuid::from_u128(9).into(),
            agent_handle: "help".into(),
            display_name: None,
        }
    }

    #[test]
    fn answers_only_when_all_of_it_is_known() {
        let cache = FactCache::default();
        let (known, unknown) = (names(&["help@mail.test", "ana@client.test"]), names(&["lee@client.test"]));
        assert!(cache.find(ACME, owner(1), &known).is_none());
        cache.remember(cache.epoch(), ACME, &facts(1), &known, &[agent("help@mail.test")]);
        let (found, agents) = cache.find(ACME, owner(1), &known).expect("known");
        assert_eq!((found.agent_handle.as_str(), agents.len()), ("help", 1), "and that Ana is nobody");
        assert!(cache.find(ACME, owner(1), &unknown).is_none());
        assert!(cache.find(ACME, owner(2), &known).is_none());
        assert!(cache.find(OrganizationNo(2), owner(1), &known).is_none(), "tenants never meet");
        assert!(cache.find(ACME, owner(1), &Names::default()).is_some());
    }

    #[test]
    fn a_change_forgets_everything_and_stale_reads_do_not_come_back() {
        let epoch = Arc::new(AtomicU64::new(0));
        let cache = FactCache::new(epoch.clone());
        let began = cache.epoch();
        cache.remember(began, ACME, &facts(1), &Names::default(), &[]);
        epoch.fetch_add(1, Ordering::SeqCst);
        assert!(cache.find(ACME, owner(1), &Names::default()).is_none());
        cache.remember(began, ACME, &facts(1), &Names::default(), &[]);
        assert!(cache.find(ACME, owner(1), &Names::default()).is_none());
        cache.remember(cache.epoch(), ACME, &facts(1), &Names::default(), &[]);
        assert!(cache.find(ACME, owner(1), &Names::default()).is_some());
    }

    #[test]
    fn one_beyond_the_bound_begins_anew() {
        let cache = FactCache::default();
        for n in 0..MAX_REMEMBERED as u128 {
            cache.remember(0, ACME, &facts(n), &Names::default(), &[]);
        }
        assert!(cache.find(ACME, owner(0), &Names::default()).is_some());
        cache.remember(0, ACME, &facts(u128::MAX), &Names::default(), &[]);
        assert!(cache.find(ACME, owner(0), &Names::default()).is_none());
        let many: Vec<String> = (0..=MAX_REMEMBERED).map(|n| format!("a{n}@client.test")).collect();
        let many = Names { addresses: many, numbers: Vec::new() };
        cache.remember(0, ACME, &facts(1), &many, &[]);
        let one = names(&["b@client.test"]);
        cache.remember(0, ACME, &facts(1), &one, &[]);
        assert!(cache.find(ACME, owner(1), &many).is_none(), "too many names were forgotten");
        assert!(cache.find(ACME, owner(1), &one).is_some());
    }
}

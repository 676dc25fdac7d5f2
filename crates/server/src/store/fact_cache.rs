//! What publishing asks again and again: who stands behind an owner, and which names are agents.
//!
//! A publish that finds its answers here needs no read before it goes to the writer. An answer is valid
//! for one *epoch*: the commit of any change to identities, mailboxes or numbers begins a new one before
//! that change is answered, and a read that began before it may not fill the cache after it. The accepting
//! transaction looks at the owner once more, so that the cache can never let an event in that it should
//! not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::facts::Names;
use crate::domain::number::OrganizationNo;
use crate::domain::owner::{KnownAgent, Owner, OwnerFacts};

/// Owners that are remembered at most, and so many names; beyond, what was remembered is forgotten.
const MAX_REMEMBERED: usize = 20_000;
/// The agents of an organisation that have no more addresses and numbers than this are remembered whole.
pub(super) const MAX_WHOLE: usize = 100;

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
    agents: HashMap<OrganizationNo, Known>,
    names: usize,
}

/// What is known of an organisation's names.
#[derive(Debug)]
enum Known {
    /// All that are agents.
    All(HashMap<String, KnownAgent>),
    /// Whether these are agents.
    Some(HashMap<String, Option<KnownAgent>>),
}

impl Known {
    /// As how many it counts.
    fn names(&self) -> usize {
        match self {
            Self::All(all) => all.len() + 1,
            Self::Some(some) => some.len(),
        }
    }
}

/// What a read found of an organisation's agents.
#[derive(Debug)]
pub(super) enum Agents {
    /// All of them.
    All(Vec<KnownAgent>),
    /// Those of the names that were looked for; there are many.
    These(Vec<KnownAgent>),
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

    /// What is known about an owner, if it is.
    pub(super) fn owner(&self, organization: OrganizationNo, owner: Owner) -> Option<Arc<OwnerFacts>> {
        self.read()?.owners.get(&(organization, owner)).cloned()
    }

    /// Which of these names are agents, in the order given, when all of it is known.
    pub(super) fn agents(&self, organization: OrganizationNo, names: &Names) -> Option<Vec<KnownAgent>> {
        if names.is_empty() {
            return Some(Vec::new());
        }
        let state = self.read()?;
        match state.agents.get(&organization)? {
            Known::All(all) => Some(names.iter().filter_map(|name| all.get(name).cloned()).collect()),
            Known::Some(some) => {
                let mut agents = Vec::new();
                for name in names.iter() {
                    agents.extend(some.get(name)?.clone());
                }
                Some(agents)
            }
        }
    }

    /// Whether the organisation is known to have too many agents to be remembered whole.
    pub(super) fn has_many_agents(&self, organization: OrganizationNo) -> bool {
        self.read().is_some_and(|state| matches!(state.agents.get(&organization), Some(Known::Some(_))))
    }

    /// Remembers an owner that a read found which began in `epoch`, unless a change came between.
    pub(super) fn remember_owner(&self, epoch: u64, organization: OrganizationNo, facts: &Arc<OwnerFacts>) {
        let Some(mut state) = self.write(epoch, 0) else { return };
        state.owners.insert((organization, facts.owner), facts.clone());
    }

    /// Remembers which of these names are agents; the same way.
    pub(super) fn remember_agents(
        &self,
        epoch: u64,
        organization: OrganizationNo,
        names: &Names,
        found: Agents,
    ) {
        let more = if let Agents::All(all) = &found { all.len() + 1 } else { names.len() };
        let Some(mut state) = self.write(epoch, more) else { return };
        let Remembered { agents, names: count, .. } = &mut *state;
        match found {
            Agents::All(all) => {
                let all = all.into_iter().map(|agent| (agent.name.clone(), agent)).collect();
                let before = agents.insert(organization, Known::All(all));
                // Two that looked at once find the same.
                *count = (*count + more).saturating_sub(before.map_or(0, |before| before.names()));
            }
            Agents::These(these) => {
                let known = agents.entry(organization).or_insert_with(|| Known::Some(HashMap::new()));
                if let Known::All(_) = known {
                    *count = count.saturating_sub(known.names());
                    *known = Known::Some(HashMap::new());
                }
                let Known::Some(some) = known else { return };
                for name in names.iter() {
                    let agent = these.iter().find(|agent| agent.name == *name).cloned();
                    *count += usize::from(some.insert(name.clone(), agent).is_none());
                }
            }
        }
    }

    /// What is remembered, while it holds.
    fn read(&self) -> Option<RwLockReadGuard<'_, Remembered>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        (state.epoch == self.epoch()).then_some(state)
    }

    /// What is remembered, with room for one owner and so many names; `None` after a change.
    fn write(&self, epoch: u64, names: usize) -> Option<RwLockWriteGuard<'_, Remembered>> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if epoch != self.epoch() {
            return None;
        }
        let is_full = state.owners.len() >= MAX_REMEMBERED || state.names + names > MAX_REMEMBERED;
        if state.epoch != epoch || is_full {
            *state = Remembered { epoch, ..Remembered::default() };
        }
        Some(state)
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

    fn these(cache: &FactCache, epoch: u64, names: &Names, found: &[KnownAgent]) {
        cache.remember_agents(epoch, ACME, names, Agents::These(found.to_vec()));
    }

    #[test]
    fn answers_only_when_all_of_it_is_known() {
        let cache = FactCache::default();
        let (known, unknown) = (names(&["help@mail.test", "ana@client.test"]), names(&["lee@client.test"]));
        assert!(cache.agents(ACME, &known).is_none() && !cache.has_many_agents(ACME));
        these(&cache, cache.epoch(), &known, &[agent("help@mail.test")]);
        let found = cache.agents(ACME, &known).expect("known");
        assert_eq!(found.len(), 1, "and that Ana is nobody");
        assert!(cache.agents(ACME, &unknown).is_none() && cache.has_many_agents(ACME));
        assert!(cache.agents(OrganizationNo(2), &known).is_none(), "tenants never meet");
        assert!(cache.agents(OrganizationNo(2), &Names::default()).is_some(), "nobody is nobody");
        cache.remember_owner(cache.epoch(), ACME, &facts(1));
        assert_eq!(cache.owner(ACME, owner(1)).expect("known").agent_handle, "help");
        assert!(cache.owner(ACME, owner(2)).is_none() && cache.owner(OrganizationNo(2), owner(1)).is_none());
    }

    #[test]
    fn whose_agents_are_known_whole_has_an_answer_for_every_name() {
        let cache = FactCache::default();
        let nobody = names(&["never@seen.test"]);
        cache.remember_agents(0, ACME, &nobody, Agents::All(vec![agent("help@mail.test")]));
        assert_eq!(cache.agents(ACME, &names(&["other@seen.test"])), Some(Vec::new()));
        assert_eq!(cache.agents(ACME, &names(&["help@mail.test"])).expect("known").len(), 1);
        assert!(!cache.has_many_agents(ACME));
    }

    #[test]
    fn a_change_forgets_everything_and_stale_reads_do_not_come_back() {
        let epoch = Arc::new(AtomicU64::new(0));
        let cache = FactCache::new(epoch.clone());
        let began = cache.epoch();
        let ana = names(&["ana@client.test"]);
        let remember = |began| {
            cache.remember_owner(began, ACME, &facts(1));
            cache.remember_agents(began, ACME, &ana, Agents::All(Vec::new()));
        };
        let knows = || (cache.owner(ACME, owner(1)).is_some(), cache.agents(ACME, &ana).is_some());
        remember(began);
        assert_eq!(knows(), (true, true));
        epoch.fetch_add(1, Ordering::SeqCst);
        assert_eq!(knows(), (false, false));
        remember(began);
        assert_eq!(knows(), (false, false));
        remember(cache.epoch());
        assert_eq!(knows(), (true, true));
    }

    #[test]
    fn one_beyond_the_bound_begins_anew() {
        let cache = FactCache::default();
        for n in 0..MAX_REMEMBERED as u128 {
            cache.remember_owner(0, ACME, &facts(n));
        }
        assert!(cache.owner(ACME, owner(0)).is_some());
        cache.remember_owner(0, ACME, &facts(u128::MAX));
        assert!(cache.owner(ACME, owner(0)).is_none());
        let many: Vec<String> = (0..=MAX_REMEMBERED).map(|n| format!("a{n}@client.test")).collect();
        let many = Names { addresses: many, numbers: Vec::new() };
        these(&cache, 0, &many, &[]);
        let one = names(&["b@client.test"]);
        these(&cache, 0, &one, &[]);
        assert!(cache.agents(ACME, &many).is_none(), "too many names were forgotten");
        assert!(cache.agents(ACME, &one).is_some());
    }
}

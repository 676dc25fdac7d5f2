//! How many calls may be asked about at the same time: in all, and of one organisation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::call::Bounds;
use crate::domain::number::OrganizationNo;

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    bounds: Bounds,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    organizations: HashMap<OrganizationNo, usize>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// All are taken.
    Full,
    /// The organisation has as many as it may.
    OrganizationFull,
}

/// One place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    organization: OrganizationNo,
}

impl Places {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, taken: Mutex::default() }
    }

    pub(super) fn take(self: &Arc<Self>, organization: OrganizationNo) -> Result<Place, NoPlace> {
        let mut taken = self.lock();
        let own = taken.organizations.get(&organization).copied().unwrap_or(0);
        if own >= self.bounds.of_one() {
            return Err(NoPlace::OrganizationFull);
        }
        if taken.all >= self.bounds.total {
            return Err(NoPlace::Full);
        }
        taken.all += 1;
        taken.organizations.insert(organization, own + 1);
        Ok(Place { places: self.clone(), organization })
    }

    pub(super) fn taken(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(own) = taken.organizations.get_mut(&self.organization) {
            *own -= 1;
            if *own == 0 {
                taken.organizations.remove(&self.organization);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: OrganizationNo = OrganizationNo(1);
    const GLOBEX: OrganizationNo = OrganizationNo(2);

    #[test]
    fn one_past_each_bound_is_refused_until_a_place_is_free() {
        let places = Arc::new(Places::new(Bounds { total: 3, organization_percent: 67, unwritten: 1 }));
        let first = places.take(ACME).expect("free");
        let second = places.take(ACME).expect("free");
        assert_eq!(places.take(ACME).err(), Some(NoPlace::OrganizationFull));
        let third = places.take(GLOBEX).expect("the others have places left");
        assert_eq!(places.take(GLOBEX).err(), Some(NoPlace::Full));
        assert_eq!(places.taken(), 3);
        drop(first);
        drop(places.take(GLOBEX).expect("free again"));
        drop((second, third));
        assert_eq!(places.taken(), 0);
        assert!(places.lock().organizations.is_empty(), "nothing is kept of who has none");
    }

    #[test]
    fn a_small_part_is_one_place() {
        let places = Arc::new(Places::new(Bounds { total: 5, organization_percent: 1, unwritten: 1 }));
        let place = places.take(ACME).expect("one");
        assert_eq!(places.take(ACME).err(), Some(NoPlace::OrganizationFull));
        drop(place);
    }
}

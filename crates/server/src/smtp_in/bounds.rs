//! What all sessions share: places for connections, memory for messages. Both are given back by
//! `Drop`, so a session that panics or is cut off leaks nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inkhook_smtp::Goodbye;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SmtpConfig;

/// Bits of an IPv6 address that name one client: a network of one customer.
const IPV6_CLIENT_BITS: u32 = 64;

/// What is in use, and what may be.
#[derive(Clone, Debug)]
pub struct Usage {
    places: Arc<Places>,
    memory: Arc<Semaphore>,
    max_data_bytes: usize,
}

#[derive(Debug)]
struct Places {
    max: usize,
    max_per_client: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

impl Usage {
    pub(super) fn new(config: &SmtpConfig) -> Self {
        let max_data_bytes = config.max_data_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Places {
                max: config.max_connections,
                max_per_client: config.max_connections_per_client,
                taken: Mutex::default(),
            }),
            memory: Arc::new(Semaphore::new(max_data_bytes)),
            max_data_bytes,
        }
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.places.taken().all
    }

    /// Bytes set aside for messages on their way in.
    pub fn data_bytes(&self) -> usize {
        self.max_data_bytes - self.memory.available_permits()
    }

    /// A place among the connections, held until dropped.
    pub(super) fn enter(&self, address: IpAddr) -> Result<Place, Goodbye> {
        let client = client_of(address);
        let mut taken = self.places.taken();
        if taken.all >= self.places.max {
            return Err(Goodbye::TooManyConnections);
        }
        let own = taken.by_client.get(&client).copied().unwrap_or_default();
        if own >= self.places.max_per_client {
            return Err(Goodbye::TooManyFromClient);
        }
        taken.by_client.insert(client, own + 1);
        taken.all += 1;
        drop(taken);
        Ok(Place { client, usage: self.clone() })
    }
}

impl Places {
    /// The counters are whole numbers changed in one step, right even after a panic.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    client: IpAddr,
    usage: Usage,
}

impl Place {
    /// Memory for `bytes` more, if there is any.
    pub(super) fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes).ok()?;
        let memory = Arc::clone(&self.usage.memory);
        memory.try_acquire_many_owned(permits).ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.usage.places.taken();
        taken.all -= 1;
        if let Some(own) = taken.by_client.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}

/// An IPv4 address (also one mapped into IPv6) is a client of its own; of IPv6 the network is, as
/// one customer has all of its addresses.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let host_bits = Ipv6Addr::BITS - IPV6_CLIENT_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> host_bits << host_bits))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client() {
        let client = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn what_is_dropped_is_free_again() {
        let usage = Usage::new(&SmtpConfig {
            max_connections: 2,
            max_connections_per_client: 1,
            max_data_bytes: 10,
            ..SmtpConfig::default()
        });
        let enter = |text: &str| usage.enter(text.parse().unwrap());
        let place = enter("192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.1").unwrap_err(), Goodbye::TooManyFromClient);
        let other = enter("192.0.2.2").unwrap();
        assert_eq!(enter("192.0.2.3").unwrap_err(), Goodbye::TooManyConnections);

        let memory = place.reserve(10).unwrap();
        assert!(other.reserve(1).is_none());
        assert_eq!(usage.data_bytes(), 10);
        drop((memory, place));
        assert_eq!((usage.data_bytes(), usage.connections()), (0, 1));
        assert!(other.reserve(11).is_none());
        enter("192.0.2.1").unwrap();
    }
}

//! What the parts of a running server share.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::api::auth::Auth;
use crate::calls::Calls;
use crate::domain::entropy::Entropy;
use crate::domain::time::Clock;
use crate::store::Store;
use crate::wake::Bells;

/// Handed to the API and whatever else serves requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Shared>);

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What an [`App`] shares.
#[derive(Debug)]
pub struct Shared {
    /// Everything durable.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// Wakes the engine.
    pub bells: Bells,
    /// Outbound rules and connections; the API asks it whether a URL may be delivered to.
    pub egress: inkhook_egress::Client,
    /// Decides calls that are coming in.
    pub calls: Calls,
    /// Knows the API keys.
    pub auth: Auth,
    /// What the API needs of the configuration.
    pub settings: ApiSettings,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        entropy: Entropy,
        bells: Bells,
        egress: inkhook_egress::Client,
        calls: Calls,
        settings: ApiSettings,
    ) -> Self {
        let auth = Auth::new(clock.clone(), settings.requests_per_second);
        Self(Arc::new(Shared { store, clock, entropy, bells, egress, calls, auth, settings }))
    }
}

/// The part of the configuration that requests depend on.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Domain of the mailboxes that are made here.
    pub mail_domain: String,
    /// Reads and changes that one key may make a second; the burst is twice that.
    pub requests_per_second: u32,
    /// Everybody who reaches the API may read `/metrics`.
    pub public_metrics: bool,
    /// `/readyz` says `degraded` when a delivery that nothing of its own holds back has been due for longer.
    pub degraded_after: Duration,
    /// This node delivers, and is not well when it does not.
    pub delivers: bool,
    /// Agents may sign up by themselves.
    pub signup: bool,
    /// Proxies that are believed when they say whom a request is from.
    pub trusted_proxies: Vec<IpNet>,
}

//! What the parts of a running server share.

use std::sync::Arc;

use crate::api::auth::Auth;
use crate::domain::entropy::Entropy;
use crate::domain::time::Clock;
use crate::store::Store;
use crate::wake::Bells;

/// Handed to the API and whatever else serves requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// Everything durable.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// Wakes the engine.
    pub bells: Bells,
    /// Knows the API keys.
    pub auth: Auth,
    /// What the API needs of the configuration.
    pub settings: Arc<ApiSettings>,
}

impl App {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, clock: Clock, entropy: Entropy, bells: Bells, settings: ApiSettings) -> Self {
        let auth = Auth::new(clock.clone(), settings.requests_per_second);
        Self { store, clock, entropy, bells, auth, settings: Arc::new(settings) }
    }
}

/// The part of the configuration that requests depend on.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Domain of the mailboxes that are made here.
    pub mail_domain: String,
    /// Reads and changes that one key may make a second; the burst is twice that.
    pub requests_per_second: u32,
}

//! The engine: claims what is due, sends it, settles it.
//!
//! Polling is the truth; a bell only makes it sooner. The pump refills each slot as it frees, so no
//! delivery waits for another's receiver. Nothing is held here that a restart would miss: a claim is a
//! row, and a retry is a later due time in it.

pub mod alerts;
pub mod clock;
mod confirmed;
mod context;
mod first_byte;
pub mod janitor;
pub mod nodes;
pub mod order;
pub mod pump;
pub mod recover;

use std::time::Duration;

use crate::domain::context::BUILD_LIMIT;
use crate::domain::entropy::Entropy;
use crate::domain::generations::Generations;
use crate::domain::retry::RetrySchedule;
use crate::domain::slots::Bounds;
use crate::domain::time::Clock;
use crate::store::Store;
use crate::wake::Bells;

use std::sync::Arc;

/// What the engine is built from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where deliveries come from and go back to.
    pub store: Store,
    /// Outbound connections.
    pub egress: inkhook_egress::Client,
    /// Asked before each first byte.
    pub generations: Arc<Generations>,
    /// Time.
    pub clock: Clock,
    /// Jitter and ids.
    pub entropy: Entropy,
    /// Rung and heard.
    pub bells: Bells,
    /// See there.
    pub settings: EngineSettings,
}

/// How the engine behaves.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// How many attempts may be under way, and for whom.
    pub bounds: Bounds,
    /// A whole attempt, the answer's body included.
    pub attempt_timeout: Duration,
    /// An attempt that somebody waits for: a replay.
    pub manual_timeout: Duration,
    /// The waits between attempts.
    pub retry_schedule: RetrySchedule,
    /// What a context may take to be read; what has not been read by then is unavailable.
    pub context_limit: Duration,
    /// Looks at the queue at least this often.
    pub poll: Duration,
    /// Keeps answers from addresses that only the operator opened.
    pub keep_inside_bodies: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            attempt_timeout: Duration::from_secs(30),
            manual_timeout: Duration::from_secs(25),
            retry_schedule: RetrySchedule::default(),
            context_limit: BUILD_LIMIT,
            poll: Duration::from_secs(1),
            keep_inside_bodies: false,
        }
    }
}

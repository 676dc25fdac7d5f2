//! The janitor: writes what deletes and narrowed subscriptions left to be written, forgets what was
//! The janitor: writes what deletes and narrowed subscriptions left to be written, forgets what was
//! remembered only for a time, deletes agents that signed up and for whom nobody vouched, puts earlier events where
//! contexts find them, deletes history that is old enough, and gives its space back. [`held`] ends what paused
//! subscriptions held for too long; a sweep looks whether the queue's heads tell the truth.
//!
//! Chunk by chunk, each a transaction behind everything else that waits for the writer. Nothing depends on
//! when it comes: what is cancelled or expired has been so for every reader since it happened.

pub mod held;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::number::OrganizationNo;
use crate::domain::retention::Retention;
use crate::domain::time::{Clock, TimeMs};
use crate::store::Store;
use crate::store::cancel::Tidied;
use crate::store::conversations::WalkPlace;
use crate::store::error::StoreError;
use crate::store::sweep::SweepPlace;
use crate::wake::Bells;

/// Looks for work at least this often; a bell makes it sooner.
const POLL: Duration = Duration::from_secs(5);
/// Queue heads are looked at this often.
const SWEEP: Duration = Duration::from_secs(30);

/// Looks for old history this often.
const KEEP_HOUSE_EVERY: Duration = Duration::from_mins(1);
/// Walks over all conversations this often.
const WALK_EVERY: Duration = Duration::from_hours(24);

/// When the janitor did last what it does seldom. A new one has done nothing yet.
#[derive(Debug, Default)]
pub struct House {
    kept: Option<TimeMs>,
    walked: Option<TimeMs>,
}

/// How long things stay.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What paused subscriptions hold.
    pub hold: Duration,
    /// What has ended, in days; an organisation may have its own.
    pub retention_days: u32,
}

/// Tidies up until the soft stop.
pub async fn run(store: Store, clock: Clock, rules: Rules, bells: Bells, soft: CancellationToken) {
    let mut bell = bells.tidy.listen();
    let mut house = House::default();
    let mut sweep_at = clock.schedule().after(SWEEP);
    while !soft.is_cancelled() {
        let tidied = async {
            tidy_up(&store, &clock, &soft).await?;
            held::end_held(&store, &clock, rules.hold, &soft).await?;
            if sweep_at <= clock.schedule() {
                sweep(&store, &soft).await?;
                sweep_at = clock.schedule().after(SWEEP);
            }
            house.keep(&store, &clock, rules.retention_days, &soft).await
        };
        match tidied.await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "tidying up failed"),
        }
        tokio::select! {
            () = soft.cancelled() => {}
            () = bell.rung() => {}
            () = pause() => {}
        }
    }
}

/// Chunk after chunk until nothing is left; tests call it by hand.
///
/// # Errors
/// The store could not be written.
pub async fn tidy_up(store: &Store, clock: &Clock, soft: &CancellationToken) -> Result<(), StoreError> {
    while !soft.is_cancelled() && store.count_backlog_chunk().await? == Tidied::More {}
    while !soft.is_cancelled() && store.cancel_chunk().await? == Tidied::More {}
    while !soft.is_cancelled() && store.forget_chunk(clock.wall()).await? == Tidied::More {}
    while !soft.is_cancelled() && store.context_history_chunk(clock.wall()).await? == Tidied::More {}
    Ok(())
}

/// Looks once at every queue head.
///
/// # Errors
/// The store could not be read or written.
pub async fn sweep(store: &Store, soft: &CancellationToken) -> Result<(), StoreError> {
    let mut place = Some(SweepPlace::default());
    while let Some(from) = place.filter(|_| !soft.is_cancelled()) {
        place = store.sweep_heads(from).await?;
    }
    Ok(())
}

impl House {
    /// Deletes what is old, if it is time to look: older than `days`, or than an organisation's own. Tests
    /// call it by hand.
    ///
    /// # Errors
    /// The store could not be read or written.
    pub async fn keep(
        &mut self,
        store: &Store,
        clock: &Clock,
        days: u32,
        soft: &CancellationToken,
    ) -> Result<(), StoreError> {
        let now = clock.schedule();
        if self.kept.is_some_and(|kept| now.since(kept) < KEEP_HOUSE_EVERY) {
            return Ok(());
        }
        self.kept = Some(now);
        let retention = Retention { days, own_days: store.own_retention_days().await? };
        delete_history(store, clock, &retention, soft).await?;
        while !soft.is_cancelled() && store.expire_signups_chunk(calendar(clock)).await? == Tidied::More {}
        while !soft.is_cancelled() && store.forget_names_chunk(clock.wall()).await? == Tidied::More {}
        while !soft.is_cancelled() && store.forget_mailbox_chunk().await? == Tidied::More {}
        if self.walked.is_none_or(|walked| now.since(walked) >= WALK_EVERY) {
            self.walked = Some(now);
            walk_conversations(store, retention.longest_cutoff(calendar(clock)), soft).await?;
        }
        while !soft.is_cancelled() && store.vacuum_chunk().await? == Tidied::More {}
        Ok(())
    }
}

/// Days that nobody keeps any longer. Then one organisation after the other: its attempts, then its events and their
/// deliveries, as far as they do not go by the day.
async fn delete_history(
    store: &Store,
    clock: &Clock,
    retention: &Retention,
    soft: &CancellationToken,
) -> Result<(), StoreError> {
    let longest = retention.longest_cutoff(calendar(clock));
    let by_the_day = store.expire_days(longest).await?;
    let mut after = OrganizationNo(0);
    while !soft.is_cancelled()
        && let Some(organization) = store.organization_with_history(after).await?
    {
        let own = retention.cutoff(organization, calendar(clock));
        let cutoff = match by_the_day {
            Some(from) if own <= longest => own.min(from.before(Duration::from_millis(1))),
            _ => own,
        };
        while !soft.is_cancelled() && store.expire_attempts_chunk(organization, cutoff).await? == Tidied::More
        {
        }
        while !soft.is_cancelled() && store.expire_events_chunk(organization, cutoff).await? == Tidied::More {
        }
        after = organization;
    }
    while !soft.is_cancelled() && store.expire_late_chunk(retention, calendar(clock)).await? == Tidied::More {
    }
    Ok(())
}

/// What time it is for deciding what is old: a wall clock that jumps ahead must not delete a month.
fn calendar(clock: &Clock) -> TimeMs {
    clock.wall().min(clock.schedule())
}

async fn walk_conversations(
    store: &Store,
    cutoff: TimeMs,
    soft: &CancellationToken,
) -> Result<(), StoreError> {
    let mut place = Some(WalkPlace::default());
    while !soft.is_cancelled()
        && let Some(next) = place
    {
        place = store.forget_references_step(next, cutoff).await?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait, always beside a bell")]
async fn pause() {
    tokio::time::sleep(POLL).await;
}

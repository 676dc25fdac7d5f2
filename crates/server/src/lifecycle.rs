//! Starting tasks and ending them: two tokens, a tracker and a deadline.
//!
//! *Soft*: take nothing new, finish what is under way. *Hard*: drop it. A task that ends on its own before
//! the soft stop is a fault: it trips the soft token, and the process exits with an error.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tokens and the tasks that listen to them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Take nothing new.
    pub soft: CancellationToken,
    /// Drop everything.
    pub hard: CancellationToken,
    tracker: TaskTracker,
    failed: Arc<AtomicBool>,
}

impl Lifecycle {
    /// Runs a task that is to live until the soft stop.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let lifecycle = self.clone();
        self.tracker.spawn(async move {
            let ended = tokio::spawn(task).await;
            if let Err(error) = &ended {
                tracing::error!(task = name, %error, "a task died");
            }
            if ended.is_err() || !lifecycle.soft.is_cancelled() {
                lifecycle.fail(name);
            }
        });
    }

    /// Something that must not fail did: stop, and do not pretend that all is well.
    pub fn fail(&self, what: &'static str) {
        tracing::error!(what, "stopping because of a fault");
        self.failed.store(true, Ordering::SeqCst);
        self.soft.cancel();
    }

    /// Whether the stop was a fault's.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// After the soft stop: waits until every task has ended, cutting them off after `deadline` or when
    /// `hurry` resolves. Tells whether they all ended by themselves.
    pub async fn drain(&self, deadline: Duration, hurry: impl Future<Output = ()>) -> bool {
        self.soft.cancel();
        self.tracker.close();
        let in_time = tokio::select! {
            () = self.tracker.wait() => return true,
            ended = tokio::time::timeout(deadline, hurry) => ended.is_ok(),
        };
        tracing::warn!(hurried = in_time, "cutting off what is still under way");
        self.hard.cancel();
        self.tracker.wait().await;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_early_is_a_fault() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("short", async {});
        lifecycle.soft.cancelled().await;
        assert!(lifecycle.failed());
    }

    #[tokio::test]
    async fn tasks_that_listen_end_softly() {
        let lifecycle = Lifecycle::default();
        let soft = lifecycle.soft.clone();
        lifecycle.spawn("good", async move { soft.cancelled().await });
        assert!(lifecycle.drain(Duration::from_secs(30), std::future::pending()).await);
        assert!(!lifecycle.failed());
    }

    #[tokio::test]
    async fn a_task_that_does_not_listen_is_cut_off() {
        let lifecycle = Lifecycle::default();
        let hard = lifecycle.hard.clone();
        lifecycle.spawn("stubborn", async move { hard.cancelled().await });
        assert!(!lifecycle.drain(Duration::from_millis(1), std::future::pending()).await);
    }

    #[tokio::test]
    async fn a_second_signal_hurries() {
        let lifecycle = Lifecycle::default();
        let hard = lifecycle.hard.clone();
        lifecycle.spawn("stubborn", async move { hard.cancelled().await });
        assert!(!lifecycle.drain(Duration::from_mins(10), std::future::ready(())).await);
    }
}

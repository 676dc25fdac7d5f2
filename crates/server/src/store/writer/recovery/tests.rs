use std::sync::Arc;

use crate::domain::entropy::Entropy;
use crate::domain::generations::Generations;
use crate::domain::time::Clock;
use crate::store::faults::Faults;
use crate::store::seal::Sealer;
use crate::store::{Store, StoreError, StoreLimits, StoreOptions};

use super::*;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test waits for what must not.
const A_MOMENT: Duration = Duration::from_millis(20);

fn open(directory: &tempfile::TempDir) -> Store {
    let options = StoreOptions {
        data_dir: directory.path().into(),
        database: None,
        sealer: Sealer::new(&[7; 32]),
        boot: 1,
        clock: Clock::system(),
        entropy: Entropy::seeded(1),
        generations: Arc::new(Generations::default()),
        faults: Faults::default(),
        limits: StoreLimits::default(),
    };
    Store::open(options).expect("the store opens")
}

#[tokio::test]
async fn a_writer_that_panicked_has_failed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = open(&directory);
    let answer = store.change::<(), _>(|_| panic!("a bug")).await;
    assert!(matches!(answer, Err(StoreError::Closed)), "{answer:?}");
    tokio::time::timeout(PATIENCE, store.failed()).await.expect("the process is told to end");
}

#[tokio::test]
async fn a_writer_that_was_closed_has_not() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = open(&directory);
    store.close().await;
    assert!(tokio::time::timeout(A_MOMENT, store.failed()).await.is_err());
}

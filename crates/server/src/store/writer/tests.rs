use super::*;
use crate::domain::entropy::Entropy;
use crate::domain::time::{Clock, TimeMs};
use crate::store::faults::Faults;
use crate::store::rows::plan;
use crate::store::seal::Sealer;
use crate::store::{StoreLimits, migrate};

fn touch(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.touch()
}

#[tokio::test]
async fn a_panic_answers_whoever_waits_and_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let mut connection = migrate::open_writer(&crate::store::database_path(directory.path())).unwrap();
    migrate::migrate(&mut connection).unwrap();
    let clock = Clock::manual(TimeMs(1));
    let watch = Watch::new(clock.clone(), Arc::default());
    let options = StoreOptions {
        data_dir: directory.path().into(),
        database: None,
        sealer: Sealer::new(&[7; 32]),
        boot: 1,
        clock,
        entropy: Entropy::seeded(1),
        generations: Arc::default(),
        faults: Faults::default(),
        limits: StoreLimits::default(),
    };
    let writer = Writer::start(connection.into(), options, (watch, None, None)).unwrap();
    let (broken, beside) =
        tokio::join!(writer.change(|_| -> Result<(), StoreError> { panic!("a bug") }), writer.change(touch));
    assert!(matches!(broken, Err(StoreError::Closed)), "{broken:?}");
    assert!(beside.is_ok() || matches!(beside, Err(StoreError::Closed)), "{beside:?}");
    writer.failed().await;
    assert!(matches!(writer.change(touch).await, Err(StoreError::Closed)));
    writer.close().await;
}

#[test]
fn acceptance_numbers_go_on_after_those_that_settings_count_from() {
    let connection = plan::database();
    let last = || numbers::of(&connection).unwrap().1.0;
    assert_eq!(last(), 0);
    connection.execute_batch("PRAGMA foreign_keys = 0").unwrap();
    connection.execute_batch("INSERT INTO subscription_types VALUES (1, 1, 41)").unwrap();
    assert_eq!(last(), 41);
    let ordered = "INSERT INTO subscriptions (id, organization_id, identity_id, owner_kind, owner_id, url,
        url_normalized, event_types, status, generation, created_ms, updated_ms, ordering, ordering_since_seq)
        VALUES (x'', 1, x'', 1, x'', 1, '', '[]', 'active', 1, 0, 0, 'conversation', 42)";
    connection.execute_batch(ordered).unwrap();
    assert_eq!(last(), 42);
    connection.execute_batch("UPDATE subscriptions SET context_since_seq = 43").unwrap();
    assert_eq!(last(), 43);
}

use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::domain::delivery::Class;
use crate::domain::entropy::Entropy;
use crate::domain::generations::Generations;
use crate::domain::time::Clock;
use crate::store::faults::Faults;
use crate::store::rows::plan::{self, STATEMENTS};
use crate::store::seal::Sealer;
use crate::store::settle::AttemptRow;
use crate::store::{Store, StoreLimits, StoreOptions};

const SUBSCRIPTION: SubscriptionNo = SubscriptionNo(1);

fn open(directory: &tempfile::TempDir, clock: &Clock) -> Store {
    let options = StoreOptions {
        data_dir: directory.path().into(),
        database: None,
        sealer: Sealer::new(&[7; 32]),
        boot: 1,
        clock: clock.clone(),
        entropy: Entropy::seeded(1),
        generations: Arc::new(Generations::default()),
        faults: Faults::default(),
        limits: StoreLimits::default(),
    };
    Store::open(options).expect("the store opens")
}

fn row(url: UrlNo) -> QueueRow {
    QueueRow {
        no: DeliveryNo(64),
        organization: OrganizationNo(1),
        subscription: SUBSCRIPTION,
        event: Seq(1),
        event_type: inkhook_wire::event::EventType::MessageReceived,
        class: Class::Live,
        request_id: Uuid::nil().into(),
        due_at: TimeMs::ZERO,
        expires_at: None,
        created_at: TimeMs::ZERO,
        failures: 0,
        attempts: 0,
        unknown: 0,
        maybe_received: false,
        claim_no: 1,
        boot: Some(1),
        claimed_at: None,
        claimed_url: Some(url),
    }
}

fn settlement(recorded: Recorded) -> Settlement {
    let attempt = AttemptRow {
        id: Uuid::nil(),
        recorded,
        status: None,
        error: None,
        response_body: None,
        response_bytes: None,
        duration_ms: None,
        started_at: TimeMs::ZERO,
    };
    let next = match recorded {
        Recorded::Succeeded => Next::End(End::Succeeded),
        _ => Next::Retry { due: TimeMs::ZERO, maybe_received: false },
    };
    Settlement {
        delivery: DeliveryNo(64),
        subscription: SUBSCRIPTION,
        claim_no: 1,
        attempt: Some(attempt),
        next,
        hold_until: None,
    }
}

/// Statements that the health of one settled attempt costs.
async fn cost(store: &Store, recorded: Recorded, url: UrlNo) -> usize {
    let settled = store.change(move |tx| {
        STATEMENTS.set(0);
        settled(tx, &row(url), &settlement(recorded))?;
        Ok(STATEMENTS.get())
    });
    settled.await.expect("settled")
}

#[tokio::test]
async fn a_success_like_the_last_one_costs_no_statement() {
    let (directory, clock) = (tempfile::tempdir().expect("a directory"), Clock::manual(TimeMs(1_000_000)));
    let store = open(&directory, &clock);
    let made = store.change(|tx| {
        tx.execute_batch(
            "INSERT INTO urls VALUES (1, 'a'), (2, 'b');
            INSERT INTO subscriptions (no, id, organization_id, identity_id, owner_kind, owner_id, url,
                url_normalized, event_types, status, generation, created_ms, updated_ms)
            VALUES (1, randomblob(16), 1, x'', 1, x'', 1, 'a', '[]', 'active', 1, 0, 0)",
        )?;
        Ok(())
    });
    made.await.expect("made");
    let (good, bad, here) = (Recorded::Succeeded, Recorded::Failed, UrlNo(1));
    assert_eq!(cost(&store, good, here).await, 2, "read and written");
    for _ in 0..10 {
        assert_eq!(cost(&store, good, here).await, 0);
    }
    clock.advance(WRITE_EVERY);
    assert_eq!(cost(&store, good, here).await, 1, "written once a second");
    assert_eq!(cost(&store, good, here).await, 0);
    assert_eq!(cost(&store, good, UrlNo(2)).await, 0, "sent elsewhere: nothing is said");
    assert_eq!(cost(&store, bad, here).await, 1, "a failure is always written");
    assert_eq!(cost(&store, good, here).await, 1, "and so is what comes after it");
    assert_eq!(cost(&store, Recorded::Unknown, here).await, 0, "nobody knows");
    store.close().await;
}

#[test]
fn a_subscription_is_read_and_written_by_its_number() {
    let nothing: [i64; 16] = [1; 16];
    for (sql, params) in [(READ, 1), (WRITE.one, 16), (GENERATION, 1), (PAUSE, 3)] {
        let plan = plan::of(sql, rusqlite::params_from_iter(&nothing[..params]));
        plan::assert_bounded(&plan);
        assert!(plan[0].contains("INTEGER PRIMARY KEY (rowid=?)"), "{plan:#?}");
    }
}

//! What is remembered only for a time does not stay.

use std::time::Duration;

use inkhook_server::store::cancel::Tidied;
use inkhook_server::store::forget::CHUNK_ROWS;

use crate::support::store::StoreBench;

/// A millisecond less than an `Idempotency-Key` is kept.
const ALMOST: Duration = Duration::from_millis(24 * 3600 * 1000 - 1);

#[tokio::test]
async fn expired_keys_are_removed_in_chunks_and_no_other() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    for n in 0..=CHUNK_ROWS {
        let mut event = bench.mail(help);
        event.idempotency_key = Some(format!("key-{n}"));
        bench.accept(event).await;
    }
    let mut given = bench.mail(help);
    given.id_given = true;
    bench.accept(given).await;
    let remembered = || bench.rows("SELECT count(*) FROM dedupe")[0][0].clone();
    let all = i64::try_from(CHUNK_ROWS).unwrap() + 2;
    let forget = || bench.store().forget_chunk(bench.clock.wall());

    bench.clock.advance(ALMOST);
    assert_eq!((forget().await.unwrap(), remembered()), (Tidied::Nothing, all.into()));
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!((forget().await.unwrap(), remembered()), (Tidied::More, 2.into()));
    assert_eq!((forget().await.unwrap(), remembered()), (Tidied::Nothing, 1.into()), "the id stays");
}

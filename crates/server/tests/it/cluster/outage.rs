//! Everything that became due while nothing was delivered for an hour: three nodes start on it at once, and no URL gets
//! more of it at a time than it may. `INKHOOK_OUTAGE_DELIVERIES` says how much; the figures are printed.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::block_in_place;

use super::world::{NODES, is_there_a_server};
use crate::support::ask::{Api, Mailbox};
use crate::support::books::Books;
use crate::support::invariants;
use crate::support::running::RunningServer;
use crate::support::time::{now, pass, until};

const DELIVERIES: &str = "INKHOOK_OUTAGE_DELIVERIES";
const SHORT: usize = 20_000;
/// As many as an owner may have.
const URLS: usize = 20;
/// How long the receivers take: there is something to run into.
const TAKES: Duration = Duration::from_millis(20);
/// Attempts of a subscription that may be under way in all, and what sharing them among nodes may add.
const BOUND: usize = 64 + NODES;
/// Those of them with which each node begins, until there has been an answer.
const FIRST_BOUND: usize = 4 * NODES;
/// Everything else as it is by default: an attempt may take as long as anybody's.
const SETTINGS: [(&str, &str); 1] = [("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "100000")];
/// Slower than this and something is wrong, however busy the machine is.
const LEAST_PER_SECOND: u64 = 50;

/// What one URL saw.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    under_way: usize,
    most: usize,
    most_before_answer: usize,
    answered: usize,
    first: Option<Instant>,
    /// How many had been answered a second after the first.
    in_first_second: usize,
}

/// A receiver that counts.
#[derive(Debug, Default)]
struct Counter {
    seen: Mutex<Vec<Seen>>,
    requests: Mutex<HashSet<String>>,
}

async fn receive(State(counter): State<Arc<Counter>>, request: Request) -> StatusCode {
    let place: usize = request.uri().path()[1..].parse().expect("a number");
    let id = request.headers().get("x-inkbox-request-id").expect("an id").to_str().expect("text").to_owned();
    // Read to its end, so that the connection can be used again.
    axum::body::to_bytes(request.into_body(), usize::MAX).await.expect("a whole body");
    counter.requests.lock().expect("no panic").insert(id);
    let change = |change: &dyn Fn(&mut Seen)| change(&mut counter.seen.lock().expect("no panic")[place]);
    change(&|seen| {
        seen.under_way += 1;
        seen.most = seen.most.max(seen.under_way);
        seen.first = seen.first.or_else(|| Some(now()));
        if seen.answered == 0 {
            seen.most_before_answer = seen.most;
        }
    });
    pass(TAKES).await;
    change(&|seen| {
        seen.under_way -= 1;
        seen.answered += 1;
        if seen.first.is_some_and(|first| now() - first < Duration::from_secs(1)) {
            seen.in_first_second = seen.answered;
        }
    });
    StatusCode::OK
}

async fn start_receiver() -> (SocketAddr, Arc<Counter>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let counter = Arc::new(Counter { seen: Mutex::new(vec![Seen::default(); URLS]), ..Counter::default() });
    let router = Router::new().fallback(receive).with_state(counter.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, counter)
}

/// Copies one event with its deliveries, which must be the only ones, until so many deliveries are queued: all of the
/// last hour, in blocks of numbers that the sequence gave out.
fn fill(books: &Books, deliveries: usize) {
    let more = deliveries / URLS - 1;
    books.run(&format!(
        "CREATE TABLE blocks AS SELECT place, nextval('acceptance_numbers') AS first
            FROM generate_series(0, {more} / 1024) AS place;
         CREATE TABLE copies AS SELECT CAST(n AS BIGINT) AS n, b.first + n % 1024 AS seq
            FROM blocks b JOIN generate_series(0, {more} - 1) AS n ON n / 1024 = b.place;
         INSERT INTO events (seq, id, organization_id, event_type, owner_kind, owner_id, identity_id, accepted_ms,
            fan_out, payload)
            SELECT c.seq, decode(md5('event' || c.n), 'hex'), e.organization_id, e.event_type, e.owner_kind, e.owner_id,
                e.identity_id, e.accepted_ms - 3600000 + c.n * 3600000 / {more}, e.fan_out, e.payload
            FROM events e, copies c;
         INSERT INTO queue (no, organization_id, subscription, event_seq, event_type, class, request_id, due_ms, created_ms)
            SELECT c.seq * 64 + q.no % 64, q.organization_id, q.subscription, c.seq, q.event_type, q.class,
                decode(md5('delivery' || c.n || ' ' || q.no), 'hex'), 0,
                q.created_ms - 3600000 + c.n * 3600000 / {more}
            FROM queue q, copies c;
         DROP TABLE blocks, copies;
         ANALYZE"
    ));
}

async fn subscribe(api: &Api, receiver: SocketAddr) -> Mailbox {
    let mailbox = api.identity("help").await;
    for place in 0..URLS {
        api.subscribe(&mailbox, &format!("http://{receiver}/{place}"), &["message.received"]).await;
    }
    mailbox
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_due_in_an_hour_is_no_stampede() {
    if !is_there_a_server() {
        return;
    }
    let deliveries = std::env::var(DELIVERIES).ok().map_or(SHORT, |number| number.parse().expect("a number"));
    let (address, counter) = start_receiver().await;
    let mut first = block_in_place(|| RunningServer::start_with(&SETTINGS));
    let url = first.books().url().expect("a server's tables");
    let mailbox = subscribe(&Api { address: first.api, key: first.admin_key.clone() }, address).await;
    // Accepted where nobody delivers.
    first.terminate();
    assert!(block_in_place(|| first.wait_exit()).success());
    let mut accepts = block_in_place(|| first.doing("api"));
    let api = Api { address: accepts.api, key: accepts.admin_key.clone() };
    api.publish(&mailbox, "message.received", "hello").await;
    accepts.terminate();
    assert!(block_in_place(|| accepts.wait_exit()).success());
    block_in_place(|| fill(first.books(), deliveries));

    let began = now();
    let mut nodes: Vec<RunningServer> = block_in_place(|| {
        std::thread::scope(|scope| {
            let starts: Vec<_> = (0..NODES).map(|_| scope.spawn(|| first.beside(url.clone()))).collect();
            starts.into_iter().map(|start| start.join().expect("it starts")).collect()
        })
    });
    let patience = Duration::from_secs(60 + deliveries as u64 / LEAST_PER_SECOND);
    until("all to be delivered", patience, async || {
        (counter.requests.lock().expect("no panic").len() >= deliveries).then_some(())
    })
    .await;
    let took = now() - began;
    for node in &mut nodes {
        node.terminate();
        assert!(block_in_place(|| node.wait_exit()).success(), "{}", node.log());
    }
    // Whatever came again had no answer in time.
    let sql = "SELECT count(*) FROM attempts WHERE outcome <> 1";
    let failed: Vec<i64> = block_in_place(|| first.books().column(sql));
    judge(&counter, deliveries, took, usize::try_from(failed[0]).expect("few"));
    // The tables have become others since anybody counted what is in them.
    block_in_place(|| first.books().run("ANALYZE"));
    assert_eq!(block_in_place(|| invariants::breach(first.books())), None);
    assert_eq!(block_in_place(|| invariants::left_over(first.books())), None);
}

fn judge(counter: &Counter, deliveries: usize, took: Duration, failed: usize) {
    let seen = counter.seen.lock().expect("no panic").clone();
    let most = seen.iter().map(|seen| seen.most).max().expect("URLs");
    let most_before_answer = seen.iter().map(|seen| seen.most_before_answer).max().expect("URLs");
    let in_first_second = seen.iter().map(|seen| seen.in_first_second).max().expect("URLs");
    let millis = took.as_millis().max(1);
    println!(
        "{deliveries} deliveries to {URLS} URLs by {NODES} nodes in {:.1} s, their start included: {} a second\n\
         at one URL at once: {most} at most (bound {BOUND}), {most_before_answer} before its first answer (bound \
         {FIRST_BOUND}); {in_first_second} at most in its first second",
        took.as_secs_f64(),
        deliveries as u128 * 1_000 / millis,
    );
    assert!(most <= BOUND, "{most} at once at one URL");
    assert!(most_before_answer <= FIRST_BOUND, "{most_before_answer} at once before there was an answer");
    let answered: usize = seen.iter().map(|seen| seen.answered).sum();
    assert!(
        answered - deliveries <= failed,
        "{answered} requests for {deliveries} deliveries, {failed} failed"
    );
    assert_eq!(counter.requests.lock().expect("no panic").len(), deliveries, "all of them came");
}

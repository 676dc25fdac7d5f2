//! A receiver that four kinds of subscription point to, and what it saw.
//!
//! `prompt` answers 200 at once, `slow` after a while, `moody` may answer 500 to the first request of a
//! delivery and 200 from then on, `flaky` refuses the first and perhaps the second, with a 500 or a reset of
//! the connection. Whatever else is pointed here is as flaky. Between two refusals some are taken, because a
//! subscription that is failing would wait for minutes between its probes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::dice::Dice;
use crate::support::post::Post;
use crate::support::time::{now, pass};

/// The subscriptions of each mailbox.
pub(super) const MOODS: [&str; 4] = ["prompt", "slow", "moody", "flaky"];
/// Requests of a mailbox and a mood that are taken between two that are refused. Answers of attempts that run side
/// by side overtake each other, so one would not be enough to keep five failures from coming in a row.
const TAKEN_BETWEEN: u32 = 3;
/// What stands for a reset where a status is asked for.
pub(super) const RESET: u16 = 0;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// Place of the mailbox.
    pub(super) mailbox: usize,
    pub(super) mood: String,
    pub(super) request_id: String,
    pub(super) attempt: u32,
    pub(super) says_duplicate: bool,
    pub(super) event: String,
    pub(super) subject: String,
    pub(super) body: Vec<u8>,
    pub(super) is_signed: bool,
    pub(super) at: Instant,
    /// When and with what it was answered; `None` when the sender had gone.
    pub(super) answered: Option<(Instant, u16)>,
}

/// Listens until the test ends.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dice: Dice,
    arrivals: Mutex<Vec<Arrival>>,
    /// How often each delivery was refused.
    refused: Mutex<HashMap<String, u32>>,
    /// Requests of a mailbox and a mood that are to be taken before one is refused again.
    to_take: Mutex<HashMap<(usize, String), u32>>,
    secrets: Mutex<Vec<String>>,
}

impl Receiver {
    pub(super) async fn start(dice: Dice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let shared = Shared {
            dice,
            arrivals: Mutex::default(),
            refused: Mutex::default(),
            to_take: Mutex::default(),
            secrets: Mutex::default(),
        };
        let receiver = Self { address: listener.local_addr().expect("bound"), shared: Arc::new(shared) };
        let shared = receiver.shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(shared.clone(), stream));
            }
        });
        receiver
    }

    pub(super) fn url(&self, mailbox: usize, mood: &str) -> String {
        format!("http://{}/{mailbox}/{mood}", self.address)
    }

    /// The signing key of the next mailbox.
    pub(super) fn add_secret(&self, secret: &str) {
        self.shared.secrets.lock().expect("no panic").push(secret.to_owned());
    }

    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().expect("no panic").clone()
    }

    /// Requests that have arrived and are not answered.
    pub(super) fn open(&self, after: Instant) -> usize {
        let arrivals = self.shared.arrivals.lock().expect("no panic");
        arrivals.iter().filter(|arrival| arrival.at >= after && arrival.answered.is_none()).count()
    }
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    while let Some(post) = Post::read(&mut stream).await {
        let arrival = shared.arrival(&post);
        let status = shared.status(&arrival);
        let is_slow = arrival.mood == "slow";
        let place = {
            let mut arrivals = shared.arrivals.lock().expect("no panic");
            arrivals.push(arrival);
            arrivals.len() - 1
        };
        if is_slow {
            pass(shared.dice.millis(50..400)).await;
        }
        if status == RESET {
            shared.arrivals.lock().expect("no panic")[place].answered = Some((now(), status));
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
            return;
        }
        let answer = format!("HTTP/1.1 {status} It Is\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        shared.arrivals.lock().expect("no panic")[place].answered = Some((now(), status));
    }
}

impl Shared {
    fn arrival(&self, post: &Post) -> Arrival {
        let at = now();
        let mut path = post.path.trim_start_matches('/').split('/');
        let mailbox: usize = path.next().and_then(|place| place.parse().ok()).expect("a mailbox's place");
        let mood = path.next().expect("a mood").to_owned();
        let body = post.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let header = |name| post.header(name).unwrap_or_else(|| panic!("no {name}"));
        let secret = self.secrets.lock().expect("no panic")[mailbox].clone();
        Arrival {
            mailbox,
            mood,
            request_id: header("x-inkbox-request-id").to_owned(),
            attempt: header("inkhook-attempt").parse().expect("a number"),
            says_duplicate: post.header("inkhook-possible-duplicate") == Some("true"),
            event: text(&body["id"]),
            subject: text(&body["data"]["message"]["subject"]),
            body: post.body.clone(),
            is_signed: post.verifies(&secret),
            at,
            answered: None,
        }
    }

    fn status(&self, arrival: &Arrival) -> u16 {
        let is_refused = match &*arrival.mood {
            "prompt" | "slow" => false,
            "moody" => self.refused(arrival) == 0,
            _ => match self.refused(arrival) {
                0 => true,
                1 => self.dice.once_in(2),
                _ => false,
            },
        };
        let place = (arrival.mailbox, arrival.mood.clone());
        let mut to_take = self.to_take.lock().expect("no panic");
        let to_take = to_take.entry(place).or_default();
        if !is_refused || *to_take > 0 {
            *to_take = to_take.saturating_sub(1);
            return 200;
        }
        *to_take = TAKEN_BETWEEN;
        *self.refused.lock().expect("no panic").entry(arrival.request_id.clone()).or_default() += 1;
        if arrival.mood != "moody" && self.dice.once_in(2) { RESET } else { 500 }
    }

    fn refused(&self, arrival: &Arrival) -> u32 {
        self.refused.lock().expect("no panic").get(&arrival.request_id).copied().unwrap_or(0)
    }
}

//! The endpoints of all subscriptions, on one port of loopback. Each request is answered as its
//! subscription's mood says, or held until a step answers it. What happened, in its order, outlives the
//! process that sent it.
//!
//! Everything runs in the sender's own thread, so nothing happens while no step lets it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

use super::step::Answer;
use crate::support::post::Post;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Which subscription, and which of its URLs.
    pub subscription: usize,
    pub url: usize,
    pub token: Option<String>,
    pub request_id: String,
    pub event_id: String,
    pub attempt: u32,
    pub says_duplicate: bool,
    pub body: Vec<u8>,
    /// With the key that is in force.
    pub is_signed: bool,
}

/// One thing that happened here. Arrivals are named by their place among the arrivals.
#[derive(Debug, Clone)]
pub enum Happened {
    Arrived(Arrival),
    Answered(usize, Answer),
}

/// See the module.
#[derive(Debug)]
pub struct Receiver {
    listener: StdListener,
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    happened: Vec<Happened>,
    arrivals: usize,
    moods: HashMap<usize, Answer>,
    key: String,
    /// Requests that wait for a step, oldest first.
    held: Vec<(usize, oneshot::Sender<Answer>)>,
}

impl Receiver {
    pub fn new() -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        Self { address: listener.local_addr().expect("bound"), listener, shared: Arc::default() }
    }

    /// Forgets everything: another schedule begins.
    pub fn reset(&self) {
        *self.shared.state() = State::default();
    }

    /// Listens in the current runtime, for as long as it lasts.
    pub fn serve(&self) {
        // What was connected to an earlier process' end and never accepted was not sent by this one.
        while self.listener.accept().is_ok() {}
        let listener = self.listener.try_clone().expect("a descriptor");
        let listener = TcpListener::from_std(listener).expect("a runtime");
        let shared = self.shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Thousands of schedules would leave a port each in TIME_WAIT.
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
                tokio::spawn(serve(shared.clone(), stream));
            }
        });
    }

    pub fn set_mood(&self, subscription: usize, answer: Answer) {
        self.shared.state().moods.insert(subscription, answer);
    }

    /// The key that signs from now on.
    pub fn set_key(&self, key: &str) {
        key.clone_into(&mut self.shared.state().key);
    }

    /// The requests that are held, oldest first.
    pub fn held(&self) -> Vec<usize> {
        self.shared.state().held.iter().map(|(arrival, _)| *arrival).collect()
    }

    /// Answers what is held at this place.
    pub fn answer(&self, place: usize, answer: Answer) {
        let (_, waiting) = self.shared.state().held.remove(place);
        waiting.send(answer).expect("its connection lives as long as its sender");
    }

    /// The senders of all that is held are gone.
    pub fn let_go(&self) {
        self.shared.state().held.clear();
    }

    /// What happened since the first `seen` things.
    pub fn since(&self, seen: usize) -> Vec<Happened> {
        self.shared.state().happened[seen..].to_vec()
    }

    pub fn happened(&self) -> usize {
        self.shared.state().happened.len()
    }

    /// Resolves once something happened since the last call.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    while let Some(post) = Post::read(&mut stream).await {
        let (place, mood, told) = {
            let mut state = shared.state();
            let arrival = read(&post, &state.key);
            let place = state.arrivals;
            state.arrivals += 1;
            let mood = state.moods.get(&arrival.subscription).copied().unwrap_or(Answer::Good);
            state.happened.push(Happened::Arrived(arrival));
            let (tell, told) = oneshot::channel();
            if mood == Answer::Hold {
                state.held.push((place, tell));
            }
            (place, mood, told)
        };
        shared.changed.notify_one();
        let answer = if mood == Answer::Hold {
            let Ok(answer) = told.await else { return };
            answer
        } else {
            mood
        };
        shared.state().happened.push(Happened::Answered(place, answer));
        shared.changed.notify_one();
        let (status, header) = match answer {
            Answer::Good => (200, String::new()),
            Answer::Bad => (500, String::new()),
            Answer::Gone => (410, String::new()),
            Answer::Busy { wait_s } => (429, format!("Retry-After: {wait_s}\r\n")),
            Answer::Reset | Answer::Hold => return,
        };
        let text = format!("HTTP/1.1 {status} It Is\r\n{header}Content-Length: 0\r\n\r\n");
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn read(post: &Post, key: &str) -> Arrival {
    let mut path = post.path.trim_start_matches('/').split('/');
    let mut number = || path.next().and_then(|place| place.parse().ok()).expect("a number");
    let header = |name| post.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned();
    Arrival {
        subscription: number(),
        url: number(),
        token: post.header("authorization").map(ToOwned::to_owned),
        request_id: header("x-inkbox-request-id"),
        event_id: header("webhook-id"),
        attempt: header("inkhook-attempt").parse().expect("a number"),
        says_duplicate: post.header("inkhook-possible-duplicate") == Some("true"),
        body: post.body.clone(),
        is_signed: post.verifies(key),
    }
}

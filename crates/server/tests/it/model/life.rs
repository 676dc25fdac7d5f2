//! One life of a server: the real store, the real pump, and a runtime that moves only when it is told to.
//!
//! Verbs run beside that runtime, not in it. While one is answered, attempts stand where they are: a delete
//! between a claim and its first byte is one step after another, and always the same one. In a life whose pump
//! has its seat, what commits hand over meanwhile stands, too, until attempts are let run.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use inkhook_egress::{Client, Limits, Policy, ResolverConfig, Roots};
use inkhook_server::domain::entropy::Entropy;
use inkhook_server::domain::generations::Generations;
use inkhook_server::domain::retry::RetrySchedule;
use inkhook_server::domain::slots::Bounds;
use inkhook_server::domain::time::Clock;
use inkhook_server::engine::pump::Pump;
use inkhook_server::engine::{EngineSettings, Parts};
use inkhook_server::store::faults::{Bug, Faults};
use inkhook_server::store::hand_over::HandedOver;
use inkhook_server::store::seal::Sealer;
use inkhook_server::store::{Store, StoreOptions};
use inkhook_server::wake::Bells;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::Breach;
use super::receiver::Receiver;
use crate::support::books::Books;

/// The waits between attempts, in seconds; shorter than the step that ends a schedule.
pub const WAITS_S: [u64; 3] = [5, 30, 120];
/// The limit of an attempt. On the machine's clock no attempt of a schedule takes as long.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a step may take on the machine's clock before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// What outlives a process.
#[derive(Debug, Clone)]
pub struct Ground {
    pub directory: PathBuf,
    /// Looks at the rows, past the store.
    pub books: Arc<Books>,
    pub clock: Clock,
    pub entropy: Entropy,
    pub faults: Faults,
    pub bug: Option<Bug>,
    /// Whether pumps take their seat.
    pub is_seated: bool,
    pub bounds: Bounds,
}

/// See the module.
pub struct Life {
    pub store: Store,
    pump: Pump,
    seat: Option<HandedOver>,
    /// Deliveries that came with their commit.
    pub handed: u64,
    cut_off: CancellationToken,
    runtime: Runtime,
}

impl Life {
    pub fn begin(ground: &Ground, receiver: &Receiver, boot: i64) -> Result<Self, Breach> {
        let generations = Arc::new(match ground.bug {
            Some(Bug::NoGate) => Generations::that_never_refuse(),
            _ => Generations::default(),
        });
        let options = StoreOptions {
            data_dir: ground.directory.clone(),
            database: ground.books.server(),
            sealer: Sealer::new(&[7; 32]),
            boot,
            clock: ground.clock.clone(),
            entropy: ground.entropy.clone(),
            generations: generations.clone(),
            faults: ground.faults.clone(),
            limits: crate::support::any_disk(),
        };
        let store = Store::open(options).map_err(|error| format!("the store does not open: {error}"))?;
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let egress = {
            let _inside = runtime.enter();
            receiver.serve();
            Client::new(
                Policy::loopback_dev(),
                Limits::default(),
                Roots::Given(Vec::new()),
                ResolverConfig::Nameservers(Vec::new()),
            )
            .expect("a client")
        };
        let cut_off = CancellationToken::new();
        let parts = Parts {
            store: store.clone(),
            egress,
            generations,
            clock: ground.clock.clone(),
            entropy: ground.entropy.clone(),
            bells: Bells::default(),
            settings: EngineSettings {
                attempt_timeout: TIMEOUT,
                manual_timeout: TIMEOUT,
                retry_schedule: RetrySchedule::new(WAITS_S.map(Duration::from_secs).into()),
                bounds: ground.bounds,
                ..EngineSettings::default()
            },
        };
        let pump = Pump::new(parts, cut_off.clone());
        let seat = ground.is_seated.then(|| pump.take_seat());
        Ok(Self { store, pump, seat, handed: 0, cut_off, runtime })
    }

    /// Claims what is due; attempts are begun but do not move. How many.
    pub fn turn(&self) -> Result<usize, Breach> {
        let turn = self.runtime.block_on(async {
            if self.seat.is_some() { self.pump.turn_seated().await } else { self.pump.turn().await }
        });
        turn.map(|turn| turn.started).map_err(|error| format!("a claim failed: {error}"))
    }

    /// Lets attempts go as far as they come: each has ended, or waits for an answer.
    pub fn let_run(&mut self, receiver: &Receiver) -> Result<(), Breach> {
        self.run_until(receiver, usize::MAX)
    }

    /// The same, but only until so many more things happened at the receiver.
    pub fn let_run_until(&mut self, receiver: &Receiver, events: usize) -> Result<(), Breach> {
        self.run_until(receiver, receiver.happened() + events)
    }

    fn run_until(&mut self, receiver: &Receiver, last: usize) -> Result<(), Breach> {
        let Self { runtime, pump, seat, handed, .. } = self;
        runtime.block_on(async {
            let quiet = tokio::time::timeout(PATIENCE, quiet(pump, seat.as_mut(), handed, receiver, last));
            quiet.await.map_err(|_| "an attempt neither ends nor waits for its receiver".to_owned())
        })
    }

    /// Ends it as a soft stop whose deadline has passed does: what is under way is cut off and recorded.
    pub fn stop(mut self, receiver: &Receiver, control: &Runtime) -> Result<(), Breach> {
        if let Some(seat) = &mut self.seat {
            seat.close();
        }
        self.cut_off.cancel();
        receiver.let_go();
        self.let_run(receiver)?;
        self.end(receiver, control);
        Ok(())
    }

    /// Ends it where it stands.
    pub fn kill(self, receiver: &Receiver, control: &Runtime) {
        self.end(receiver, control);
    }

    fn end(self, receiver: &Receiver, control: &Runtime) {
        // First the attempts: none of them moves any more.
        drop(self.runtime);
        drop(self.pump);
        receiver.let_go();
        control.block_on(self.store.close());
    }
}

/// Begins what is handed over, and waits until each attempt has ended or is held, or something happened.
async fn quiet(
    pump: &Pump,
    mut seat: Option<&mut HandedOver>,
    handed: &mut u64,
    receiver: &Receiver,
    last: usize,
) {
    loop {
        // What an attempt's settle handed over is there before the attempt counts as ended.
        *handed += seat.as_mut().map_or(0, |seat| pump.start_handed(seat)) as u64;
        if pump.under_way() - pump.ahead() <= receiver.held().len() || receiver.happened() >= last {
            return;
        }
        // Whichever comes first; neither is missed when it comes before it is waited for.
        let (ended, changed) = (pin!(pump.freed()), pin!(receiver.changed()));
        futures_util::future::select(ended, changed).await;
    }
}

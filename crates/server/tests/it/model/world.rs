//! A store and a pump beside what they should be.

mod doing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use inkhook_server::domain::caller::Scope;
use inkhook_server::domain::entropy::Entropy;
use inkhook_server::domain::owner::Owner;
use inkhook_server::domain::slots::Bounds;
use inkhook_server::domain::subscription::Subscription;
use inkhook_server::domain::time::{Clock, TimeMs};
use inkhook_server::store::error::StoreError;
use inkhook_server::store::faults::{Bug, Faults};
use inkhook_wire::id::EventId;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::life::{Ground, Life};
use super::receiver::{Happened, Receiver};
use super::reference::Reference;
use super::seen::{self, Seen};
use super::step::{Answer, Step};
use super::template::Template;
use super::{Breach, ensure};
use crate::support::START;
use crate::support::invariants;

/// Turns of one run at most: each of them ends something.
const TURNS: usize = 200;
/// Rounds of an hour after which everything must have ended.
const ROUNDS: usize = 60;

/// What a worker has for one schedule after the other.
pub struct Bench<'a> {
    pub template: &'a Template,
    pub receiver: Receiver,
    /// Verbs run here, while attempts stand still.
    pub control: Runtime,
}

/// See the module.
pub struct World<'a> {
    bench: &'a Bench<'a>,
    ground: Ground,
    /// `None` only between two lives.
    life: Option<Life>,
    boot: i64,
    model: Reference,
    /// What the store gave back for each subscription of the model.
    subscriptions: Vec<(Subscription, Owner)>,
    /// What was published with a key: its event, its deliveries and until when the key is kept.
    keys: HashMap<usize, (EventId, u32, Option<TimeMs>)>,
    /// Things that happened at the receiver and were looked at.
    looked_at: usize,
    /// Attempts were begun and have not moved.
    is_begun: bool,
    tokens: usize,
    /// Deliveries that came with their commit, in earlier lives.
    handed: u64,
    _directory: TempDir,
}

impl<'a> World<'a> {
    pub fn new(bench: &'a Bench<'a>, seed: u64, bug: Option<Bug>) -> Result<Self, Breach> {
        bench.receiver.reset();
        let (directory, books) = bench.template.lay_out(&bench.control);
        let ground = Ground {
            directory: directory.path().into(),
            books: Arc::new(books),
            clock: Clock::manual(START),
            entropy: Entropy::seeded(seed),
            faults: Faults::with_bug(bug),
            bug,
            is_seated: !seed.is_multiple_of(2),
            bounds: bounds(seed),
        };
        let boot = 2;
        Ok(Self {
            life: Some(Life::begin(&ground, &bench.receiver, boot)?),
            bench,
            ground,
            boot,
            model: Reference::default(),
            subscriptions: Vec::new(),
            keys: HashMap::new(),
            looked_at: 0,
            is_begun: false,
            tokens: 0,
            handed: 0,
            _directory: directory,
        })
    }

    /// One step, and what must hold after it.
    pub fn take(&mut self, step: Step) -> Result<(), Breach> {
        self.model.now = self.ground.clock.wall();
        match step {
            Step::Create { owner, types, answer } => self.create(owner, types, answer)?,
            Step::Publish { owner, sent, expires_s } => self.publish(owner, sent, expires_s)?,
            Step::Keyed { key } => self.together(0, key, 1)?,
            Step::Together { count, key, twins } => self.together(count, key, twins)?,
            Step::Turn => self.turn()?,
            Step::Run => self.run()?,
            Step::Answer { held, answer } => self.answer(held, answer)?,
            Step::Mood { subscription, answer } => self.set_mood(subscription, answer),
            Step::Crash => self.crash()?,
            Step::CrashDuring { events } => self.crash_during(events)?,
            Step::Stop => self.stop()?,
            Step::Delete { subscription } => self.delete(subscription)?,
            Step::Select { subscription, types } => self.select(subscription, types)?,
            Step::NewUrl { subscription } => self.new_url(subscription)?,
            Step::NewToken { subscription } => self.new_token(subscription)?,
            Step::NewKey => self.new_key()?,
            Step::Pause { subscription } => self.pause(subscription)?,
            Step::Resume { subscription } => self.resume(subscription)?,
            Step::Tidy => drop(self.ask(self.life().store.cancel_chunk())?),
            Step::Replay { attempt } => self.replay(attempt)?,
            Step::LateSettle { delivery } => self.late_settle(delivery)?,
            Step::Advance { seconds } => self.ground.clock.advance(Duration::from_secs(seconds)),
        }
        self.model.now = self.ground.clock.wall();
        self.check()
    }

    /// Gives everything time to end, with receivers that take it, and sees that it has. How many deliveries
    /// came with their commit.
    pub fn finish(mut self) -> Result<u64, Breach> {
        self.model.now = self.ground.clock.wall();
        for place in 0..self.subscriptions.len() {
            self.bench.receiver.set_mood(place, Answer::Good);
            if self.model.subscriptions[place].is_active {
                self.let_go_on(place)?;
            }
        }
        for _ in 0..ROUNDS {
            while !self.bench.receiver.held().is_empty() {
                self.answer(0, Answer::Good)?;
            }
            self.run()?;
            while self.ask(self.life().store.cancel_chunk())? == inkhook_server::store::cancel::Tidied::More {
            }
            self.check()?;
            if self.rows().queued.is_empty() {
                break;
            }
            // What waited for a subscription to come back comes at a rate.
            for _ in 0..10 {
                self.ground.clock.advance(Duration::from_secs(1));
                self.model.now = self.ground.clock.wall();
                self.run()?;
                self.model.check_drains(&self.rows())?;
            }
            self.ground.clock.advance(Duration::from_hours(1));
            self.model.now = self.ground.clock.wall();
        }
        self.model.check_end(&self.rows())?;
        if let Some(left) = invariants::left_over(&self.ground.books) {
            return Err(left);
        }
        let handed = self.handed + self.life().handed;
        self.end();
        Ok(handed)
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("it lives")
    }

    fn life_mut(&mut self) -> &mut Life {
        self.life.as_mut().expect("it lives")
    }

    fn rows(&self) -> Seen {
        Seen::read(&self.ground.books)
    }

    fn admin(&self) -> Scope {
        Scope { organization: self.bench.template.agent.organization, identity: None }
    }

    /// Runs a verb while attempts stand still.
    fn ask<T>(&self, verb: impl Future<Output = Result<T, StoreError>>) -> Result<T, Breach> {
        self.bench.control.block_on(verb).map_err(|error| format!("a verb failed: {error}"))
    }

    fn check(&mut self) -> Result<(), Breach> {
        if let Some(broken) = invariants::breach_so_far(&self.ground.books) {
            return Err(broken);
        }
        let dead = seen::leased_by_the_dead(&self.ground.books, self.boot);
        ensure!(dead == 0, "{dead} deliveries are leased to a process that is gone");
        let rows = self.rows();
        self.model.check_rows(&rows, self.boot)
    }

    fn turn(&mut self) -> Result<(), Breach> {
        self.move_on()?;
        self.is_begun = self.life().turn()? > 0;
        Ok(())
    }

    /// Lets what was begun come as far as it does.
    fn move_on(&mut self) -> Result<(), Breach> {
        let (holds, bench) = (self.model.holds(), self.bench);
        self.life_mut().let_run(&bench.receiver)?;
        self.is_begun = false;
        self.look(&holds, |_, _, _| true)
    }

    fn run(&mut self) -> Result<(), Breach> {
        for _ in 0..TURNS {
            self.turn()?;
            if !self.is_begun {
                return self.model.check_quiet(&self.rows(), self.boot);
            }
        }
        Err("a run has no end".to_owned())
    }

    /// Tells the model what happened at the receiver. `is_settled` says whether an answer has been settled.
    fn look(
        &mut self,
        holds: &[TimeMs],
        is_settled: impl Fn(&Reference, &Seen, usize) -> bool,
    ) -> Result<(), Breach> {
        let happened = self.bench.receiver.since(self.looked_at);
        if happened.is_empty() {
            return Ok(());
        }
        self.looked_at += happened.len();
        let rows = self.rows();
        for happened in happened {
            match happened {
                Happened::Arrived(arrival) => self.model.arrived(arrival, holds, &rows)?,
                Happened::Answered(arrival, answer) if is_settled(&self.model, &rows, arrival) => {
                    self.model.answered(arrival, answer, true);
                }
                Happened::Answered(arrival, _) => self.model.lost(arrival),
            }
        }
        Ok(())
    }

    /// Answers what is held at this place.
    fn answer(&mut self, held: usize, answer: Answer) -> Result<(), Breach> {
        let waiting = self.bench.receiver.held();
        if waiting.is_empty() {
            return Ok(());
        }
        let place = held % waiting.len();
        // What was begun before goes first, so that nothing happens but the answer and what comes of it.
        self.move_on()?;
        let arrival = waiting[place];
        let (delivery, attempt) = self.model.attempt_of(arrival);
        let is_current = self.rows().under_way(delivery) == Some(attempt);
        let bench = self.bench;
        bench.receiver.answer(place, answer);
        self.life_mut().let_run(&bench.receiver)?;
        let happened = bench.receiver.since(self.looked_at);
        let is_first = matches!(happened.first(), Some(Happened::Answered(at, given)) if (*at, *given) == (arrival, answer));
        ensure!(is_first, "an answer was not what happened first: {happened:?}");
        self.looked_at += 1;
        self.model.answered(arrival, answer, is_current);
        // The place that it freed may be the next one's, with its commit.
        let is_alone = happened.len() == 1;
        ensure!(is_alone || self.ground.is_seated, "an answer made something else happen: {happened:?}");
        let holds = self.model.holds();
        self.look(&holds, |_, _, _| true)
    }

    /// This life is over.
    fn leave(&mut self) -> Life {
        let life = self.life.take().expect("it lives");
        self.handed += life.handed;
        life
    }

    fn crash(&mut self) -> Result<(), Breach> {
        let life = self.leave();
        life.kill(&self.bench.receiver, &self.bench.control);
        self.model.lose_what_is_open();
        self.begin()
    }

    fn crash_during(&mut self, events: usize) -> Result<(), Breach> {
        self.turn()?;
        let (holds, bench) = (self.model.holds(), self.bench);
        self.life_mut().let_run_until(&bench.receiver, events)?;
        let life = self.leave();
        life.kill(&self.bench.receiver, &self.bench.control);
        self.begin()?;
        self.look(&holds, |model, rows, arrival| {
            let line = rows.log.get(&model.attempt_of(arrival));
            line.is_some_and(|line| line.outcome != 3)
        })?;
        self.model.lose_what_is_open();
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Breach> {
        let holds = self.model.holds();
        let life = self.leave();
        life.stop(&self.bench.receiver, &self.bench.control)?;
        self.begin()?;
        self.look(&holds, |_, _, _| false)?;
        self.model.lose_what_is_open();
        Ok(())
    }

    /// Another process starts on what the last one left.
    fn begin(&mut self) -> Result<(), Breach> {
        self.boot += 1;
        self.is_begun = false;
        self.life = Some(Life::begin(&self.ground, &self.bench.receiver, self.boot)?);
        Ok(())
    }

    fn end(&mut self) {
        if let Some(life) = self.life.take() {
            life.kill(&self.bench.receiver, &self.bench.control);
        }
    }
}

/// As ever, or in half of the lives that have a seat so few places that many have to wait for one.
fn bounds(seed: u64) -> Bounds {
    let few = Bounds { first: 1, ..Bounds::default() };
    match seed % 8 {
        3 => few,
        // The one place is the most that it ever has, so more are lent.
        7 => Bounds { per_subscription: 1, ahead: 2, ..few },
        _ => Bounds::default(),
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        // A writer that is held would never end.
        self.ground.faults.resume();
        self.end();
    }
}

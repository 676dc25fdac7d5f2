//! Incoming calls: somebody is on the line, and the answer of a URL decides what becomes of it.
//!
//! **Promises.** Every call is decided within the time that its number gives: by the number's rule, by the first who
//! is asked, by the second, or by the number's default action, and the decision says which and why. One call is asked
//! about once, however often and from wherever it is put within [`REMEMBERED_FOR`](remembered::REMEMBERED_FOR). What is
//! asked is signed. Calls have places, connections and database readers of their own: they wait for no delivery, and
//! never for the writer.
//!
//! **Never.** Nothing is queued: with no place free a call is refused at once. Nothing is asked again later.
//!
//! **On a crash** whoever carries the call hears nothing and does what it does then; the log lacks the call. An
//! orderly stop waits until every decision that was given is in the log.

mod asking;
mod places;
mod question;
mod remembered;

use std::sync::{Arc, Mutex, PoisonError};

use inkhook_egress::Client;
use inkhook_wire::id::PhoneNumberId;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::places::{NoPlace, Place, Places};
use self::remembered::{Known, Remembered};
use crate::domain::call::{Bounds, Call, Callee, Decision, Ruling, by_rule};
use crate::domain::caller::Scope;
use crate::domain::entropy::Entropy;
use crate::domain::time::Clock;
use crate::store::calls::CallLog;
use crate::store::{Store, StoreError};

/// What deciding calls needs.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Numbers, and the log.
    pub store: Store,
    /// Asks. Its connections are for calls alone.
    pub client: Client,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// How many at the same time.
    pub bounds: Bounds,
    /// Answers from addresses that only the operator opened are kept in the log.
    pub keep_inside_bodies: bool,
    /// Ends what is under way at once.
    pub cut_off: CancellationToken,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Calls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    places: Arc<Places>,
    remembered: Mutex<Remembered>,
    unwritten: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// What came of putting a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// This becomes of it.
    Decided(Decision),
    /// No such number for this scope.
    NumberNotFound,
    /// The id is that of a call to another number or from somebody else.
    AnotherCall,
    /// As many calls as there may be are being asked about.
    Full,
    /// The same for its organisation.
    OrganizationFull,
    /// Whoever was to decide it is gone: a bug, and in our log.
    Lost,
}

impl From<NoPlace> for Put {
    fn from(refused: NoPlace) -> Self {
        match refused {
            NoPlace::Full => Self::Full,
            NoPlace::OrganizationFull => Self::OrganizationFull,
        }
    }
}

/// What is to be done about a call that was put.
enum Next {
    Wait(watch::Receiver<Option<Ruling>>),
    Ask(watch::Sender<Option<Ruling>>, Place),
    Answer(Put),
}

impl Calls {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            places: Arc::new(Places::new(parts.bounds)),
            remembered: Mutex::default(),
            unwritten: Arc::new(Semaphore::new(parts.bounds.unwritten)),
            tasks: TaskTracker::new(),
            parts,
        }))
    }

    /// Decides a call to a number.
    ///
    /// # Errors
    /// The number cannot be read.
    pub async fn decide(&self, scope: Scope, number: PhoneNumberId, call: Call) -> Result<Put, StoreError> {
        let began = self.0.parts.clock.monotonic();
        let Some(callee) = self.0.parts.store.callee(scope, number, call.remote.clone()).await? else {
            return Ok(Put::NumberNotFound);
        };
        let call_id = call.id;
        let mut ruling = match self.next(&callee, &call) {
            Next::Answer(put) => return Ok(put),
            Next::Wait(ruling) => ruling,
            Next::Ask(tell, place) => {
                let ruling = tell.subscribe();
                // A task of its own: others may wait for the same decision when this caller has given up.
                self.0.tasks.spawn(self.clone().ask_and_log(callee, call, began, tell, place));
                ruling
            }
        };
        let decided = ruling.wait_for(Option::is_some).await;
        let ruling = decided.ok().and_then(|ruling| ruling.clone());
        Ok(ruling.map_or(Put::Lost, |ruling| Put::Decided(Decision { call_id, ruling })))
    }

    fn next(&self, callee: &Callee, call: &Call) -> Next {
        let mut remembered = self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.parts.clock.monotonic();
        match remembered.find(now, callee, call) {
            Known::Same(ruling) => return Next::Wait(ruling),
            Known::Another => return Next::Answer(Put::AnotherCall),
            Known::Not => {}
        }
        if let Some(ruling) = by_rule(&callee.rule) {
            self.0.parts.store.metrics().decide_call(ruling.decided_by);
            let decided = watch::Sender::new(Some(ruling.clone()));
            remembered.add(now, callee, call, decided.subscribe());
            return Next::Answer(Put::Decided(Decision { call_id: call.id, ruling }));
        }
        match self.0.places.take(callee.organization) {
            Ok(place) => {
                let tell = watch::Sender::new(None);
                remembered.add(now, callee, call, tell.subscribe());
                Next::Ask(tell, place)
            }
            Err(refused) => Next::Answer(refused.into()),
        }
    }

    async fn ask_and_log(
        self,
        callee: Callee,
        call: Call,
        began: std::time::Duration,
        tell: watch::Sender<Option<Ruling>>,
        place: Place,
    ) {
        let (ruling, log) = asking::decide(&self.0.parts, &callee, &call, began).await;
        self.0.parts.store.metrics().decide_call(ruling.decided_by);
        tell.send_replace(Some(ruling));
        drop(place);
        if let Some(log) = log {
            self.write(log).await;
        }
    }

    async fn write(&self, log: CallLog) {
        let Ok(_room) = self.0.unwritten.clone().try_acquire_owned() else {
            tracing::error!(call = %log.call_id, "too many calls wait for the log; this one is left out");
            return;
        };
        let call_id = log.call_id;
        if let Err(error) = self.0.parts.store.log_call(log).await {
            tracing::error!(call = %call_id, error = &error as &dyn std::error::Error, "a call could not be logged");
        }
    }

    /// Resolves once every call that was put has been decided and is in the log. Nothing is put any more.
    pub async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Calls about which somebody is being asked.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.0.places.taken()
    }
}

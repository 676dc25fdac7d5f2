//! What was asked of the server, and what it said: the promises that it must keep whatever happens to it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How something was given to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Published once.
    Publish,
    /// Published with an Idempotency-Key, and again until it was answered.
    KeyedPublish,
    /// Published with others, all of them or none, and perhaps again.
    Batch,
    /// Sent by mail, and perhaps again.
    Mail,
    /// Something that the server must refuse.
    Wrong,
}

/// What the server said to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// 202 with the event's id, or 250.
    Accepted(Option<String>),
    /// An HTTP 4xx or an SMTP 5yz.
    Refused(u16),
    /// Nothing: it was killed.
    Nothing,
}

/// One thing that was to become an event, known by its subject.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) subject: String,
    pub(super) kind: Kind,
    pub(super) mailbox: usize,
    /// The first entry of the batch that it was sent in.
    pub(super) batch: Option<usize>,
    pub(super) said: Vec<Said>,
}

/// Everything that was asked. Entries are named by their place.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: Mutex<Vec<Entry>>,
    unanswered: AtomicUsize,
}

impl Journal {
    /// A new thing with a subject of its own.
    pub(super) fn begin(&self, kind: Kind, mailbox: usize) -> (usize, String) {
        let mut entries = self.entries.lock().expect("no panic");
        let subject = format!("subject-{}", entries.len());
        entries.push(Entry { subject: subject.clone(), kind, mailbox, batch: None, said: Vec::new() });
        (entries.len() - 1, subject)
    }

    /// The same for several that go together.
    pub(super) fn begin_batch(&self, mailbox: usize, count: usize) -> Vec<(usize, String)> {
        let begun: Vec<_> = (0..count).map(|_| self.begin(Kind::Batch, mailbox)).collect();
        let mut entries = self.entries.lock().expect("no panic");
        for (entry, _) in &begun {
            entries[*entry].batch = begun.first().map(|(first, _)| *first);
        }
        drop(entries);
        begun
    }

    pub(super) fn say(&self, entry: usize, said: Said) {
        self.entries.lock().expect("no panic")[entry].said.push(said);
    }

    /// Counts a request as out for as long as the future runs.
    pub(super) async fn out<T>(&self, request: impl Future<Output = T>) -> T {
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        let answer = request.await;
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    /// Requests that are out now.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("no panic").clone()
    }

    /// Requests that got no answer, in all.
    pub(super) fn cut_off(&self) -> usize {
        let entries = self.entries.lock().expect("no panic");
        entries.iter().flat_map(|entry| &entry.said).filter(|said| **said == Said::Nothing).count()
    }
}

//! A line on a terminal that says how far it is; nothing when nobody looks.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::pause;

const EVERY: Duration = Duration::from_millis(100);
/// The line is written every so many looks.
const LOOKS: u64 = 3;
const WIDTH: u64 = 30;

/// See the module. The line is gone when this is dropped.
#[derive(Debug)]
pub struct Progress {
    /// What is counted.
    pub done: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to show how many of `total` are done, or just how many when nobody knows.
    pub fn start(what: &str, total: Option<u64>) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::io::stderr().is_terminal().then(|| {
            let (what, done, over) = (what.to_owned(), done.clone(), over.clone());
            std::thread::spawn(move || show(&what, total, &done, &over))
        });
        Self { done, over, thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it could not show nobody misses.
            drop(thread.join());
        }
    }
}

fn show(what: &str, total: Option<u64>, done: &AtomicU64, over: &AtomicBool) {
    let mut looks = 0;
    while !over.load(Ordering::Relaxed) {
        if looks % LOOKS == 0 {
            // A terminal that is gone stops no measurement.
            drop(write!(std::io::stderr(), "\r\x1b[K{}", line(what, done.load(Ordering::Relaxed), total)));
        }
        looks += 1;
        pause(EVERY);
    }
    drop(write!(std::io::stderr(), "\r\x1b[K"));
}

fn line(what: &str, done: u64, total: Option<u64>) -> String {
    match total.filter(|total| *total > 0) {
        Some(total) => {
            let filled = done.min(total) * WIDTH / total;
            let bar: String = (0..WIDTH).map(|place| if place < filled { '#' } else { '.' }).collect();
            format!("{what} [{bar}] {done} of {total}")
        }
        None => format!("{what} {done}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(line("x", 0, Some(10)), format!("x [{}] 0 of 10", ".".repeat(30)));
        assert_eq!(line("x", 11, Some(10)), format!("x [{}] 11 of 10", "#".repeat(30)));
        assert_eq!(line("x", 7, None), "x 7");
        assert_eq!(line("x", 7, Some(0)), "x 7");
    }
}

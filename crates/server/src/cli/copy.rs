//! `inkhook copy`: moves the store of a data directory to a Postgres database.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;

use super::args::DataArgs;
use crate::domain::time::Clock;
use crate::server;
use crate::store::copy::{Copied, CopiedTable, Progress};

/// How often a line says how far it is, where nobody watches.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// The same on a terminal, where the line is written over.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// Digits of a checksum that are shown.
const SHOWN_DIGITS: usize = 16;

#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// Use the file again as it was when it was moved. What was accepted in the database since is there only, and no
    /// server starts on that copy any more.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) async fn run(args: CopyArgs) -> anyhow::Result<()> {
    let config = args.data.load()?;
    if args.undo {
        let undone = server::undo_copy(config).await?;
        println!(
            "the store in the data directory is as it was when it was moved, and is what is to be served"
        );
        if undone.is_given_up {
            println!("no server starts on the copy in \"{}\" any more", undone.database);
        } else {
            println!(
                "no database was named: see to it that nobody serves the copy in \"{}\", or everything is sent twice",
                undone.database
            );
        }
        return Ok(());
    }
    let clock = Clock::system();
    let began = clock.monotonic();
    let copied = server::copy(config, Teller::new(clock.clone()).into_fn()).await?;
    match copied {
        Copied::Already { database, at } => {
            println!("nothing to do: this store was moved to the database \"{database}\" at {at}");
        }
        Copied::Whole { tables, rows_before } => {
            report(&tables, rows_before, clock.monotonic().saturating_sub(began));
        }
    }
    Ok(())
}

fn report(tables: &[CopiedTable], rows_before: u64, took: Duration) {
    println!("{:<20} {:>12}  checksum (SHA-256)", "table", "rows");
    for table in tables {
        println!("{:<20} {:>12}  {}", table.name, table.rows, digits(&table.checksum));
    }
    let rows: u64 = tables.iter().map(|table| table.rows).sum();
    println!("{rows} rows are in the database, read back and found the same, in {:.1} s", took.as_secs_f64());
    if rows_before > 0 {
        println!("{rows_before} of them had been copied before");
    }
    println!(
        "serve it now with --database-url and the same master key; nothing serves the data directory's own store \
         any more"
    );
}

fn digits(checksum: &[u8; 32]) -> String {
    let digits = checksum.iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>()[..SHOWN_DIGITS].to_owned()
}

/// Says on standard error how far the copy is.
struct Teller {
    clock: Clock,
    began: Duration,
    said: Option<Duration>,
    /// Rows that were there when this process began.
    first: Option<u64>,
    on_terminal: bool,
}

impl Teller {
    fn new(clock: Clock) -> Self {
        let began = clock.monotonic();
        Self { clock, began, said: None, first: None, on_terminal: std::io::stderr().is_terminal() }
    }

    fn into_fn(mut self) -> impl FnMut(Progress) + Send {
        move |progress| self.tell(progress)
    }

    fn tell(&mut self, progress: Progress) {
        let now = self.clock.monotonic();
        let every = if self.on_terminal { SHOW_EVERY } else { SAY_EVERY };
        if self.said.is_some_and(|said| now.saturating_sub(said) < every) {
            return;
        }
        self.said = Some(now);
        let line = match progress {
            Progress::Copied { table, rows } => {
                let first = *self.first.get_or_insert(rows);
                let took = now.saturating_sub(self.began).as_secs_f64().max(0.001);
                #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
                let rate = (rows - first) as f64 / took;
                format!("{table}: {rows} rows copied, {rate:.0} a second")
            }
            Progress::Verified { table, rows } => {
                format!("{table}: {rows} rows read back and found the same")
            }
        };
        let (before, after) = if self.on_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let mut out = std::io::stderr().lock();
        // Nobody is there to be told that nobody can be told.
        drop(write!(out, "{before}{line}{after}").and_then(|()| out.flush()));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if self.on_terminal && self.said.is_some() {
            eprintln!();
        }
    }
}

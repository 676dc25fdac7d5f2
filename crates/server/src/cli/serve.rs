//! `inkhook serve`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::admin;
use super::args::ServeArgs;
use crate::config::Config;
use crate::server::{self, FirstKey, Running};
use crate::telemetry;

const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// Serves until a signal or a fault. A second signal hurries the stop.
pub(super) async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    telemetry::start();
    let mut stop = Stop::new()?;
    let running = server::start(&config).await?;
    admin::serve(&running, &config.server.data_dir)?;
    announce(&config, &running)?;
    let lifecycle = running.lifecycle.clone();
    tokio::select! {
        () = stop.asked() => tracing::info!("stopping; a second signal cuts off what is under way"),
        () = lifecycle.soft.cancelled() => {}
    }
    let well = running.stop(async move { stop.asked().await }).await;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// SIGINT and SIGTERM.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Resolves with the next signal.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Says where everything is. The line that begins with `listening` is for programs, and comes when the
/// server takes work.
fn announce(config: &Config, running: &Running) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let terminal = std::io::stdout().is_terminal();
    if config.server.dev {
        let warning = "--dev: deliveries to loopback addresses and over http are allowed";
        tracing::warn!("{warning}");
        if terminal {
            writeln!(out, "{RED}{warning}{PLAIN}")?;
        }
    }
    match &running.first_key {
        Some(FirstKey::Show(key)) => {
            writeln!(out, "the first admin key, shown this once:\n\n  {}\n", key.expose())?;
        }
        Some(FirstKey::File(path)) => {
            tracing::info!(path = %path.display(), "the first admin key is in a file");
        }
        Some(FirstKey::Given) | None => {}
    }
    let smtp = running.smtp.map_or_else(|| "off".to_owned(), |address| address.to_string());
    writeln!(out, "listening api=http://{} smtp={smtp}", running.api)?;
    out.flush()
}

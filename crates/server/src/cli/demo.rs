//! `inkhook demo`: the whole path at work, in one process, on one screen.
//!
//! A real server on free ports with a temporary data directory, a receiver beside it, and a user's steps
//! through the real API and the real mail port ([`walk`]). Everything that is claimed is checked; with
//! `--once` the exit code says whether all of it held. Configuration files and variables are not read, so
//! that it runs the same everywhere; nothing is left behind.

mod client;
mod judge;
mod mail;
mod next;
mod receiver;
mod screen;
mod smtp;
mod walk;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tempfile::TempDir;

use self::client::Api;
use self::next::Places;
use self::receiver::{Hook, Receiver};
use self::screen::Screen;
use self::walk::{Agent, Walk};
use super::serve::Stop;
use crate::config::Config;
use crate::domain::api_key;
use crate::domain::entropy::Entropy;
use crate::domain::secret::Secret;
use crate::domain::time::Clock;
use crate::server::{self, Running};
use crate::telemetry;

/// The start, and the walk after it. They take two seconds; what takes a minute has failed.
const DEADLINE: Duration = Duration::from_mins(1);
/// Waiting for the server to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// The waits between attempts: short, so that a retry can be watched.
const RETRY_SCHEDULE_S: [u64; 3] = [1, 5, 30];
/// How long the server lets attempts end when it is told to stop.
const SHUTDOWN_S: u64 = 2;

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End after the last step; exit with 0 only if everything was verified.
    #[arg(long)]
    once: bool,
}

/// The parts that live as long as the demo.
struct Stage {
    running: Running,
    receiver: Receiver,
    key: Secret,
    clock: Clock,
    // The last, so that it is removed when the server is gone.
    _data: TempDir,
}

/// How the walk went, in words that end the screen.
enum Ending {
    Verified(Box<Agent>),
    Failed(anyhow::Error),
    Interrupted,
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    telemetry::start_quiet();
    let mut stop = Stop::new()?;
    let mut screen = Screen::stdout();
    let data = tempfile::Builder::new().prefix("inkhook-demo-").tempdir();
    let data = data.context("no temporary directory for the demo's data")?;
    let set = tokio::time::timeout(DEADLINE, Stage::set(data));
    let mut stage = set.await.context("the server does not start")??;
    let soft = stage.running.lifecycle.soft.clone();
    let ending = tokio::select! {
        ended = tokio::time::timeout(DEADLINE, stage.play(&mut screen)) => match ended {
            Ok(Ok(agent)) => Ending::Verified(Box::new(agent)),
            Ok(Err(error)) => Ending::Failed(error),
            Err(_) => Ending::Failed(anyhow!("it was not done after {} seconds", DEADLINE.as_secs())),
        },
        () = stop.asked() => Ending::Interrupted,
        () = soft.cancelled() => Ending::Failed(anyhow!("the server stopped")),
    };
    let code = conclude(&mut screen, &ending)?;
    if let Ending::Verified(agent) = &ending {
        next::show(&mut screen, &stage.places(agent), !args.once)?;
        if !args.once {
            tokio::select! {
                watched = stage.watch(&mut screen, agent) => watched?,
                () = stop.asked() => {}
                () = soft.cancelled() => {}
            }
        }
    }
    stage.strike(stop).await.map(|()| code)
}

/// Says how it went, and what the exit code is.
fn conclude(screen: &mut Screen, ending: &Ending) -> std::io::Result<ExitCode> {
    screen.blank()?;
    match ending {
        Ending::Verified(_) => {
            screen.good("Everything was verified.")?;
            Ok(ExitCode::SUCCESS)
        }
        Ending::Failed(error) => {
            screen.bad(&format!("Failed in {}: {error:#}", screen.doing().to_owned()))?;
            Ok(ExitCode::FAILURE)
        }
        Ending::Interrupted => {
            screen.bad(&format!("Interrupted in {}.", screen.doing().to_owned()))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What the server is told, instead of a file.
fn config(data_dir: &Path, key: &Secret) -> Config {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut config = Config::default();
    config.server.listen = free;
    config.server.data_dir = data_dir.into();
    config.server.dev = true;
    config.server.shutdown_timeout_s = SHUTDOWN_S;
    config.smtp.listen = free.to_string();
    config.delivery.retry_schedule_s = RETRY_SCHEDULE_S.into();
    config.bootstrap.admin_key = Some(key.expose().to_owned());
    config
}

impl Stage {
    async fn set(data: TempDir) -> anyhow::Result<Self> {
        let (clock, entropy) = (Clock::system(), Entropy::system()?);
        let key = api_key::generate(&entropy, entropy.uuid().into());
        let receiver = Receiver::start(clock.clone()).await?;
        let running = server::start(&config(data.path(), &key)).await?;
        Ok(Self { running, receiver, key, clock, _data: data })
    }

    async fn play(&mut self, screen: &mut Screen) -> anyhow::Result<Agent> {
        let smtp = self.running.smtp.context("the server takes no mail")?;
        self.introduce(screen, smtp)?;
        let api = Api::new(self.running.api, self.key.clone());
        let clock = self.clock.clone();
        Walk { screen, api, smtp, receiver: &mut self.receiver, clock }.go().await
    }

    fn introduce(&self, screen: &mut Screen, smtp: SocketAddr) -> anyhow::Result<()> {
        screen.heading("inkhook demo: from a mail to a signed, verified POST")?;
        screen
            .text("A real server in this process. Its data is temporary, everything stays on 127.0.0.1.")?;
        screen.step("Start")?;
        screen.good(&format!("API       http://{}", self.running.api))?;
        screen.good(&format!("mail      smtp://{smtp}"))?;
        screen.good(&format!("receiver  {}", self.receiver.url(Hook::Mail)))?;
        screen.note("The receiver stands for your code. --dev lets the server deliver to this machine.")?;
        Ok(())
    }

    fn places<'a>(&'a self, agent: &'a Agent) -> Places<'a> {
        let (api, key) = (self.running.api, &self.key);
        Places { api, smtp: self.running.smtp.unwrap_or(api), mailbox: &agent.mailbox, key }
    }

    /// Shows what arrives, until the receiver dies.
    async fn watch(&mut self, screen: &mut Screen, agent: &Agent) -> anyhow::Result<()> {
        loop {
            let read = self.receiver.next().await?;
            walk::watch(screen, agent, &read, &self.clock)?;
        }
    }

    /// Stops everything and removes the data.
    async fn strike(self, mut stop: Stop) -> anyhow::Result<()> {
        let stopped = self.running.stop(async move { stop.asked().await });
        let well = tokio::time::timeout(STOP_DEADLINE, stopped).await.context("the server does not stop")?;
        anyhow::ensure!(well, "the server stopped because of a fault");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::judge::judge;
    use super::judge::tests::{NOW, key, signed};
    use super::screen::tests::Paper;
    use super::*;

    fn concluded(ending: &Ending) -> (String, String) {
        let paper = Paper::default();
        let mut screen = Screen::on(Box::new(paper.clone()), false);
        screen.step("Verify").unwrap();
        let code = conclude(&mut screen, ending).unwrap();
        (format!("{code:?}"), paper.text())
    }

    #[test]
    fn a_signature_that_does_not_verify_fails_the_demo_and_is_named() {
        let (headers, _) = signed(&key(), b"what was sent");
        let read = b"what was reaD".as_slice().into();
        let refused = judge(&key(), &headers, &read, NOW).genuine().unwrap_err();
        let (code, text) = concluded(&Ending::Failed(refused));
        assert_eq!(code, format!("{:?}", ExitCode::FAILURE));
        let named = "Failed in step 1, Verify: the Inkbox signature does not verify: the signature does not";
        assert!(text.contains(named), "{text}");
    }

    #[test]
    fn an_interrupted_demo_is_no_success() {
        let (code, text) = concluded(&Ending::Interrupted);
        assert_eq!(code, format!("{:?}", ExitCode::FAILURE));
        assert!(text.contains("Interrupted in step 1, Verify."), "{text}");
    }

    #[test]
    fn its_configuration_is_valid() {
        let key = Secret::new("k".repeat(api_key::MIN_CHARS));
        config(Path::new("somewhere"), &key).validate().unwrap();
    }
}

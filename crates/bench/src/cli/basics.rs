//! `receive`, `drive`, `ceiling`: nothing in here knows which server is measured.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use super::Output;
use crate::ceiling;
use crate::drive::{Batch, Load, Pace, Tally, Template, Until};
use crate::latency::Latency;
use crate::progress::Progress;
use crate::receive::{Mode, Receiver, ReceiverOptions, Stats};

#[derive(Debug, clap::Args)]
pub(super) struct ReceiveArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Where to listen for TLS, with a certificate that nobody trusts.
    #[arg(long, value_name = "ADDR")]
    tls_listen: Option<SocketAddr>,
    /// What to do when a path's first segment names no mode: ok, decline, slow-MS, hang, fail-PERCENT, reset, close, drip,
    /// flood, bomb, garbage, early, busy-SECONDS, redirect, status-CODE.
    #[arg(long, default_value = "ok")]
    mode: Mode,
    /// Behave like this below a path: /NAME/… as MODE. May be given several times.
    #[arg(long, value_name = "NAME=MODE", value_parser = named_mode)]
    path: Vec<(String, Mode)>,
    /// A signing key; every request must verify with one of those given.
    #[arg(long, value_name = "whsec_…")]
    secret: Vec<String>,
    /// Threads that serve.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// End by itself after this many seconds.
    #[arg(long)]
    seconds: Option<f64>,
    #[command(flatten)]
    output: Output,
}

fn named_mode(text: &str) -> Result<(String, Mode), String> {
    let (name, mode) = text.split_once('=').ok_or("NAME=MODE is asked for")?;
    Ok((name.to_owned(), mode.parse().map_err(|error: crate::receive::UnknownMode| error.to_string())?))
}

pub(super) fn receive(args: ReceiveArgs) -> anyhow::Result<()> {
    let receiver = Receiver::start(ReceiverOptions {
        listen: args.listen,
        tls_listen: args.tls_listen,
        mode: args.mode,
        threads: args.threads,
        secrets: args.secret,
    })
    .with_context(|| format!("cannot listen on {}", args.listen))?;
    for (name, mode) in &args.path {
        receiver.set(name, *mode);
    }
    println!("receiving on http://{}, figures at /stats", receiver.address());
    if let Some(address) = receiver.tls_address() {
        println!("receiving on https://{address}");
    }
    wait_for_the_end(args.seconds)?;
    let stats = receiver.stats();
    show_stats(&stats);
    args.output.write(&stats.to_json())
}

fn wait_for_the_end(seconds: Option<f64>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = asked_to_stop();
    runtime.block_on(async {
        match seconds {
            // Time being up is what was asked for.
            Some(seconds) => {
                tokio::time::timeout(Duration::from_secs_f64(seconds), stop).await.unwrap_or(Ok(()))
            }
            None => stop.await,
        }
    })?;
    Ok(())
}

/// Until there was a ctrl-c, or a SIGTERM.
pub(super) async fn asked_to_stop() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

fn show_stats(stats: &Stats) {
    for (name, group) in &stats.groups {
        println!(
            "/{name:<12} {} requests, {} deliveries, {} repeats, {:.0} /s",
            group.requests,
            group.deliveries,
            group.requests - group.deliveries,
            group.per_second()
        );
        if group.latency.count() > 0 {
            println!("{:<13} {}", "", group.latency);
        }
        if group.unsigned > 0 {
            println!("{:<13} {} signatures did not verify", "", group.unsigned);
        }
    }
    if stats.handshakes_refused > 0 {
        println!("{} TLS handshakes refused", stats.handshakes_refused);
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct DriveArgs {
    /// The endpoint that publishes, http:// only.
    #[arg(long)]
    url: String,
    /// A header, "Name: value". May be given several times.
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// A file with the body of one event. In it {{seq}}, {{timestamp_us}}, {{uuid}} and {{mark}} are filled in;
    /// a receiver of this tool measures from {{mark}}.
    #[arg(long, value_name = "FILE")]
    body_template: PathBuf,
    /// Events in one request.
    #[arg(long, default_value_t = 1)]
    batch: u64,
    /// What stands before the first event of a batch.
    #[arg(long, default_value = r#"{"events":["#)]
    batch_before: String,
    /// What stands after the last.
    #[arg(long, default_value = "]}")]
    batch_after: String,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests a second, evenly spaced; as fast as the answers come when left out.
    #[arg(long)]
    rate: Option<f64>,
    /// Requests in all.
    #[arg(long, conflicts_with = "seconds")]
    requests: Option<u64>,
    /// How long [default: 10 seconds].
    #[arg(long)]
    seconds: Option<f64>,
    /// A connection that is told to come later (Retry-After) does.
    #[arg(long)]
    honour_retry_after: bool,
    /// Threads that send.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    output: Output,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("'Name: value' is asked for")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Address and path of an http URL.
pub(super) fn resolve(url: &str) -> anyhow::Result<(SocketAddr, String)> {
    let rest = url.strip_prefix("http://").context("only http:// URLs can be driven")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let with_port = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let address = with_port.to_socket_addrs().with_context(|| format!("no address for {authority}"))?.next();
    Ok((address.with_context(|| format!("no address for {authority}"))?, format!("/{path}")))
}

pub(super) fn drive(args: &DriveArgs) -> anyhow::Result<()> {
    let (address, path) = resolve(&args.url)?;
    let body = std::fs::read_to_string(&args.body_template)
        .with_context(|| format!("cannot read {}", args.body_template.display()))?;
    let mut template = Template::post(address, &path, &args.header, body.trim_end())?;
    if args.batch > 1 {
        let (before, after) = (args.batch_before.clone(), args.batch_after.clone());
        template = template.batched(Batch { events: args.batch, before, after });
    }
    let until = match (args.requests, args.seconds) {
        (Some(requests), _) => Until::Requests(requests),
        (None, seconds) => Until::Elapsed(Duration::from_secs_f64(seconds.unwrap_or(10.0))),
    };
    let load = Load {
        addresses: [address].into(),
        templates: [template].into(),
        connections: args.connections,
        pace: args.rate.map_or(Pace::Closed, Pace::Open),
        until,
        honour_retry_after: args.honour_retry_after,
        threads: args.threads,
    };
    let total = match until {
        Until::Requests(requests) => Some(requests * args.batch),
        Until::Elapsed(_) => None,
    };
    let progress = Progress::start("accepted", total);
    let tally = load.run(&progress.done)?;
    drop(progress);
    show_tally(&tally);
    args.output.write(&tally.to_json())?;
    if tally.accepted == 0 {
        bail!("nothing was accepted");
    }
    Ok(())
}

pub(super) fn show_tally(tally: &Tally) {
    println!("accepted   {:>9} events   {:>9.0} /s", tally.accepted, tally.per_second());
    for (status, count) in &tally.refused {
        println!("refused    {count:>9} events   with {status}");
    }
    if tally.cut_off > 0 {
        println!("cut off    {:>9} requests", tally.cut_off);
    }
    if tally.unsent > 0 {
        println!("not sent   {:>9} requests that were due", tally.unsent);
    }
    println!("answer     {}", tally.answer);
    println!("send lag   {}", tally.lag);
}

#[derive(Debug, clap::Args)]
pub(super) struct CeilingArgs {
    /// A directory on the disk whose commits are counted.
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// How long for each of the two.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Threads of the sender and of the receiver.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    output: Output,
}

pub(super) fn ceiling(args: &CeilingArgs) -> anyhow::Result<()> {
    let time = Duration::from_secs_f64(args.seconds);
    let found = ceiling::measure(&args.directory, time, args.connections, args.threads)?;
    let show = |what: &str, rate: f64, latency: &Latency| {
        println!("{what:<16} {rate:>9.0} /s   {latency}");
    };
    show("signed POSTs", found.posts_per_second, &found.post);
    println!("{:<16} {:>9.1} µs of CPU for each, both sides", "", found.cpu_us_per_post);
    show("synced commits", found.commits_per_second, &found.commit);
    args.output.write(&found.to_json())
}

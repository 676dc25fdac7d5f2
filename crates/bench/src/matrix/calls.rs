//! Incoming calls: what deciding one takes beside a server that delivers as much as it can.
//!
//! The URL that is asked answers at once, so the whole time of a call is overhead, but for the receiver's own time and
//! the machine's. What these take is measured in the same seconds: the same receiver is asked directly, as often, by
//! the same driver. The overhead is the difference of the two p99s, beside deliveries and alone.

use std::sync::Arc;
use std::time::Duration;

use super::Plan;
use crate::api::CALL;
use crate::drive::{Load, Pace, Tally, Template, Until};
use crate::latency::{Latency, float};
use crate::scene::{DRAIN, MEASURED, Scene};
use crate::table::{Row, Table, Target};

/// Calls a second; and as many questions that go to the receiver directly.
const RATE: f64 = 50.0;
/// Connections that put calls, and that ask directly.
const CONNECTIONS: usize = 8;
/// Connections that publish.
const PUBLISHERS: usize = 64;
const BODY_BYTES: usize = 1_000;
/// The receiver's group of calls, and of what is asked directly: the name says how they are answered.
const DECLINE: &str = "decline";
/// What deciding a call may take beside the receiver's own time.
const BOUND_MS: f64 = 5.0;
/// Before it counts.
const FIRST: Duration = Duration::from_secs(1);

/// How long calls took, and direct questions in the same seconds.
struct Measured {
    calls: Latency,
    direct: Latency,
}

/// Alone, then beside deliveries.
pub(super) fn all(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let home = plan.setting.home()?;
    let scene = Scene::start(&plan.setting, &home, 0)?;
    let agent = scene.api.agent("busy")?;
    scene.api.subscribe(&agent, &scene.url(), 1)?;
    let publish = scene.api.event(&agent, BODY_BYTES)?;
    let call = scene.api.called("called", &scene.receiver.url(&format!("/{DECLINE}/calls")))?;
    let direct = Template::post(scene.receiver.address(), &format!("/{DECLINE}/direct"), &[], CALL)?;
    let measure = |time| measure(plan, &scene, &call, &direct, time);
    measure(FIRST)?;
    add(table, "alone", "alone", &measure(plan.setting.time)?, Target::None);
    let publishing = scene.load(vec![publish], PUBLISHERS, Pace::Closed, FIRST + plan.setting.time);
    let beside = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publishing.run(&Arc::default()));
        measure(FIRST / 2)?;
        let beside = measure(plan.setting.time)?;
        let published = publishing.join().expect("a load does not panic")?;
        let arrived = scene.receiver.wait(MEASURED, published.accepted, DRAIN);
        anyhow::ensure!(arrived >= published.accepted, "{arrived} of {} deliveries", published.accepted);
        let row = Row::new("calls.deliveries", "… events delivered meanwhile", "/s", Target::None).rate();
        table.add(row, published.per_second());
        anyhow::Ok(beside)
    })?;
    add(table, "busy", "beside deliveries as fast as they go", &beside, Target::AtMost(BOUND_MS));
    scene.stop().map(drop)
}

fn add(table: &mut Table, id: &str, what: &str, measured: &Measured, bound: Target) {
    let ms = |micros: u64| float(micros) / 1000.0;
    let row = |name: &str, text: String, target| Row::new(format!("calls.{id}.{name}"), text, "ms", target);
    let Measured { calls, direct } = measured;
    table.add(row("p50", format!("deciding a call, {what}, p50"), Target::None), ms(calls.at(0.5)));
    table.add(row("p99", "… p99".into(), Target::None), ms(calls.at(0.99)));
    table.add(row("max", "… the longest".into(), Target::None), ms(calls.max()));
    table.add(row("direct", "… its receiver asked directly, p99".into(), Target::None), ms(direct.at(0.99)));
    let overhead = ms(calls.at(0.99)) - ms(direct.at(0.99));
    table.add(row("overhead", "… overhead, p99".into(), bound), overhead);
}

fn measure(
    plan: &Plan,
    scene: &Scene,
    call: &Template,
    direct: &Template,
    time: Duration,
) -> anyhow::Result<Measured> {
    let calls = scene.load(vec![call.clone()], CONNECTIONS, Pace::Open(RATE), time);
    let directly = Load {
        addresses: Arc::new([scene.receiver.address()]),
        templates: Arc::new([direct.clone()]),
        connections: CONNECTIONS,
        pace: Pace::Open(RATE),
        until: Until::Elapsed(time),
        honour_retry_after: false,
        threads: plan.setting.threads,
    };
    let before = scene.receiver.stats().group(DECLINE).requests;
    let (calls, direct) = std::thread::scope(|scope| {
        let direct = scope.spawn(|| directly.run(&Arc::default()));
        let calls = calls.run(&Arc::default());
        (calls, direct.join().expect("a load does not panic"))
    });
    let (calls, direct) = (complete(calls?)?, complete(direct?)?);
    let asked = scene.receiver.stats().group(DECLINE).requests.saturating_sub(before);
    let expected = calls.accepted + direct.accepted;
    anyhow::ensure!(asked == expected, "{expected} questions, and {asked} of them arrived");
    Ok(Measured { calls: calls.answer, direct: direct.answer })
}

/// A call that was refused is no fast one.
fn complete(tally: Tally) -> anyhow::Result<Tally> {
    let Tally { refused, cut_off, unsent, .. } = &tally;
    anyhow::ensure!(
        refused.is_empty() && *cut_off == 0 && *unsent == 0,
        "refused: {refused:?}, cut off: {cut_off}, not sent: {unsent}"
    );
    Ok(tally)
}

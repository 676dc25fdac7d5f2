//! What a server needs before it does anything.

use std::time::Duration;

use super::Plan;
use crate::clock::pause;
use crate::latency::float;
use crate::scene::Scene;
use crate::table::{Row, Table, Target};

/// After this, a server that has just started is idle.
const SETTLE: Duration = Duration::from_secs(1);

/// A store that was there before, with nothing in it: the very first start also makes keys.
pub(super) fn empty(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    let home = plan.setting.home()?;
    Scene::start(&plan.setting, &home, 0)?.stop()?;
    let scene = Scene::start(&plan.setting, &home, 0)?;
    let row = Row::new("start.empty", "start to ready, empty store", "ms", Target::AtMost(100.0));
    table.add(row, float(scene.first().ready_us) / 1000.0);
    pause(SETTLE);
    let row = Row::new("memory.idle", "memory (RSS), idle", "MiB", Target::AtMost(30.0));
    table.add(row, float(scene.first().rss_kib()) / 1024.0);
    scene.stop().map(drop)
}

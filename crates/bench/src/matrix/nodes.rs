//! What more nodes on one database bring.

use super::throughput::Saturated;
use super::{Plan, attempt};
use crate::scene::Setting;
use crate::table::{Row, Table, Target};

/// One, and as many more as show which way it goes on a machine that they share.
const COUNTS: [usize; 3] = [1, 2, 3];

/// One run with each number of nodes, whatever number the other rows have.
pub(super) fn round(plan: &Plan, table: &mut Table, round: usize) {
    for nodes in COUNTS {
        attempt(table, &format!("{}, run {}", name(nodes), round + 1), &mut |table| {
            let setting = Setting { nodes, ..plan.setting.clone() };
            shared(&Plan { setting, ..plan.clone() }, table, nodes)
        });
    }
}

fn name(nodes: usize) -> String {
    format!("{nodes} {}", if nodes == 1 { "node" } else { "nodes" })
}

fn shared(plan: &Plan, table: &mut Table, nodes: usize) -> anyhow::Result<()> {
    let (id, what) =
        (format!("nodes.{nodes}"), format!("events accepted and delivered with {}", name(nodes)));
    let saturated = Saturated::new(&id, &what, Target::None);
    let Some((figures, _)) = saturated.run(plan, table)? else { return Ok(()) };
    let row = |part: &str, what: &str| Row::new(format!("{id}.{part}"), what, "µs", Target::None);
    table.add(row("cpu", "… CPU of the nodes for a delivered event"), figures.server_cpu_each());
    if let Some(each) = figures.database_cpu_each() {
        table.add(row("postgres_cpu", "… CPU of Postgres for one"), each);
    }
    Ok(())
}

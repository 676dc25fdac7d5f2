use std::collections::HashSet;

use inkhook_server::domain::alert::COALESCED;
use inkhook_server::engine::alerts::MAX_UNDER_WAY;
use inkhook_server::store::alerts::{KEPT, MAX_WAITING, ORGANIZATIONS_LOOKED_AT};
use serde_json::json;

use super::Scene;

/// So many rows of the first organisation about subscriptions that are not there.
fn rows(count: usize, values: &str) -> String {
    format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
        INSERT INTO alerts (id, organization_id, subscription, subscription_id, url, kind, count, detail,
            happened_ms, opens_ms, due_ms, state, ended_ms)
        SELECT randomblob(16), {values} FROM n"
    )
}

#[tokio::test]
async fn one_more_than_may_wait_is_left_out() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    let values = format!(
        "{}, 1000 + n, randomblob(16), 'x', 1, 1, '{{}}', 0, 0, {}, 1, NULL",
        scene.acme.no.0,
        i64::MAX
    );
    scene.server.run(&rows(MAX_WAITING - 1, &values));
    scene.fail_once().await;
    assert_eq!(scene.column("no").len(), MAX_WAITING);
    scene.subscribe(&scene.acme, &scene.help, "/in2").await;
    scene.fail(&scene.acme, &scene.help, 2).await;
    assert_eq!(scene.column("no").len(), MAX_WAITING, "the second subscription's is left out");
    assert_eq!(
        scene.server.query::<i64>("SELECT count FROM alerts WHERE kind = 4"),
        [2],
        "the first's adds up"
    );
}

#[tokio::test]
async fn the_newest_that_ended_are_kept() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    let ended = |opens: i64| {
        format!("{}, 1000 + n, randomblob(16), 'x', 1, 1, '{{}}', 0, {opens}, 0, 2, 1", scene.acme.no.0)
    };
    let now = scene.server.app.clock.schedule();
    let old = now.0 - i64::try_from(COALESCED.as_millis()).unwrap();
    scene.server.run(&rows(3, &ended(now.0)));
    scene.server.run(&rows(KEPT, &ended(old)));
    scene.fail_once().await;
    scene.turn().await;
    // The oldest three are too many, but young enough to coalesce what comes; one of the others goes.
    assert_eq!(scene.column("no").len(), KEPT + 3);
    assert_eq!(scene.column("state = 2 AND opens_ms = 1").len(), KEPT + 3);
    scene.server.advance(COALESCED);
    scene.fail_once().await;
    scene.turn().await;
    assert_eq!(scene.column("no").len(), KEPT);
}

#[tokio::test]
async fn so_many_are_under_way_and_no_more() {
    let (scene, _) = Scene::told().await;
    scene.ops.hold();
    for n in 0..=MAX_UNDER_WAY {
        let organization = scene.server.organization(&format!("org-{n}")).await;
        let agent = organization.identity(&format!("agent-{n}")).await;
        scene.subscribe(&organization, &agent, &format!("/{n}")).await;
        scene.tell(&organization, json!(scene.ops.url(&format!("/{n}")))).await;
        scene.fail(&organization, &agent, 1).await;
    }
    assert_eq!(scene.alerts.turn().await.expect("the store works").started, MAX_UNDER_WAY);
    scene.ops.arrived(MAX_UNDER_WAY).await;
    assert_eq!(scene.alerts.turn().await.expect("the store works").started, 0);
    scene.ops.release();
    scene.turn().await;
    let paths: HashSet<String> = scene.ops.received().into_iter().map(|request| request.path).collect();
    assert_eq!((paths.len(), scene.ops.received().len()), (MAX_UNDER_WAY + 1, MAX_UNDER_WAY + 1));
}

#[tokio::test]
async fn a_look_visits_so_many_organisations_and_goes_on_from_there() {
    let scene = Scene::new().await;
    for n in 0..=ORGANIZATIONS_LOOKED_AT {
        scene.server.organization(&format!("org-{n}")).await;
    }
    scene.server.run(
        "INSERT INTO alerts (id, organization_id, subscription, subscription_id, url, kind, count, detail,
            happened_ms, opens_ms, due_ms)
        SELECT randomblob(16), no, no, randomblob(16), 'x', 1, 1, '{}', 0, 0,
            CASE WHEN no = (SELECT max(no) FROM organizations) THEN 0 ELSE 9223372036854775807 END
        FROM organizations WHERE name <> 'acme'",
    );
    let now = scene.server.app.clock.schedule();
    let store = &scene.server.app.store;
    let first = store.due_alerts(now, None, HashSet::new(), 8).await.expect("the store works");
    assert_eq!(first.organizations, []);
    let on = store.due_alerts(now, first.go_on_after, HashSet::new(), 8).await.expect("the store works");
    assert_eq!((on.organizations.len(), on.go_on_after), (1, None));
    let but = on.organizations.into_iter().collect();
    let without = store.due_alerts(now, first.go_on_after, but, 8).await.expect("the store works");
    assert_eq!((without.organizations.len(), without.go_on_after), (0, None));
    // The loop comes to an end, and on its way to the one that is due: it wants to hear nothing, so it ends.
    scene.turn().await;
    let ended: Vec<i64> = scene.server.query("SELECT due_ms FROM alerts WHERE state = 3");
    assert_eq!(ended, [0]);
}

//! Nobody sees, changes or learns of what is not theirs.

use serde_json::Value;

use super::{NOTHING, Names, Route, World, cases, routes};

/// What an answer to a stranger must not have in it.
fn secrets(world: &World) -> Vec<String> {
    let names = &world.names;
    let mut secrets = vec![names.address.clone(), "ours-alone".into()];
    for id in [
        &names.identity,
        &names.mailbox,
        &names.number,
        &names.subscription,
        &names.attempt,
        &names.job,
        &names.contact,
        &names.fact,
    ] {
        secrets.push(id.clone());
    }
    for id in [&names.event, &names.key] {
        secrets.push(id.split_once('_').expect("a prefix").1.to_owned());
    }
    secrets
}

/// An answer without the one thing in it that changes by itself, a moment after any request.
fn settled(json: &Value) -> Value {
    match json {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| *name != "last_used_at");
            fields.map(|(name, value)| (name.clone(), settled(value))).collect()
        }
        Value::Array(items) => items.iter().map(settled).collect(),
        other => other.clone(),
    }
}

/// Sends every request that names `world.names` with a key that may not see them; the same that names
/// nothing must be answered in the same words.
async fn all_the_same_as_nothing(world: &World, key: &str, route: &Route) {
    let pairs = cases::of(route, &world.names).into_iter().zip(cases::of(route, &Names::nobodys()));
    for (theirs, nobodys) in pairs {
        let seen = world.send(&route.method, &theirs.path, key, theirs.body.as_ref()).await;
        let unseen = world.send(&route.method, &nobodys.path, key, nobodys.body.as_ref()).await;
        let case = format!("{} {theirs:?}", route.method);
        let expected: &[u16] = if route.is_list() { &[200, 403] } else { &[404, 403] };
        assert!(expected.contains(&seen.status.as_u16()), "{case}: {} {}", seen.status, seen.json);
        let (seen_json, unseen_json) = (settled(&seen.json), settled(&unseen.json));
        assert_eq!((seen.status, seen_json), (unseen.status, unseen_json), "{case}");
        let text = String::from_utf8(seen.bytes).expect("UTF-8");
        for secret in secrets(world) {
            assert!(!text.contains(&secret), "{case}: {secret} in {text}");
        }
    }
}

#[tokio::test]
async fn what_is_another_organisations_is_not_there() {
    let world = World::new().await;
    let before = world.server.snapshot();
    for route in routes() {
        for key in [&world.globex.key, &world.spy.key] {
            all_the_same_as_nothing(&world, key, &route).await;
        }
    }
    assert_eq!(world.server.snapshot(), before, "nothing changed");
}

#[tokio::test]
async fn what_is_another_identitys_is_not_there_for_an_agent_key() {
    let world = World::new().await;
    let before = world.server.snapshot();
    for route in routes().into_iter().filter(|route| !route.is_shared()) {
        all_the_same_as_nothing(&world, &world.sales.key, &route).await;
    }
    assert_eq!(world.server.snapshot(), before, "nothing changed");
}

/// Otherwise the tests above would pass on a server that shows nobody anything.
#[tokio::test]
async fn what_is_ones_own_is_there() {
    let world = World::new().await;
    let mut listed = 0;
    for route in routes().into_iter().filter(|route| route.method == "GET" && !route.is_public()) {
        for case in cases::of(&route, &world.names) {
            for key in [&world.acme.key, &world.help.key] {
                let reply = world.send(&route.method, &case.path, key, None).await.expect(200);
                listed += usize::from(
                    secrets(&world)
                        .iter()
                        .any(|secret| String::from_utf8_lossy(&reply.bytes).contains(secret)),
                );
            }
        }
    }
    assert!(listed >= 40, "{listed}");
}

#[tokio::test]
async fn an_unclaimed_key_is_403_on_every_webhook_route() {
    let world = World::new().await;
    let key = world.acme.unclaimed_key(world.help.id).await;
    let before = world.server.snapshot();
    let mut tried = 0;
    for route in routes().into_iter().filter(Route::is_webhook) {
        let path = world.names.fill(&route.path);
        // Before the syntax of anything is judged, and whether or not the row is there.
        for path in [path, route.path.replace("{subscription_id}", "x"), world.names.fill(&route.path) + "/"]
        {
            let request = world.server.request(route.method.clone(), &path).key(&key);
            request.bytes("{").send().await.refused(403);
        }
        tried += 1;
    }
    assert!(tried >= 16, "{tried}");
    assert_eq!(world.server.snapshot(), before, "nothing changed");
}

#[tokio::test]
async fn every_route_needs_a_key() {
    let world = World::new().await;
    for route in routes().into_iter().filter(|route| !route.is_public()) {
        let path = world.names.fill(&route.path);
        for key in [None, Some("no-such-key-no-such-key"), Some(NOTHING)] {
            let request = world.server.request(route.method.clone(), &path);
            let request = if let Some(key) = key { request.key(key) } else { request };
            request.bytes("{").send().await.refused(401);
        }
    }
}

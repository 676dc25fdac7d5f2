//! The book on which calls of the Rust SDK were made, and what the server was asked by each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use inkbox::error::InkboxError;

use super::relay::Relay;
use super::report::{Call, Outcome, Report, not_about_webhooks};

/// What counts as refusing.
const REFUSALS: [u16; 5] = [401, 403, 404, 409, 422];

#[derive(Debug)]
pub(super) struct Book {
    relay: Relay,
    /// Method and template of what the server has.
    served: Vec<(String, String)>,
    calls: BTreeMap<String, Call>,
    left_out: BTreeMap<String, String>,
    made: BTreeSet<String>,
    refusals: BTreeMap<String, BTreeSet<u16>>,
}

impl Book {
    /// On these calls, made by way of the relay.
    pub(super) fn new(calls: BTreeSet<String>, relay: Relay) -> Self {
        let document = serde_json::to_value(inkhook_server::api::openapi()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let operations = |(path, item): (&String, &serde_json::Value)| -> Vec<(String, String)> {
            let methods = item.as_object().expect("operations").keys();
            methods.map(|method| (method.to_uppercase(), path.clone())).collect()
        };
        let served = paths.iter().flat_map(operations).collect();
        let patterns = not_about_webhooks();
        let mut book = Self {
            relay,
            served,
            calls: BTreeMap::new(),
            left_out: BTreeMap::new(),
            made: BTreeSet::new(),
            refusals: BTreeMap::new(),
        };
        for name in calls {
            match patterns.iter().find(|(pattern, _)| fits(pattern, &name)) {
                Some((pattern, _)) => drop(book.left_out.insert(name, pattern.clone())),
                None => drop(book.calls.insert(name.clone(), Call { name, ..Call::default() })),
            }
        }
        book
    }

    /// Notes a call that was just made, with success; its answer.
    pub(super) fn ok<T>(&mut self, name: &str, result: Result<T, InkboxError>) -> T {
        self.note(name);
        self.made.insert(name.to_owned());
        result.unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    /// Notes a call that was just refused with this status; the detail in lower case.
    pub(super) fn refused<T: Debug>(
        &mut self,
        status: u16,
        name: &str,
        result: Result<T, InkboxError>,
    ) -> String {
        let route = self.note(name).unwrap_or_else(|| panic!("{name} asked the server"));
        self.refusals.entry(route).or_default().insert(status);
        self.calls.get_mut(name).expect("noted").refusals.insert(status);
        match result {
            Err(InkboxError::Api { status_code, detail, .. }) if status_code == status => {
                let detail = detail.to_string();
                assert!(!detail.is_empty(), "the error has a detail");
                detail.to_lowercase()
            }
            other => panic!("{name}: expected {status}, got {other:?}"),
        }
    }

    /// Notes a call for which the server has no route.
    pub(super) fn unserved<T: Debug>(&mut self, name: &str, result: Result<T, InkboxError>) {
        let route = self.note(name).unwrap_or_else(|| panic!("{name} asked the server"));
        let (method, path) = route.split_once(' ').expect("two words");
        assert!(!self.serves(method, path), "{route} is served: {name} needs its test");
        match result {
            Err(InkboxError::Api { status_code: 404, .. }) => {}
            other => panic!("{name}: expected 404, got {other:?}"),
        }
        self.calls.get_mut(name).expect("noted").outcome = Outcome::NotYetServed;
    }

    /// Whether the server has this route.
    pub(super) fn serves(&self, method: &str, path: &str) -> bool {
        self.template(method, path).is_some()
    }

    /// What is missing, in sentences, and what the run came to.
    pub(super) fn close(self) -> (Vec<String>, Report) {
        let unserved = |call: &Call| call.outcome == Outcome::NotYetServed;
        let untested = self.calls.values().filter(|call| !unserved(call) && !self.made.contains(&call.name));
        let mut faults: Vec<String> =
            untested.map(|call| format!("{} has no test and is in no list", call.name)).collect();
        let tested = self.calls.values().filter(|call| !unserved(call));
        for route in tested.flat_map(|call| &call.routes).collect::<BTreeSet<_>>() {
            let refusals = self.refusals.get(route);
            if !refusals.is_some_and(|met| met.iter().any(|status| REFUSALS.contains(status))) {
                faults.push(format!("{route} never refused anything"));
            }
        }
        (faults, Report { calls: self.calls.into_values().collect(), left_out: self.left_out })
    }

    /// Notes the requests of the call that was just made; the last one's route.
    fn note(&mut self, name: &str) -> Option<String> {
        let seen = self.relay.take();
        let routes: Vec<String> = seen
            .into_iter()
            .map(|(method, path, _)| {
                let path = path.trim_end_matches('/');
                format!("{method} {}", self.template(&method, path).unwrap_or(path))
            })
            .collect();
        let call =
            self.calls.get_mut(name).unwrap_or_else(|| panic!("the SDK has no {name}, or it is left out"));
        call.routes.extend(routes.iter().cloned());
        routes.into_iter().next_back()
    }

    /// The most literal template that fits.
    fn template(&self, method: &str, path: &str) -> Option<&str> {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let fits = |template: &str| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == parts.len()
                && template.iter().zip(&parts).all(|(given, part)| given == part || given.starts_with('{'))
        };
        let found = self.served.iter().filter(|(verb, template)| verb == method && fits(template));
        found.map(|(_, template)| template.as_str()).min_by_key(|template| template.matches('{').count())
    }
}

/// As `fnmatch` does, with `*` only.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, rest)) => name.strip_prefix(before).is_some_and(|name| {
            (0..=name.len()).filter(|at| name.is_char_boundary(*at)).any(|at| fits(rest, &name[at..]))
        }),
    }
}

#[test]
fn patterns_fit_as_those_of_python_do() {
    for (pattern, name, expected) in [
        ("a2a*", "a2a.tasks", true),
        ("close", "closed", false),
        ("*_rules.*", "mail_contact_rules.list", true),
        ("identity.*_call", "identity.place_call", true),
        ("identity.*_call", "identity.place_calls", false),
        ("*", "", true),
    ] {
        assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
    }
}

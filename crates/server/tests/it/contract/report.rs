//! What a run of a client library came to, and the tables of `docs/compatibility.md` that are made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What no test makes, by patterns, and why not.
const NOT_ABOUT_WEBHOOKS: &str = include_str!("../../contract/not_about_webhooks.json");

/// One library's run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// The calls that are about webhooks.
    pub(super) calls: Vec<Call>,
    /// The other ones, and the pattern by which each is left out.
    pub(super) left_out: BTreeMap<String, String>,
}

/// One call of a library.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// `METHOD /template`, of every request that it sent.
    pub(super) routes: BTreeSet<String>,
    /// Statuses that it met as errors.
    pub(super) refusals: BTreeSet<u16>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// Made with success, or as often refused as it should be.
    #[default]
    #[serde(rename = "works")]
    Works,
    /// The server has no such route.
    #[serde(rename = "not yet served")]
    NotYetServed,
}

impl Outcome {
    fn cell(self) -> &'static str {
        match self {
            Self::Works => "✓",
            Self::NotYetServed => "404",
        }
    }
}

/// The cell of a library that has no such call.
const NO_SUCH_CALL: &str = "·";

/// Pattern and reason, in the order in which they are tried.
pub(super) fn not_about_webhooks() -> Vec<(String, String)> {
    // One pair a line, because a JSON object read into a map has no order.
    let pairs =
        NOT_ABOUT_WEBHOOKS.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once("\": \""));
    let pair = |(pattern, reason): (&str, &str)| {
        (pattern.trim_start_matches('"').to_owned(), reason.trim_end_matches('"').to_owned())
    };
    let pairs: Vec<_> = pairs.map(pair).collect();
    let all: BTreeMap<String, String> = serde_json::from_str(NOT_ABOUT_WEBHOOKS).expect("JSON");
    assert_eq!(pairs.iter().cloned().collect::<BTreeMap<_, _>>(), all, "one pair a line");
    pairs
}

/// The generated part of the page. `libraries` are in the order of their columns.
pub(super) fn tables(libraries: &[(String, Report)]) -> String {
    let mut text = String::from("| call | route | refused with |");
    for (library, _) in libraries {
        write!(text, " {library} |").expect("memory");
    }
    text.push_str("\n|---|---|---|");
    text.push_str(&"---|".repeat(libraries.len()));
    text.push('\n');
    for (name, made) in by_call(libraries) {
        let routes = union(&made, |call| call.routes.iter().map(|route| short(route)).collect());
        let refusals = union(&made, |call| call.refusals.iter().map(u16::to_string).collect());
        write!(text, "| `{name}` | {routes} | {refusals} |").expect("memory");
        for (library, _) in libraries {
            let cell = made.get(library.as_str()).map_or(NO_SUCH_CALL, |call| call.outcome.cell());
            write!(text, " {cell} |").expect("memory");
        }
        text.push('\n');
    }
    text.push_str("\nLeft out, because they are not about webhooks (calls of all versions together):\n\n");
    text.push_str("| what it is | calls | by these patterns |\n|---|---|---|\n");
    for (reason, (names, patterns)) in left_out(libraries) {
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("`{pattern}`")).collect();
        writeln!(text, "| {reason} | {} | {} |", names.len(), patterns.join(" ")).expect("memory");
    }
    text
}

/// What each library made of each call.
fn by_call(libraries: &[(String, Report)]) -> BTreeMap<&str, BTreeMap<&str, &Call>> {
    let mut calls = BTreeMap::<&str, BTreeMap<&str, &Call>>::new();
    for (library, report) in libraries {
        for call in &report.calls {
            calls.entry(&call.name).or_default().insert(library, call);
        }
    }
    calls
}

fn union(made: &BTreeMap<&str, &Call>, of: impl Fn(&Call) -> Vec<String>) -> String {
    let all: BTreeSet<String> = made.values().flat_map(|call| of(call)).collect();
    all.into_iter().collect::<Vec<_>>().join(" · ")
}

/// Everything is below `/api/v1` but whoami.
fn short(route: &str) -> String {
    format!("`{}`", route.replace("/api/v1/", "/"))
}

type NamesAndPatterns = (BTreeSet<String>, BTreeSet<String>);

fn left_out(libraries: &[(String, Report)]) -> BTreeMap<String, NamesAndPatterns> {
    let reasons: BTreeMap<_, _> = not_about_webhooks().into_iter().collect();
    let mut rows = BTreeMap::<String, NamesAndPatterns>::new();
    for (name, pattern) in libraries.iter().flat_map(|(_, report)| &report.left_out) {
        let (names, patterns) = rows.entry(reasons[pattern].clone()).or_default();
        names.insert(name.clone());
        patterns.insert(pattern.clone());
    }
    rows
}

/// Patterns that leave nothing out.
pub(super) fn idle_patterns(libraries: &[(String, Report)]) -> Vec<String> {
    let used: BTreeSet<&String> = libraries.iter().flat_map(|(_, report)| report.left_out.values()).collect();
    let patterns = not_about_webhooks().into_iter().map(|(pattern, _)| pattern);
    patterns.filter(|pattern| !used.contains(pattern)).collect()
}

/// Where the first table of a page says something else about these libraries.
pub(super) fn differences(page: &str, libraries: &[(String, Report)]) -> Vec<String> {
    let mut rows = page.lines().filter(|line| line.starts_with('|')).map(cells);
    let columns = rows.next().unwrap_or_default();
    let said: BTreeMap<String, Vec<String>> =
        rows.map(|row| (row.first().cloned().unwrap_or_default(), row)).collect();
    let mut differences = Vec::new();
    let calls = by_call(libraries);
    for (library, _) in libraries {
        let Some(column) = columns.iter().position(|column| column == library) else {
            differences.push(format!("no column {library}"));
            continue;
        };
        let named: BTreeSet<String> = said
            .iter()
            .filter(|(call, row)| call.starts_with('`') && row.len() > column && row[column] != NO_SUCH_CALL)
            .map(|(call, _)| call.trim_matches('`').to_owned())
            .collect();
        let made: BTreeMap<&str, &Call> =
            calls.iter().filter_map(|(name, made)| Some((*name, *made.get(library.as_str())?))).collect();
        differences.extend(
            named
                .iter()
                .filter(|name| !made.contains_key(name.as_str()))
                .map(|name| format!("{library} has no {name}")),
        );
        for (name, call) in made {
            match said.get(&format!("`{name}`")).and_then(|row| row.get(column)) {
                Some(cell) if cell == call.outcome.cell() => {}
                said => {
                    let made = call.outcome.cell();
                    differences.push(format!("{name} of {library}: {said:?}, not {made}"));
                }
            }
        }
    }
    differences
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn a_table_agrees_with_what_it_was_made_of_and_with_nothing_else() {
    let call = |name: &str, outcome| Call {
        name: name.to_owned(),
        outcome,
        routes: ["GET /api/v1/x".to_owned()].into(),
        refusals: [404, 401].into(),
    };
    let report =
        |calls: Vec<Call>| Report { calls, left_out: [("close".to_owned(), "close".to_owned())].into() };
    let (a, b) = (call("a", Outcome::Works), call("b", Outcome::NotYetServed));
    let libraries =
        [("1".to_owned(), report(vec![a.clone()])), ("2".to_owned(), report(vec![a.clone(), b.clone()]))];
    let page = tables(&libraries);
    assert!(page.contains("| `a` | `GET /x` | 401 · 404 | ✓ | ✓ |\n"), "{page}");
    assert!(page.contains("| `b` | `GET /x` | 401 · 404 | · | 404 |\n"), "{page}");
    assert_eq!(differences(&page, &libraries), [""; 0]);
    assert_eq!(differences(&page, &libraries[1..]), [""; 0]);
    let other = |calls: Vec<Call>| differences(&page, &[("2".to_owned(), report(calls))]).len();
    assert_eq!(other(vec![a.clone()]), 1, "a call less");
    assert_eq!(other(vec![a.clone(), b, call("c", Outcome::Works)]), 1, "a call more");
    assert_eq!(other(vec![a, call("b", Outcome::Works)]), 1, "another outcome");
    assert_eq!(differences(&page, &[("3".to_owned(), report(Vec::new()))]), ["no column 3"]);
}

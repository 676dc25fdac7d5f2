//! Which calls the Rust SDK has, read from its source: whatever its client, the resources on it and its identity
//! can be asked for that may fail.
//!
//! The source is formatted by rustfmt, so a block begins and a signature ends where the lines say so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The SDK that the tests are built with.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) version: String,
    /// As they are called: `webhooks.subscriptions.create`.
    pub(super) calls: BTreeSet<String>,
}

/// Type to its public methods, each with what it returns.
type Types = BTreeMap<String, Vec<(String, String)>>;

pub(super) fn read() -> Source {
    let (version, directory) = locate();
    let mut types = Types::new();
    read_directory(&directory.join("src"), &mut types);
    let mut calls = BTreeSet::new();
    walk(&types, "Inkbox", "", &mut calls);
    walk(&types, "AgentIdentity", "identity.", &mut calls);
    let verifying = std::fs::read_to_string(directory.join("src/signing_keys.rs")).expect("its source");
    let functions =
        verifying.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split(['(', '<']).next());
    calls.extend(functions.map(|name| format!("inkbox.{name}")));
    Source { version, calls }
}

/// Where cargo has the SDK that it builds the tests with.
fn locate() -> (String, PathBuf) {
    let cargo = Path::new(env!("CARGO"));
    let rustc = said_by(Command::new(cargo.with_file_name("rustc")).arg("-vV"));
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("its platform");
    // What other platforms need may not be there.
    let metadata = said_by(
        Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--offline", "--all-features"])
            .args(["--filter-platform", host])
            .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]),
    );
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let mut packages = metadata["packages"].as_array().expect("packages").iter();
    let sdk = packages.find(|package| package["name"] == "inkbox").expect("a dependency of the tests");
    let text = |key: &str| sdk[key].as_str().expect("a text").to_owned();
    let manifest = PathBuf::from(text("manifest_path"));
    (text("version"), manifest.parent().expect("a directory").to_owned())
}

fn said_by(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn read_directory(directory: &Path, types: &mut Types) {
    for entry in std::fs::read_dir(directory).expect("its source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_directory(&path, types);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            read_text(&std::fs::read_to_string(&path).expect("its source"), types);
        }
    }
}

/// Notes the public methods of every `impl` block at the margin.
fn read_text(text: &str, types: &mut Types) {
    let mut lines = text.lines();
    let mut of = None;
    while let Some(line) = lines.next() {
        if line.starts_with('}') {
            of = None;
        } else if line.starts_with("impl") && !line.contains(" for ") {
            of = implemented(line);
        }
        let (Some(of), Some(signature)) = (&of, line.strip_prefix("    pub fn ")) else { continue };
        let mut signature = signature.to_owned();
        while !signature.contains('{') {
            let Some(line) = lines.next() else { break };
            signature.push_str(line.trim());
        }
        let name = signature.split(['(', '<']).next().unwrap_or_default().to_owned();
        let returned = signature.split('{').next().and_then(|whole| whole.rsplit_once("-> "));
        let returned = returned.map_or("", |(_, returned)| returned).trim().to_owned();
        types.entry(of.clone()).or_default().push((name, returned));
    }
}

/// `impl<'a> Name<'a> {`
fn implemented(line: &str) -> Option<String> {
    let line = line.strip_suffix('{')?.trim_end();
    let line = line.strip_prefix("impl")?;
    let name = if line.starts_with('<') { line.split_once("> ")?.1 } else { line.trim_start() };
    Some(name.split('<').next()?.to_owned())
}

/// Whatever gives out a resource leads on; whatever may fail is a call.
fn walk(types: &Types, of: &str, path: &str, calls: &mut BTreeSet<String>) {
    for (name, returned) in types.get(of).into_iter().flatten() {
        let name = format!("{path}{name}");
        let inner =
            returned.trim_start_matches('&').trim_start_matches("'a ").split('<').next().unwrap_or_default();
        if inner.ends_with("Resource") || inner.ends_with("Namespace") {
            walk(types, inner, &format!("{name}."), calls);
        } else if returned.contains("Result<") && !returned.contains("Self>") {
            calls.insert(name);
        }
    }
}

#[test]
fn a_source_is_read() {
    let mut types = Types::new();
    read_text(
        "impl Inkbox {\n    pub fn build(self) -> Result<Arc<Self>> {\n    }\n    pub fn things(&self) -> \
         &ThingsResource {\n        &self.x\n    }\n    pub fn key(&self) -> &str {\n    }\n    fn own(&self) -> \
         Result<()> {\n    }\n}\nimpl<'a> ThingsResource<'a> {\n    pub fn list(\n        &self,\n        a: \
         Option<u8>,\n    ) -> Result<Vec<Thing>> {\n    }\n    pub fn map<T>(\n        f: impl FnOnce(&X) -> \
         Result<T>,\n    ) -> Result<T> {\n    }\n}\nimpl Debug for ThingsResource {\n    pub fn no() -> \
         Result<()> {\n    }\n}\npub fn free() -> Result<()> {\n}\n",
        &mut types,
    );
    let mut calls = BTreeSet::new();
    walk(&types, "Inkbox", "", &mut calls);
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), ["things.list", "things.map"]);
}

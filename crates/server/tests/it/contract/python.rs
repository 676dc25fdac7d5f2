//! The Python SDKs, each in a directory that `scripts/test` or `scripts/soak` makes under the target directory.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use inkbox::Inkbox;

use super::report::Report;
use crate::support::running::RunningServer;

/// The versions that are tested, oldest first, one a line. The scripts read it, too.
const VERSIONS: &str = include_str!("../../../../../scripts/inkbox-versions");

/// Every version, and whether an ordinary run tests it, too.
pub(super) fn versions() -> Vec<(&'static str, bool)> {
    let version = |line: &'static str| match line.split_once(' ') {
        Some((version, "short")) => (version, true),
        Some(_) => panic!("scripts/inkbox-versions: {line}"),
        None => (line, false),
    };
    VERSIONS.lines().filter(|line| !line.starts_with('#')).map(version).collect()
}

/// An interpreter that finds this version of the SDK: `target/venv-inkbox/bin/python`, which has what they all
/// need, with `target/inkbox-VERSION`. Without them the test is skipped, which it says; under CI they must be
/// there.
pub(super) fn interpreter(version: &str) -> Option<Command> {
    let binary = Path::new(env!("CARGO_BIN_EXE_inkhook"));
    // target/PROFILE/inkhook, or target/TRIPLE/PROFILE/inkhook.
    let sdk = format!("inkbox-{version}");
    let found = |directory: &Path| -> Option<(PathBuf, PathBuf)> {
        let (python, sdk) = (directory.join("venv-inkbox/bin/python"), directory.join(&sdk));
        (python.exists() && sdk.join("installed").exists()).then_some((python, sdk))
    };
    let Some((python, sdk)) = binary.ancestors().skip(1).take(4).find_map(found) else {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "no inkbox {version}: run the tests with scripts/test, which installs it"
        );
        println!("skipped: no inkbox {version}; scripts/test and scripts/soak install it");
        return None;
    };
    let mut command = Command::new(python);
    command
        .arg("-B")
        .env("PYTHONPATH", sdk)
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost")
        .env_remove("INKBOX_API_KEY")
        .env_remove("INKBOX_BASE_URL")
        .env_remove("INKBOX_VAULT_KEY");
    Some(command)
}

/// A script beside the tests.
pub(super) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract").join(name)
}

/// Agents may sign up; their codes are in the log.
pub(super) const SETTINGS: [(&str, &str); 1] = [("INKHOOK_SIGNUP__ENABLED", "true")];
/// Makes it five minutes since the last codes were made.
pub(super) const LET_THE_COOLDOWN_PASS: &str = "UPDATE signups SET code_made_ms = code_made_ms - 300000";

/// Lets this version make every call that it has, on a server of its own.
pub(super) fn drive(version: &str) -> Option<Report> {
    let mut python = interpreter(version)?;
    let server = RunningServer::start_with(&SETTINGS);
    let admin = Inkbox::builder(&server.admin_key).base_url(&server.base_url).build().expect("a client");
    admin.create_identity("unclaimed").expect("an identity for the key that nobody has claimed");
    let unclaimed_key = server.unclaimed_key("unclaimed");
    let report = server.data_dir().join("report.json");

    let errors = server.data_dir().join("errors.txt");
    let mut run = python
        .arg(script("run.py"))
        .args(["--base-url", &server.base_url, "--version", version])
        .args(["--admin-key", &server.admin_key, "--unclaimed-key", &unclaimed_key])
        .arg("--openapi")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json"))
        .arg("--report")
        .arg(&report)
        .arg("--log")
        .arg(server.data_dir().join("test.log"))
        // No configuration file of whoever runs the tests.
        .env("HOME", server.data_dir())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors).expect("a file"))
        .spawn()
        .expect("the interpreter runs");
    let mut said = String::new();
    for line in BufReader::new(run.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        if line == "the cooldown is to pass" {
            server.books().run(LET_THE_COOLDOWN_PASS);
            File::create(server.data_dir().join("cooldown-passed")).expect("a file");
        }
        said.push_str(&line);
        said.push('\n');
    }
    println!("{said}");
    let errors = std::fs::read_to_string(errors).expect("the file");
    assert!(run.wait().expect("it ends").success(), "inkbox {version}:\n{said}{errors}");
    let closing = format!(" calls of inkbox {version} made");
    assert!(said.trim_end().ends_with(&closing), "the run came to its end");
    let report = std::fs::read(report).expect("the run wrote its report");
    Some(serde_json::from_slice(&report).expect("a report"))
}

//! The Python SDKs, each in the environment that `scripts/test` makes under the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use inkbox::Inkbox;

use crate::support::running::RunningServer;

/// The environment's interpreter, `target/venv-inkbox-VERSION/bin/python`. Without one the test is skipped,
/// which it says; under CI there must be one.
pub(super) fn interpreter(version: &str) -> Option<PathBuf> {
    let binary = Path::new(env!("CARGO_BIN_EXE_inkhook"));
    // target/PROFILE/inkhook, or target/TRIPLE/PROFILE/inkhook.
    let python = format!("venv-inkbox-{version}/bin/python");
    let found = binary
        .ancestors()
        .skip(1)
        .take(4)
        .map(|directory| directory.join(&python))
        .find(|path| path.exists());
    if found.is_none() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "no environment with inkbox {version}: run the tests with scripts/test, which makes it"
        );
        println!("skipped: no environment with inkbox {version}; scripts/test makes it");
    }
    found
}

fn drive(version: &str) {
    let Some(python) = interpreter(version) else { return };
    let server = RunningServer::start_blocking();
    let admin = Inkbox::builder(&server.admin_key).base_url(&server.base_url).build().expect("a client");
    admin.create_identity("unclaimed").expect("an identity for the key that nobody has claimed");
    let unclaimed_key = server.unclaimed_key("unclaimed");

    let output = Command::new(python)
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract/run.py"))
        .args(["--base-url", &server.base_url, "--mode", version])
        .args(["--admin-key", &server.admin_key, "--unclaimed-key", &unclaimed_key])
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost")
        .env_remove("INKBOX_API_KEY")
        .env_remove("INKBOX_BASE_URL")
        .env_remove("INKBOX_VAULT_KEY")
        // No configuration file of whoever runs the tests.
        .env("HOME", server.data_dir())
        .output()
        .expect("the interpreter runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "inkbox {version}:\n{said}{}", String::from_utf8_lossy(&output.stderr));
    let closing = format!(" steps of inkbox {version} passed");
    assert!(said.trim_end().ends_with(&closing), "the run came to its end");
}

#[test]
fn python_sdk_of_the_first_webhooks_release_works_unmodified() {
    drive("0.4.6");
}

#[test]
fn python_sdk_of_today_works_unmodified() {
    drive("0.7.20");
}

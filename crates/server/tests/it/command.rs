//! The built binary, run as a person runs it.

mod config;
mod demo;

use std::path::Path;
use std::process::{Command, Output};

/// `inkhook` in this directory, with nothing of the environment's that would configure it.
fn inkhook(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inkhook"));
    command.args(arguments).current_dir(directory).env_clear().env("TMPDIR", directory);
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

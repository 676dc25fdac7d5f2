//! `inkhook-bench`: see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    inkhook_bench::cli::main()
}

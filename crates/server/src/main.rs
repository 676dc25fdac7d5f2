//! The `inkhook` binary.

fn main() -> std::process::ExitCode {
    inkhook_server::cli::main()
}

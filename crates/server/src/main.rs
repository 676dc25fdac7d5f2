//! The `inkhook` binary.

/// A publish and its delivery allocate some two hundred times; see `docs/decisions.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    inkhook_server::cli::main()
}

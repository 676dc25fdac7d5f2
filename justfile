# The short way to what CI does; every recipe is one line.

default: check test

# Format, lint, documentation
check:
    cargo fmt --check && cargo clippy --workspace --all-targets --all-features -- -D warnings && RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# Everything, installing what is missing
test:
    scripts/test

# The long forms: run before a release
soak:
    scripts/soak

# What CI runs
ci:
    bash .ci/run

# Rust tests only, those that need nothing installed
quick *ARGS:
    cargo test --workspace {{ARGS}}

fmt:
    cargo fmt

# Licences, duplicates, sources
deny:
    cargo deny check bans licenses sources

# The table of docs/performance.md
bench *ARGS:
    scripts/bench {{ARGS}}

# See it work
demo:
    cargo run --release -- demo

# A server that may reach loopback
dev *ARGS:
    cargo run -- serve --dev {{ARGS}}

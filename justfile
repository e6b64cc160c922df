# The index of all chores. `just` lists them.

default:
    @just --list --unsorted

# The definition of done: everything that must hold before a change is handed in.
check:
    cargo fmt --check
    cargo clippy --release --all-targets -- -D warnings
    cargo test --release
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps
    ASOF_BENCH_KEYS=2000 cargo test --release --benches
    command -v cargo-deny >/dev/null && cargo deny check || echo "cargo-deny is not installed: licences and advisories were not checked"

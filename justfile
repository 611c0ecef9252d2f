# Optional sugar: everything here is a plain cargo command.

# The main job, end to end.
demo:
    cargo run --release -- demo

# All tests.
test:
    cargo test --workspace

# What a change must pass.
ci:
    .ci/run

# Lints as errors, in both feature sets.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p siltstone-ingest --no-default-features --all-targets -- -D warnings

# Fuzz one target for a minute (needs cargo-fuzz and a nightly toolchain).
fuzz target="segment":
    cargo +nightly fuzz run {{target}} -- -max_total_time=60 -rss_limit_mb=1024

# The command without SQL, and its size.
small:
    cargo build --release -p siltstone-ingest --no-default-features
    ls -l target/release/silt

# Numbers beside other engines; needs a few minutes.
bench:
    cargo run --release -p siltstone-benches --features compare-parquet --bin numbers -- --quick

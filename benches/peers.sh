#!/usr/bin/env bash
# Measures asof beside DuckDB on the generated workload, both in one run.
#
# usage: benches/peers.sh [--keys N] [--shape scattered|local|recent] [--ndjson] [--jobs LIST] [--runs N]
#                         [--dir DIR] [--bench DIR]
#
#   --keys    rows of the current table (4000000)
#   --shape   where births, deaths and updates fall (scattered)
#   --ndjson  also the same ledger as Debezium events
#   --jobs    of snapshot,verify,file,folder,series,history,ndjson: all that the data allows (--help says which is what)
#   --runs    runs per side and job; medians are printed (5)
#   --dir     where data is generated and kept for the next time (target/peers)
#   --bench   where gen.py and peers.py lie (../shared/bench)
#
# Needs python3 with duckdb and pytz. Set ASOF to measure a binary that is already built.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${ASOF:-}" ]; then
    cargo build --release
    ASOF="${CARGO_TARGET_DIR:-target}/release/asof"
fi
exec python3 benches/peers.py --asof "$ASOF" "$@"

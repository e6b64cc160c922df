#!/usr/bin/env python3
"""Alternates asof and DuckDB on the same jobs, checks every output against the truth, prints medians.

Called by peers.sh. Only the ratios mean anything: times of different machines or days are not comparable.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The default truth of gen.py.
AS_OF = "2025-09-30T23:59:59.999999Z"


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--asof", required=True)
    p.add_argument("--keys", type=int, default=4_000_000)
    p.add_argument("--shape", choices=["scattered", "local", "recent"], default="scattered")
    p.add_argument("--ndjson", action="store_true")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--threads", type=int, default=2, help="the peer's scripts use 2")
    p.add_argument("--dir", type=Path, default=Path("target/peers"))
    p.add_argument("--bench", type=Path, default=Path("../shared/bench"))
    return p.parse_args()


def generate(a):
    """The workload's folder; generated once."""
    folder = a.dir / f"{a.shape}-{a.keys}{'-ndjson' if a.ndjson else ''}"
    if not (folder / "meta.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, a.bench / "gen.py", folder, "--keys", str(a.keys), "--shape", a.shape]
        subprocess.run(command + (["--ndjson"] if a.ndjson else []), check=True, stdout=subprocess.DEVNULL)
    return folder


def measure(command):
    """Wall seconds and peak memory in MB of one process, and what it printed."""
    with tempfile.TemporaryFile() as printed:
        start = time.perf_counter()
        process = subprocess.Popen([str(c) for c in command], stdout=printed, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read().decode()
    if process.returncode != 0:
        sys.exit(f"exit status {process.returncode}: {' '.join(map(str, command))}\n{text}")
    return seconds, usage.ru_maxrss / 1024, text


CHECK = '''
import duckdb, sys
output, data, as_of = sys.argv[1:]
c = duckdb.connect()
c.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
# The workload's transactions have one time per record. The truth cuts between records; asof cuts no
# transaction, and says so (ambiguous-cut). So the keys of the one transaction at the cut are left out.
c.execute(f"""
CREATE TABLE edge AS SELECT account_id FROM '{data}/ledger.parquet' WHERE txid IN
  (SELECT txid FROM '{data}/ledger.parquet' GROUP BY txid
   HAVING min(committed_at) <= TIMESTAMPTZ '{as_of}' AND max(committed_at) > TIMESTAMPTZ '{as_of}')""")
a, b = (f"SELECT * FROM '{f}' WHERE account_id NOT IN (FROM edge)" for f in (output, data + '/truth_0.parquet'))
rows = [c.execute(f"SELECT count(*) FROM ({side})").fetchone()[0] for side in (a, b)]
differing = c.execute(f"SELECT count(*) FROM (({a} EXCEPT ALL {b}) UNION ALL ({b} EXCEPT ALL {a}))").fetchone()[0]
if rows[0] != rows[1] or differing:
    sys.exit(f"{output}: {rows[0]} rows where the truth has {rows[1]}, {differing} differ")
'''


def check_snapshot(output, data):
    """Ends the run unless the output holds the true rows.

    In a process of its own: a child's peak memory counts what its parent held when it was started.
    """
    if subprocess.run([sys.executable, "-c", CHECK, output, data, AS_OF]).returncode != 0:
        sys.exit(1)


def busy_key(data):
    """A key with six changes, or the busiest one."""
    query = f"""SELECT account_id FROM '{data}/ledger.parquet' GROUP BY account_id
      ORDER BY count(*) = 6 DESC, count(*) DESC, account_id LIMIT 1"""
    script = f'import duckdb; print(duckdb.sql("""{query}""").fetchall()[0][0])'
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()


def jobs(a, data):
    """Per job: name, our command, the peer's command, and where each leaves its snapshot."""
    ours, theirs = data / "asof.parquet", data / "peer.parquet"
    table = ["--current", data / "current.parquet", "--key", "account_id", "--threads", a.threads, "--quiet"]
    snapshot = ["--as-of", AS_OF, "--no-verify", "--out", ours]
    parquet = ["--ledger", data / "ledger.parquet"]

    def peer(job):
        return [sys.executable, a.bench / "peers.py", "duckdb", job, data, AS_OF, theirs]

    yield "snapshot --no-verify", [a.asof, "snapshot", *table, *parquet, *snapshot], peer("snapshot"), (ours, theirs)
    yield "verify", [a.asof, "verify", *table, *parquet], peer("verify"), None
    key = busy_key(data)
    history = ["--current", data / "current.parquet", "--key", f"account_id={key}", "--threads", a.threads]
    lookup = [sys.executable, a.bench / "peers.py", "duckdb", "history", data, key, theirs]
    yield "history", [a.asof, "history", *history, *parquet], lookup, None
    if a.ndjson:
        ndjson = ["--ledger", data / "ledger.ndjson", "--format", "debezium", "--table", "accounts"]
        yield "snapshot, ndjson", [a.asof, "snapshot", *table, *ndjson, *snapshot], peer("ndjson"), (ours, theirs)


def run(a, name, ours, theirs, outputs, data):
    """Runs both sides in turn and prints the medians."""
    measured = {"asof": [], "duckdb": []}
    printed = {}
    for number in range(a.runs + 1):
        for side, command, place in [("asof", ours, 0), ("duckdb", theirs, 1)]:
            if outputs:
                outputs[place].unlink(missing_ok=True)
            seconds, peak, text = measure(command)
            if outputs:
                check_snapshot(outputs[place], data)
            elif name == "verify" and side == "duckdb" and "(0, 0)" not in text:
                sys.exit(f"the peer found breaks where there are none: {text}")
            elif name == "history":
                printed[side] = text
            # The first round only brings the inputs into memory.
            if number:
                measured[side].append((seconds, peak))
    if name == "history" and printed["asof"].count(", transaction ") != int(printed["duckdb"]):
        sys.exit(f"the histories differ: {printed}")
    (s, m), (ps, pm) = ([statistics.median(v) for v in zip(*measured[side])] for side in ("asof", "duckdb"))
    print(f"{name:22} {s:9.2f} s {m:7.0f} MB   {ps:9.2f} s {pm:7.0f} MB   {s / ps:6.2f} {m / pm:7.2f}", flush=True)


def main():
    a = arguments()
    data = generate(a)
    print(f"{a.keys} keys, {a.shape}, {a.threads} threads, median of {a.runs} runs, every output equal to the truth")
    print(f"{'job':22} {'asof':>22} {'duckdb':>24} {'ratio: time, memory':>22}")
    for name, ours, theirs, outputs in jobs(a, data):
        run(a, name, ours, theirs, outputs, data)


main()

#!/usr/bin/env python3
"""Alternates asof and DuckDB on the same jobs, checks every output against the truth, prints medians.

Called by peers.sh. Only the ratios mean anything: times of different machines or days are not comparable.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The default truth of gen.py.
AS_OF = "2025-09-30T23:59:59.999999Z"
MONTHS = [f"2025-{month:02}" for month in range(1, 13)]
JOBS = ["snapshot", "verify", "file", "folder", "series", "folders", "history", "ndjson"]


def arguments():
    p = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, epilog="""jobs:
  snapshot  the rebuild alone (--no-verify)
  verify    the whole ledger against itself and the current state
  file      verification and snapshot in one run into one file, beside the peer's two
  folder    the same with the whole output folder, digests included
  series    12 month ends in one run, without verification, into one file each
  folders   the same into evidence folders
  history   every version of one key
  ndjson    the rebuild alone from the ledger as Debezium events; needs --ndjson""")
    p.add_argument("--asof", required=True)
    p.add_argument("--keys", type=int, default=4_000_000)
    p.add_argument("--shape", choices=["scattered", "local", "recent"], default="scattered")
    p.add_argument("--ndjson", action="store_true")
    p.add_argument("--jobs", type=lambda t: t.split(","), default=None, help=",".join(JOBS))
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--threads", type=int, default=2, help="the peer's scripts use 2")
    p.add_argument("--dir", type=Path, default=Path("target/peers"))
    p.add_argument("--bench", type=Path, default=Path("../shared/bench"))
    a = p.parse_args()
    a.jobs = a.jobs or [job for job in JOBS if job != "folders" and (job != "ndjson" or a.ndjson)]
    return a


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
output, truth, data, as_of = sys.argv[1:]
c = duckdb.connect()
c.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
# The workload's transactions have one time per record. The truth cuts between records; asof cuts no
# transaction, and says so (ambiguous-cut). So the keys of the one transaction at the cut are left out.
c.execute(f"""
CREATE TABLE edge AS SELECT account_id FROM '{data}/ledger.parquet' WHERE txid IN
  (SELECT txid FROM '{data}/ledger.parquet' GROUP BY txid
   HAVING min(committed_at) <= TIMESTAMPTZ '{as_of}' AND max(committed_at) > TIMESTAMPTZ '{as_of}')""")
a, b = (f"SELECT * FROM read_parquet('{f}') WHERE account_id NOT IN (FROM edge)" for f in (output, truth))
rows = [c.execute(f"SELECT count(*) FROM ({side})").fetchone()[0] for side in (a, b)]
differing = c.execute(f"SELECT count(*) FROM (({a} EXCEPT ALL {b}) UNION ALL ({b} EXCEPT ALL {a}))").fetchone()[0]
if rows[0] != rows[1] or differing:
    sys.exit(f"{output}: {rows[0]} rows where the truth has {rows[1]}, {differing} differ")
'''


def check(output, truth, data, as_of=AS_OF):
    """Ends the run unless the output holds the true rows.

    In a process of its own: a child's peak memory counts what its parent held when it was started.
    """
    if subprocess.run([sys.executable, "-c", CHECK, output, truth, data, as_of]).returncode != 0:
        sys.exit(1)


def remove(path):
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def jobs(a, data):
    """Per job: our command, the peer's commands, and a check of what both left and printed."""
    ours, folder, theirs = data / "asof.parquet", data / "asof-folder", data / "peer.parquet"
    table = ["--current", data / "current.parquet", "--threads", a.threads, "--quiet"]
    keyed = [*table, "--key", "account_id"]
    parquet = ["--ledger", data / "ledger.parquet"]
    snapshot = [a.asof, "snapshot", *keyed, *parquet, "--as-of", AS_OF]
    key = data / "key.txt"
    if "history" in a.jobs and not key.exists():
        key.write_text(subprocess.run([sys.executable, "-c", KEY, data], check=True, capture_output=True, text=True).stdout)

    def peer(job, moment=AS_OF):
        return [sys.executable, a.bench / "peers.py", "duckdb", job, data, moment, theirs]

    def files(output):
        def checked(_, printed):
            if len(printed) > 1 and "(0, 0)" not in printed[1]:
                sys.exit(f"the peer found breaks where there are none: {printed}")
            check(output, data / "truth_0.parquet", data)
            check(theirs, data / "truth_0.parquet", data)
        return checked

    def breaks(_, printed):
        if "(0, 0)" not in printed[0]:
            sys.exit(f"the peer found breaks where there are none: {printed}")

    def months(of_month):
        def checked(*_):
            ends = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            for number, (month, day) in enumerate(zip(MONTHS, ends)):
                end = f"{month}-{day}T23:59:59.999999Z"
                check(of_month(month), f"{theirs}.{number}", data, end)
        return checked

    def versions(ours, printed):
        changes = len(json.loads(ours)["changes"])
        if changes != int(printed[0]):
            sys.exit(f"{changes} changes of one key where the peer has {printed[0]}")

    both = [peer("snapshot"), peer("verify")]
    alone = [*snapshot, "--no-verify", "--out", ours]
    series = [a.asof, "snapshot", *keyed, *parquet, "--as-of", "2025-01..2025-12", "--no-verify", "--out"]
    each = data / "asof-{moment}.parquet"
    one = [a.asof, "history", *table, *parquet, "--json", "--key"]
    ndjson = ["--ledger", data / "ledger.ndjson", "--format", "debezium", "--table", "accounts"]
    events = [a.asof, "snapshot", *keyed, *ndjson, "--as-of", AS_OF, "--no-verify", "--out", ours]
    known = {
        "snapshot": (alone, [peer("snapshot")], files(ours)),
        "verify": ([a.asof, "verify", *keyed, *parquet], [peer("verify")], breaks),
        "file": ([*snapshot, "--out", ours], both, files(ours)),
        "folder": ([*snapshot, "--out", folder], both, files(folder / "current.parquet")),
        "series": ([*series, each], [peer("series")], months(lambda m: data / f"asof-{m}.parquet")),
        "folders": ([*series, folder], [peer("series")], months(lambda m: folder / m / "current.parquet")),
        "history": ([*one, f"account_id={key.read_text().strip()}"] if key.exists() else one,
                    [peer("history", key.read_text().strip() if key.exists() else "0")], versions),
        "ndjson": (events, [peer("ndjson")], files(ours)),
    }
    for job in a.jobs:
        yield job, *known[job], [ours, folder, theirs, *(data / f"asof-{month}.parquet" for month in MONTHS)]


KEY = '''
import duckdb, sys
print(duckdb.execute(f"""SELECT account_id FROM '{sys.argv[1]}/ledger.parquet' GROUP BY 1 HAVING count(*) >= 6
  ORDER BY hash(account_id) LIMIT 1""").fetchone()[0])
'''


def run(a, name, ours, theirs, checked, outputs):
    """Runs both sides in turn and prints the medians."""
    measured = {"asof": [], "duckdb": []}
    # Long jobs are measured fewer times and checked once.
    is_series = name in ("series", "folders")
    runs = min(a.runs, 3) if is_series else a.runs
    for number in range(runs + 1):
        for output in outputs:
            remove(output)
        mine = measure(ours)
        others = [measure(command) for command in theirs]
        if number == 0 or not is_series:
            checked(mine[2], [text for _, _, text in others])
        # The first round only brings the inputs into memory.
        if number:
            measured["asof"].append(mine[:2])
            measured["duckdb"].append((sum(o[0] for o in others), max(o[1] for o in others)))
    (s, m), (ps, pm) = ([statistics.median(v) for v in zip(*measured[side])] for side in ("asof", "duckdb"))
    print(f"{name:10} {s:9.2f} s {m:7.0f} MB   {ps:9.2f} s {pm:7.0f} MB   {s / ps:6.2f} {m / pm:7.2f}", flush=True)


def main():
    a = arguments()
    data = generate(a)
    print(f"{a.keys} keys, {a.shape}, {a.threads} threads, median of {a.runs} runs, every output equal to the truth")
    print(f"{'job':10} {'asof':>22} {'duckdb':>24} {'ratio: time, memory':>22}")
    for name, ours, theirs, checked, outputs in jobs(a, data):
        run(a, name, ours, theirs, checked, outputs)


main()

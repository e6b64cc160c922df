#!/usr/bin/env python3
"""Measures how time depends on the form of the data: rows, row groups, partial images, threads, growth.

Called by hand; needs duckdb and pyarrow. Prints, per form, seconds and peak memory of a snapshot without verification and
of a verification, and the time per change and per megabyte of uncompressed input beside those of the plain
form, so that a form that falls off a cliff is seen.

usage: benches/shapes.py --asof BIN [--dir DIR] [--runs N] [--only NAME,…]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

AS_OF = "2025-09-30T23:59:59.999999Z"

# Per form: rows, changes, one expression per column of key k and version v, and the rows of a row group.
# An expression that holds v changes with every version.
TEXT = "'note ' || hash({k}, {v}) % 100000 || ' reviewed'"
NUMBER = "(hash({k}, {v}, {n}) % 1000000000)::BIGINT"
FORMS = {
    "plain": (400_000, 500_000, {"amount": NUMBER, "branch": "'BR' || hash({k}) % 480", "notes": TEXT, "ceiling": NUMBER}, 100_000),
    "narrow": (2_000_000, 2_500_000, {"amount": NUMBER}, 250_000),
    "wide": (20_000, 25_000, {f"c{n}": NUMBER if n % 4 else TEXT for n in range(199)}, 10_000),
    "long-text": (8_000, 10_000, {"body": "repeat(md5(({k} * 31 + {v})::VARCHAR), 312)"}, 2_000),
    "nested": (100_000, 125_000, {
        "tree": "{{'a': {{'b': {{'c': [{{'d': hash({k}, {v}) % 1000, 'e': ['x', 'y' || {v}]}}, {{'d': 7, 'e': []}}]}}}}}}",
        "amount": NUMBER}, 50_000),
    "decimal-40": (200_000, 250_000, {"amount": "(hash({k}, {v}) % 1000000000000000000)::DECIMAL(28,10)"}, 100_000),
    "all-null": (400_000, 500_000, {"amount": NUMBER, "nothing": "NULL::VARCHAR", "never": "NULL::DECIMAL(18,2)"}, 100_000),
    "one-group": (400_000, 500_000, {"amount": NUMBER, "branch": "'BR' || hash({k}) % 480", "notes": TEXT, "ceiling": NUMBER}, 10_000_000),
    "many-groups": (400_000, 500_000, {"amount": NUMBER, "branch": "'BR' || hash({k}) % 480", "notes": TEXT, "ceiling": NUMBER}, 2_048),
}


def generate(folder, form, partial=None):
    """A current table and the ledger that led to it, from one formula."""
    keys, changes, columns, group = FORMS[form]
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "done").exists():
        return
    c = duckdb.connect()
    c.execute("SET TimeZone='UTC'; SET threads=2")

    def image(k, v):
        cells = (f"{e.format(k=k, v=v, n=n)} AS {name}" for n, (name, e) in enumerate(columns.items()))
        return ", ".join(cells)

    c.execute(f"""CREATE TABLE ev AS SELECT row_number() OVER (ORDER BY hash(i)) AS seq, i % {keys} AS k, i // {keys} + 1 AS v
                  FROM range({changes}) t(i)""")
    # Versions of a key rise along the order.
    c.execute("CREATE TABLE log AS SELECT seq, k, row_number() OVER (PARTITION BY k ORDER BY seq) AS v FROM ev")
    step = 31_500_000_000_000 // changes
    names = ", ".join(columns)
    whole = f"SELECT seq, TIMESTAMPTZ '2025-01-01 00:00:00Z' + to_microseconds(seq * {step}) AS committed_at, 'U' AS op, k AS id"

    def struct(v):
        return "struct_pack(" + ", ".join(
            f"{name} := {e.format(k='k', v=v, n=n)}" for n, (name, e) in enumerate(columns.items())) + ")"

    ledger = f"{whole}, {struct('v - 1')} AS before, {struct('v')} AS after FROM log ORDER BY seq"
    if partial == "keys":
        # As where only keys are recorded before a change: nothing but the after image.
        ledger = f"{whole}, {struct('v')} AS after FROM log ORDER BY seq"
    style = f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group})"
    c.execute(f"COPY ({ledger}) TO '{folder}/ledger.parquet' {style}")
    c.execute(f"""COPY (SELECT k AS id, {image('k', 'v')} FROM (SELECT range AS k, coalesce(n, 0) AS v FROM range({keys})
                  LEFT JOIN (SELECT k, max(v) AS n FROM log GROUP BY k) ON k = range) ORDER BY k) TO '{folder}/current.parquet' {style}""")
    # What a snapshot must be: the version before the first change behind the moment.
    c.execute(f"""COPY (SELECT k AS id, {image('k', 'v')} FROM (SELECT range AS k, coalesce(n, 0) AS v FROM range({keys})
                  LEFT JOIN (SELECT k, count(*) AS n FROM log WHERE seq * {step} <= epoch_us(TIMESTAMPTZ '{AS_OF}') - epoch_us(TIMESTAMPTZ '2025-01-01 00:00:00Z')
                  GROUP BY k) ON k = range) ORDER BY k) TO '{folder}/truth.parquet' (FORMAT parquet)""")
    for file in ("current", "ledger", "truth"):
        path = folder / f"{file}.parquet"
        if form == "decimal-40":
            widen(path, group)
        elif form == "many-groups":
            # DuckDB has no smaller groups than 2,048 rows.
            pq.write_table(pq.read_table(path), path, compression="zstd", row_group_size=50)
    (folder / "done").touch()


def widen(path, group):
    """Brings decimals to 40 digits, which DuckDB does not have."""
    table = pq.read_table(path)

    def wide(kind):
        if pa.types.is_decimal(kind):
            return pa.decimal256(40, 10)
        if pa.types.is_struct(kind):
            return pa.struct([pa.field(f.name, wide(f.type)) for f in kind])
        return kind

    pq.write_table(table.cast(pa.schema([pa.field(f.name, wide(f.type)) for f in table.schema])), path,
                   compression="zstd", row_group_size=group)


def measure(command, runs):
    """Median wall and processor seconds, and peak memory in MB."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        printed = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, 1):
            sys.exit(f"{' '.join(map(str, command))}\n{printed}")
        seconds.append((time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
    return [statistics.median(part) for part in zip(*seconds[1:])]


def differing(folder):
    """How many rows of the snapshot are not those of the truth."""
    out, truth = (pq.read_table(folder / f"{f}.parquet").sort_by("id") for f in ("out", "truth"))
    if out.num_rows != truth.num_rows:
        return abs(out.num_rows - truth.num_rows)
    wrong = pa.array([False] * out.num_rows)
    for name in truth.column_names:
        a, b = (t[name].combine_chunks() if t.num_rows else t[name] for t in (out, truth.cast(out.schema)))
        if pa.types.is_nested(a.type):
            a, b = pa.array([str(v) for v in a.to_pylist()]), pa.array([str(v) for v in b.to_pylist()])
        wrong = pc.or_(wrong, pc.fill_null(pc.not_equal(a, b), False))
        wrong = pc.or_(wrong, pc.not_equal(pc.is_null(a), pc.is_null(b)))
    return pc.sum(wrong).as_py() or 0


def uncompressed(folder):
    """Bytes of both inputs before compression."""
    files = [pq.ParquetFile(folder / f"{f}.parquet").metadata for f in ("current", "ledger")]
    return sum(m.row_group(g).total_byte_size for m in files for g in range(m.num_row_groups))


def apart(task, *arguments):
    """A task in a process of its own: a child's peak memory counts what its parent held."""
    command = [sys.executable, __file__, "--task", task, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--asof", required=True)
    p.add_argument("--dir", type=Path, default=Path("target/shapes"))
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--only", type=lambda t: t.split(","), default=[*FORMS, "after-only"])
    a = p.parse_args()
    print(f"{'form':12} {'MB':>5} {'changes':>8}   {'snapshot':>9} {'MB':>5} {'µs/change':>9} {'ns/byte':>8}"
          f"   {'verify':>9} {'MB':>5} {'µs/change':>9} {'ns/byte':>8}")
    for name in a.only:
        form = "plain" if name == "after-only" else name
        folder = a.dir / name
        plain = apart("generate", folder, form, name)
        base = ["--current", folder / "current.parquet", "--ledger", folder / "ledger.parquet", "--key", "id", "--quiet", "--threads", 2]
        out = folder / "out.parquet"
        snapshot = measure([a.asof, "snapshot", *base, "--as-of", AS_OF, "--no-verify", "--replace", "--out", out], a.runs)
        wrong = apart("differing", folder)
        if wrong and name != "after-only":
            sys.exit(f"{folder}: {wrong} rows differ from the truth")
        verify = measure([a.asof, "verify", *base], a.runs)
        changes = FORMS[form][1]
        row = f"{name:12} {plain / 1e6:5.0f} {changes:8}"
        for seconds, _, memory in (snapshot, verify):
            row += f"   {seconds:8.2f}s {memory:5.0f} {seconds * 1e6 / changes:9.2f} {seconds * 1e9 / plain:8.2f}"
        print(row + (f"   {wrong} rows differ: nothing states them" if wrong else ""), flush=True)


if sys.argv[1:2] == ["--task"]:
    # What needs much memory is imported and done here.
    import duckdb
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    task, folder, *rest = sys.argv[2:]
    folder = Path(folder)
    if task == "generate":
        generate(folder, rest[0], "keys" if rest[1] == "after-only" else None)
        print(uncompressed(folder))
    else:
        print(differing(folder))
else:
    main()

#!/usr/bin/env python3
"""Reads the texts that the bench `decode` wrote with DuckDB on one thread: MB/s per format.

    ASOF_BENCH_TEXTS=DIR cargo bench --bench decode && python3 benches/decode_peers.py DIR

DuckDB's JSON reader gets the columns that it finds by itself, and every value is looked at. Texts that are
no JSON are read as rows of one text, which is the least that any reader of them has to do. Time is the processor's.
"""
import statistics
import sys
import time
from pathlib import Path

import duckdb


def reader(path):
    """The table function that reads a text, and what it reads it as."""
    if path.read_bytes()[:1] == b"{":
        # What it finds is handed over as declared, so that finding it is not measured.
        found = duckdb.execute(f"DESCRIBE FROM read_json('{path}', format='newline_delimited')").fetchall()
        columns = ", ".join(f"'{name}': '{kind}'".replace("\n", " ") for name, kind, *_ in found)
        return f"read_json('{path}', format='newline_delimited', columns={{{columns}}})", "JSON"
    return f"read_csv('{path}', header=false, delim='\x01', quote='', escape='', columns={{'line': 'VARCHAR'}})", "lines"


def seconds(connection, query):
    start = time.process_time()
    connection.execute(query)
    return time.process_time() - start


def main():
    connection = duckdb.connect()
    connection.execute("SET threads=1; SET enable_progress_bar=false; SET TimeZone='UTC'")
    for path in sorted(Path(sys.argv[1]).glob("*.txt")):
        table, kind = reader(path)
        query = f"CREATE OR REPLACE TEMP TABLE t AS FROM {table}"
        taken = [seconds(connection, query) for _ in range(6)][1:]
        print(f"{path.stem:16} {kind:6} {path.stat().st_size / 1e6 / statistics.median(taken):7.0f} MB/s", flush=True)


main()

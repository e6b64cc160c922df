#!/usr/bin/env python3
"""Checks an evidence package without the program that wrote it.

    python3 verify.py [FOLDER]        default: the folder that this file is in

Needs Python 3.8 and pyarrow (any Parquet reader would do; see table() and values()). It checks, in
this order, that
  1. the manifest has the digest that manifest.sha256 states,
  2. every file has the digest that the manifest states, none is missing, none added,
  3. every control total is an equation that holds, and groups add up to their whole,
  4. rows and sums of measures, recomputed from the snapshots, are those of the manifest,
  5. totals.parquet, verdicts.parquet and discrepancies.parquet say what the manifest says, and
     totals.csv and discrepancies.csv what the Parquet files say,
  6. if there are digests of rows: current - after + before = snapshot where the manifest
     says so, and the snapshot's digest is that of the rows in its file.
Exit status: 0 all of this holds, 1 something does not, 2 it could not be checked.
"""

import base64
import hashlib
import json
import pathlib
import re
import struct
import sys
from array import array
from collections import Counter
from decimal import Decimal, getcontext

getcontext().prec = 1000
PARTS = ["current", "inserts_undone", "deletes_undone", "updates_undone", "snapshot"]
faults = []


def fault(file, what):
    faults.append(f"{file}: {what}")


# One cell of delimited text: in quotes, or up to the next comma or line end.
CELL = re.compile(r'"([^"]*(?:""[^"]*)*)"|([^,\n]*)')
# A plain decimal: other notations, blanks and other digits are text to asof, which Python would take for numbers.
PLAIN = re.compile(r"[+-]?(?:([0-9]+)\.?([0-9]*)|\.([0-9]+))")
NUMBER = re.compile(r"[+-]?(inf|infinity|nan|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?)", re.IGNORECASE)
# Sums are made of integers of 256 bits.
LIMIT = 2**255
# Stands for values that are neither text nor exact numbers.
OTHER = object()


def records(text):
    """The records of delimited text: per cell its text and whether it is quoted. An empty line is one empty cell."""
    record, at = [], 0
    while at < len(text):
        cell = CELL.match(text, at)
        quoted = cell.group(1) is not None
        record.append((cell.group(1).replace('""', '"') if quoted else cell.group(2), quoted))
        at = cell.end()
        if text[at : at + 1] not in ("", ",", "\n"):
            raise ValueError(f"no comma and no line end after a quote, at character {at + 1}")
        if text[at : at + 1] != ",":
            yield record
            record = []
        at += 1


def values(column):
    """The cells of a column as Python values; OTHER for what is neither text nor an exact number."""
    import pyarrow.types as types

    kind = column.type
    if types.is_dictionary(kind):
        return values(column.cast(kind.value_type))
    texts = [types.is_string, types.is_large_string, getattr(types, "is_string_view", types.is_string)]
    read = texts + [types.is_integer, types.is_decimal, types.is_boolean, types.is_binary, types.is_null]
    if any(is_kind(kind) for is_kind in read):
        return column.to_pylist()
    return [None if is_null else OTHER for is_null in column.is_null().to_pylist()]


def table(path, null="", wanted=None):
    """Column name -> list of values, of those wanted. CSV stays text; the unquoted marker of null there is None."""
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as text:
            lines = records(text.read())
            names = [name for name, _ in next(lines, [])]
            rows = list(lines)
        cell = lambda text, quoted: None if text == null and not quoted else text
        chosen = [(at, name) for at, name in enumerate(names) if wanted is None or name in wanted]
        return {name: [cell(*row[at]) for row in rows] for at, name in chosen}, len(rows)
    if path.suffix == ".arrow":
        import pyarrow.ipc

        found = pyarrow.ipc.open_file(str(path)).read_all()
    else:
        import pyarrow.parquet

        found = pyarrow.parquet.ParquetFile(str(path)).read()
    chosen = [name for name in found.column_names if wanted is None or name in wanted]
    return {name: values(found.column(name)) for name in chosen}, found.num_rows


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def amount(value):
    """An exact decimal, or None: floats and other texts are not summed."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Decimal(value)
    plain = PLAIN.fullmatch(value) if isinstance(value, str) else None
    if plain is None:
        return None
    digits = "".join(part or "" for part in plain.groups()).lstrip("0")
    return Decimal(value) if len(digits) < 78 and int(digits or "0") < LIMIT else None


def total(values):
    known = [amount(value) for value in values if value is not None]
    return None if None in known else sum(known, Decimal(0))


def is_large(values):
    """Whether a sum of these may pass 256 bits on the way, so that asof may have none."""
    known = [amount(value) for value in values if value is not None]
    scale = max((-value.as_tuple().exponent for value in known), default=0)
    return sum(abs(int(value.scaleb(max(scale, 0)))) for value in known) >= LIMIT


def as_written(text, dataset):
    """A text as it stands in the file of a snapshot: with --csv-safe, formulas are preceded by a quote."""
    is_formula = text is not None and text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and text != ""
    return "'" + text if dataset.get("csv_safe") and is_formula and not NUMBER.fullmatch(text) else text


def is_signature(path):
    """Whether a file has the form of a detached signature of minisign; what it proves, asof check or minisign says."""
    try:
        untrusted, signature, trusted, whole = path.read_text("utf-8").splitlines()[:4]
        sizes = [len(base64.b64decode(text, validate=True)) for text in (signature, whole)]
    except (ValueError, OSError):
        return False
    comments = untrusted.startswith("untrusted comment: ") and trusted.startswith("trusted comment: ")
    return comments and sizes == [74, 64]


def files(folder, manifest):
    for name, stated in manifest["outputs"].items():
        path = folder / name
        if path.name != name or not path.is_file():
            fault(name, "missing, or no name of a file in the package")
        elif path.stat().st_size != stated["bytes"] or sha256(path) != stated["sha256"]:
            fault(name, "changed: its size or SHA-256 is not what the manifest states")
    own = {"manifest.json", "manifest.sha256"}
    for path in sorted(folder.iterdir()):
        if path.name in own or path.name in manifest["outputs"]:
            continue
        named = path.name.startswith("manifest.json") and path.name.endswith(".minisig")
        if not named:
            fault(path.name, "added: the manifest does not state it")
        elif not is_signature(path):
            fault(path.name, "no signature of minisign")


def equation(name, figures):
    parts = [amount(figures[part]) for part in PARTS]
    if None in parts:
        return
    current, inserts, deletes, updates, snapshot = parts
    if current - inserts + deletes + updates != snapshot:
        fault("manifest.json", f"{name}: the equation does not hold: {figures['equation']}")


def equations(dataset):
    whole, name = dataset["totals"], dataset["name"]
    for figures in [whole] + whole["groups"]:
        label = f"{name} {figures.get('group') or ''}".strip()
        equation(f"{label} rows", figures["rows"])
        for measure in figures["measures"]:
            equation(f"{label} {measure['name']}", measure)
    if not whole["groups"]:
        return
    for part in PARTS:
        if sum(group["rows"][part] for group in whole["groups"]) != whole["rows"][part]:
            fault("manifest.json", f"{name}: rows of groups do not add up ({part})")
        for number, measure in enumerate(whole["measures"]):
            parts = [amount(group["measures"][number][part]) for group in whole["groups"]]
            whole_part = amount(measure[part])
            if None not in parts and whole_part is not None and sum(parts) != whole_part:
                fault("manifest.json", f"{name}.{measure['name']}: groups do not add up ({part})")


def snapshot(folder, dataset):
    """Rows and sums of the table itself. A value that nothing states is null there."""
    file, whole = dataset["file"], dataset["totals"]
    written = lambda text: as_written(text, dataset)
    by = [written(name) for name in (whole["groups"][0]["values"] if whole["groups"] else [])]
    wanted = by + [written(measure["name"]) for measure in whole["measures"]]
    columns, rows = table(folder / file, dataset["null"], wanted)
    figures = [("", range(rows), whole)]
    if by:
        # Delimited text may write empty text as it writes null.
        told = lambda text: text or None if dataset["null"] is not None else text
        keys = list(zip(*[map(told, map(text_of, columns.get(name, [None] * rows))) for name in by]))
        texts = all(isinstance(v, (str, int, Decimal, type(None))) for n in by for v in columns.get(n, []))
        members = {}
        for row, key in enumerate(keys):
            members.setdefault(key, []).append(row)
        stated = {}
        for group in whole["groups"]:
            key = tuple(told(written(value)) for value in group["values"].values())
            stated.setdefault(key, []).append(group)
        for key, groups in stated.items() if texts else []:
            joined = {"rows": {"snapshot": sum(g["rows"]["snapshot"] for g in groups)}, "measures": []}
            for number, measure in enumerate(whole["measures"]):
                sums = [amount(g["measures"][number]["snapshot"]) for g in groups]
                joined["measures"].append(
                    {"name": measure["name"], "snapshot": None if None in sums else sum(sums)}
                )
            figures.append((f" of {key}", members.pop(key, []), joined))
        for key in members if texts else []:
            fault(file, f"rows of {key}, a group that the manifest does not state")
    for label, chosen, stated in figures:
        if len(chosen) != stated["rows"]["snapshot"]:
            fault(file, f"{len(chosen)} rows{label}, the manifest states {stated['rows']['snapshot']}")
        for measure in stated["measures"]:
            cells = columns.get(written(measure["name"]))
            cells = [cells[row] for row in chosen] if cells else []
            found, wanted_sum = total(cells), amount(measure["snapshot"])
            if found != wanted_sum and not (wanted_sum is None and found is not None and is_large(cells)):
                fault(file, f"sum of {measure['name']}{label} is {found}, stated {measure['snapshot']}")


def text_of(value):
    """The exact text of a value, as the manifest writes it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def totals_table(folder, datasets):
    columns, rows = table(folder / "totals.parquet")
    found = list(zip(*columns.values())) if columns else []
    stated = []
    for dataset in datasets:
        for figures in [dataset["totals"]] + dataset["totals"]["groups"]:
            head = (dataset["name"], "rows", None, figures.get("group"))
            stated.append(head + tuple(str(figures["rows"][part]) for part in PARTS) + (0,))
            for m in figures["measures"]:
                head = (dataset["name"], "measure", m["name"], figures.get("group"))
                stated.append(head + tuple(m[part] for part in PARTS) + (m["unknown_cells"],))
    if found != stated:
        fault("totals.parquet", "it does not say what the manifest says")


def counts(folder, manifest, datasets):
    columns, rows = table(folder / "verdicts.parquet")
    keys, cells, present = Counter(), Counter(), Counter()
    for row in range(rows):
        name, verdict = columns["dataset"][row], columns["verdict"][row].replace("-", "_")
        if columns["column"][row] is not None:
            cells[name, verdict] += 1
        else:
            keys[name, verdict] += 1
            present[name] += columns["present"][row] is True
    for dataset in datasets:
        name, stated = dataset["name"], dataset["totals"]
        for verdict, count in stated["verdicts"].items():
            found = keys[name, verdict]
            if verdict != "unchanged" and (found > count or found < count and dataset["key"]):
                fault("verdicts.parquet", f"{name}: {found} rows are {verdict}, stated {count}")
        if stated["verdicts"]["unchanged"] + present[name] != stated["rows"]["snapshot"]:
            fault("verdicts.parquet", f"{name}: unchanged and listed rows are not those of the snapshot")
        of = stated["cells"]
        if cells[name, "inferred"] != of["inferred"] + of["ambiguous"]:
            fault("verdicts.parquet", f"{name}: inferred cells are not as many as stated")
        if cells[name, "unrecoverable"] != of["unrecoverable"]:
            fault("verdicts.parquet", f"{name}: unrecoverable cells are not as many as stated")
    columns, rows = table(folder / "discrepancies.parquet")
    found = Counter((columns["code"][row], columns["accepted"][row] is None) for row in range(rows))
    stated = Counter()
    for code, count in manifest["discrepancies"].items():
        stated.update({(code, True): count["open"], (code, False): count["accepted"]})
    if found != +stated:
        fault("discrepancies.parquet", f"{dict(found)}, the manifest states {dict(+stated)}")


def texts(folder, name):
    """The delimited text of a table says what its Parquet file says; null is nothing without quotes."""
    if not (folder / f"{name}.csv").is_file():
        return  # That it is missing was said with the digests.
    columns, rows = table(folder / f"{name}.parquet")
    cell = lambda value: as_written(text_of(value), {"csv_safe": True})
    stated = zip(*[map(cell, column) for column in columns.values()]) if columns else iter(())
    with open(folder / f"{name}.csv", newline="", encoding="utf-8") as text:
        found = records(text.read())
        if [text for text, _ in next(found, [])] != list(columns):
            return fault(f"{name}.csv", f"its columns are not those of {name}.parquet")
        found = [tuple(None if text == "" and not quoted else text for text, quoted in row) for row in found]
    stated = list(stated)
    if len(found) != len(stated):
        fault(f"{name}.csv", f"{len(found)} records, {name}.parquet has {len(stated)}")
    for number, (mine, theirs) in enumerate(zip(found, stated), 1):
        if mine != theirs:
            return fault(f"{name}.csv", f"record {number} is not what {name}.parquet says")


WORDS = int.from_bytes(b"\xff\xff\0\0" * 512, "little")


def lthash(elements):
    """1,024 numbers of 16 bits: the sum, number by number, of SHAKE128 of every element."""
    even = odd = 0
    for count, element in enumerate(elements, 1):
        stretched = int.from_bytes(hashlib.shake_128(element).digest(2048), "little")
        even, odd = even + (stretched & WORDS), odd + (stretched >> 16 & WORDS)
        if count % 65536 == 0:
            even, odd = even & WORDS, odd & WORDS
    return ((even & WORDS) | (odd & WORDS) << 16).to_bytes(2048, "little")


def cells(column):
    """The canonical bytes of every cell, or None for types that this program does not know."""
    import pyarrow as pa

    kind, number = column.type, lambda value: value.to_bytes(32, "little", signed=True)
    units = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
    sized = lambda value: len(value).to_bytes(8, "little") + value
    if pa.types.is_dictionary(kind):
        return cells(column.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encode = lambda value: sized(value.encode())
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        encode = sized
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        encode = lambda value: number(int(value))
    elif pa.types.is_decimal(kind):
        encode = lambda value: number(int(value.scaleb(kind.scale)))
    elif pa.types.is_float64(kind):
        encode = lambda value: number(int.from_bytes(struct.pack("<d", value), "little"))
    elif pa.types.is_date32(kind):
        column, encode = column.cast(pa.int32()), lambda value: number(value * 86400 * 10**9)
    elif pa.types.is_timestamp(kind):
        column, encode = column.cast(pa.int64()), lambda value: number(value * units[kind.unit])
    else:
        return None
    return [b"\0" if value is None else b"\1" + encode(value) for value in column.to_pylist()]


def digests(folder, datasets):
    import pyarrow.parquet

    columns, rows = table(folder / "digests.parquet")
    states = {}
    for row in range(rows):
        place = tuple(columns[name][row] for name in ("dataset", "column", "part"))
        states[place] = columns["state"][row]
    for dataset in datasets:
        name, stated = dataset["name"], dataset["digests"]
        encoded = {}
        if isinstance(stated, dict) and dataset["file"].endswith(".parquet"):
            found = pyarrow.parquet.ParquetFile(str(folder / dataset["file"])).read()
            for column in stated["columns"]:
                there = column in found.column_names
                encoded[column] = cells(found.column(column)) if there else [b"\0"] * found.num_rows
        for identity in stated["identities"] if isinstance(stated, dict) else []:
            column = identity["column"]
            parts = {part: states[name, column, part] for part in ("current", "after", "before", "snapshot")}
            for part, state in parts.items():
                if hashlib.sha256(state).hexdigest() != identity[part]:
                    fault("digests.parquet", f"{name} {column or 'rows'}: {part} is not what is stated")
            words = {part: array("H", state) for part, state in parts.items()}
            sums = zip(words["current"], words["after"], words["before"], words["snapshot"])
            if all((c - a + b - s) % 65536 == 0 for c, a, b, s in sums) != identity["holds"]:
                fault("manifest.json", f"{name} {column or 'rows'}: whether the digests add up is not so")
            wanted = [encoded.get(column)] if column else list(encoded.values())
            if not encoded or None in wanted:
                continue  # Text has lost its types; some types are not known here.
            head = b"asof cell 1\n" if column else b"asof row 1\n"
            if lthash(head + b"".join(row) for row in zip(*wanted)) != parts["snapshot"]:
                fault(dataset["file"], f"the digest of {column or 'its rows'} is not what is stated")


def attempt(file, check, *arguments):
    try:
        check(*arguments)
    except ImportError:
        raise
    except Exception as error:  # A damaged file must not hide what is wrong with the others.
        fault(file, f"cannot be checked: {type(error).__name__}: {error}")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    folder = folder if folder.is_dir() else folder.parent
    manifest_path = folder / "manifest.json"
    if not manifest_path.is_file():
        print(f"{folder}: no manifest.json", file=sys.stderr)
        return 2
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        print("pyarrow is missing: pip install pyarrow", file=sys.stderr)
        return 2
    beside = folder / "manifest.sha256"
    stated = beside.read_bytes() if beside.is_file() else b""
    if stated != f"{sha256(manifest_path)}  manifest.json\n".encode():
        fault("manifest.json", "manifest.sha256 states another digest of it")
    try:
        manifest = json.loads(manifest_path.read_bytes())
        datasets = [dataset for dataset in manifest["datasets"] if dataset["totals"] is not None]
    except (ValueError, KeyError, TypeError) as error:
        fault("manifest.json", f"cannot be read: {error}")
        manifest, datasets = None, []
    if manifest is not None:
        attempt("manifest.json", files, folder, manifest)
        for dataset in datasets:
            attempt("manifest.json", equations, dataset)
            attempt(dataset["file"], snapshot, folder, dataset)
        attempt("totals.parquet", totals_table, folder, datasets)
        attempt("verdicts.parquet", counts, folder, manifest, datasets)
        for name in ("totals", "discrepancies"):
            attempt(f"{name}.csv", texts, folder, name)
        if any(isinstance(dataset["digests"], dict) for dataset in datasets):
            attempt("digests.parquet", digests, folder, datasets)
    for line in faults:
        print(line)
    if not faults:
        files_checked = len(manifest["outputs"])
        print(f"sound: {files_checked} files, {len(datasets)} datasets recomputed ({manifest['as_of']['resolved']})")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

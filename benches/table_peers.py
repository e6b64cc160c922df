#!/usr/bin/env python3
"""How fast are ledgers as text read, tables and change streams, beside DuckDB's reader of the same file?

    python3 benches/table_peers.py --asof target/release/asof [--rows 200000] [--only fec,versions]

Both on one thread, in processor seconds (user and system), so that a busy machine disturbs little. Ours is
`asof inspect`: every record becomes typed marks and images as text, and what does not fit is told. DuckDB reads the
same file into columns of text, JSON into the columns that it finds by itself. A text that is neither (XML, a binary
log) DuckDB reads as lines. A file of a change stream has half as many records.
"""
import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import duckdb


def day(n):
    return f"2025-{1 + n // 28 % 12:02}-{1 + n % 28:02}"


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


def hstore(n, price):
    return f'"id"=>"{n}", "name"=>"bolt M8 × {n}", "note"=>NULL, "price"=>"{price}.50"'


def document(n, price):
    return f'{{"id": {n}, "name": "bolt M8 × {n}", "note": null, "price": {price}.50}}'


FEC = ["JournalCode", "JournalLib", "EcritureNum", "EcritureDate", "CompteNum", "CompteLib", "CompAuxNum", "CompAuxLib",
       "PieceRef", "PieceDate", "EcritureLib", "Debit", "Credit", "EcritureLet", "DateLet", "ValidDate", "Montantdevise", "Idevise"]


def fec(n):
    side = f"{n % 9000},50\t0,00" if n % 2 else f"0,00\t{(n + 1) % 9000},50"
    date = day(n // 2).replace("-", "")
    return f"AC\tAchats\t{n // 2}\t{date}\t{401000 + n % 500}\tFournisseurs\t\t\tFA-{n}\t{date}\tFacture {n}\t{side}\t\t\t{date}\t\t"


def saft_line(n):
    side = "Debit" if n % 2 else "Credit"
    return (f"<Line><RecordID>{n}</RecordID><AccountID>{1000 + n % 500}</AccountID><Description>Line {n}</Description>"
            f"<{side}Amount><Amount>{n // 2 % 9000}.50</Amount></{side}Amount></Line>\n")


def saft(rows):
    yield ('<?xml version="1.0" encoding="UTF-8"?>\n<AuditFile xmlns="urn:StandardAuditFile-Taxation-Financial:NO"><Header>'
           "<AuditFileVersion>1.30</AuditFileVersion><AuditFileCountry>NO</AuditFileCountry><SelectionCriteria>"
           "<SelectionStartDate>2025-01-01</SelectionStartDate><SelectionEndDate>2025-12-31</SelectionEndDate>"
           "</SelectionCriteria></Header><GeneralLedgerEntries><Journal><JournalID>G</JournalID>\n")
    for n in range(0, rows, 2):
        yield (f"<Transaction><TransactionID>{n}</TransactionID><TransactionDate>{day(n)}</TransactionDate>"
               f"<SystemEntryDate>{day(n)}</SystemEntryDate><GLPostingDate>{day(n)}</GLPostingDate>\n")
        yield saft_line(n)
        yield saft_line(n + 1)
        yield "</Transaction>\n"
    yield "</Journal></GeneralLedgerEntries></AuditFile>\n"


def lsn(n):
    return f"0x{n // 2:020X}"


# Format: header and one record.
TABLES = {
    "mapped": ("seq,op,committed_at,old_id,old_name,old_price,new_id,new_name,new_price",
               lambda n: f"{n},U,{day(n)}T00:00:00Z,{n},bolt M8 × {n},{n}.50,{n},bolt M8 × {n},{n}.75"),
    "logged_actions": ("event_id,schema_name,table_name,action_tstamp_tx,transaction_id,action,row_data,changed_fields,statement_only",
                       lambda n: f"{n},public,item,{day(n)} 00:00:00+00,{n},U,{quoted(hstore(n, n))},"
                                 + quoted(f'"price"=>"{n}.75"') + ",f"),
    "record_version": ("id,record_id,old_record_id,op,ts,table_oid,table_schema,table_name,record,old_record",
                       lambda n: f"{n},r{n},r{n},UPDATE,{day(n)} 00:00:00+00,16450,public,item,"
                                 f"{quoted(document(n, n + 1))},{quoted(document(n, n))}"),
    "versions": ("id,name,price,row_start,row_end",
                 lambda n: f"{n // 4},bolt M8 × {n},{n}.50,2025-0{1 + n % 4}-01 00:00:00.000000,"
                           + ("2038-01-19 03:14:07.999999" if n % 4 == 3 else f"2025-0{2 + n % 4}-01 00:00:00.000000")),
    "sqlserver-cdc": ("__$start_lsn,__$end_lsn,__$seqval,__$operation,__$update_mask,id,name,price,__$command_id",
                      lambda n: f"{lsn(n)},,{lsn(n)},{3 + n % 2},0x06,{n // 2},bolt M8 × {n},{n}.50,1"),
    "delta-cdf": ("id,name,price,_change_type,_commit_version,_commit_timestamp",
                  lambda n: f"{n // 2},bolt M8 × {n},{n}.50,{'update_postimage' if n % 2 else 'update_preimage'},{n // 20},{day(n // 20)}T00:00:00Z"),
    "snowflake-stream": ("id,name,price,METADATA$ACTION,METADATA$ISUPDATE,METADATA$ROW_ID,LOADED_AT",
                         lambda n: f"{n // 2},bolt M8 × {n},{n}.50,{'INSERT' if n % 2 else 'DELETE'},true,{n // 2:040x},{day(n // 20)}T00:00:00Z"),
    "salesforce-history": ("Id,IsDeleted,AccountId,CreatedById,CreatedDate,Field,DataType,OldValue,NewValue",
                           lambda n: f"h{n:017},false,a{n // 3:017},u1,{day(n)}T00:00:00.000Z,{('Name', 'Fax', 'Phone')[n % 3]},Text,old {n},new {n}"),
    "fec": ("\t".join(FEC), fec),
    "hledger": ('"txnidx","date","date2","status","code","description","account","amount","commodity","credit","debit","posting-status","posting-comment"',
                lambda n: f'"{n // 2}","{day(n // 2)}","","*","","line {n}","assets:a{n % 500}","{"" if n % 2 else "-"}{n // 2}.50","EUR","","","",""'),
    "beancount": ("id,date,account,number,currency",
                  lambda n: f"{n // 2:08x},{day(n // 2)},Assets:A{n % 500},{'' if n % 2 else '-'}{n // 2}.50,EUR"),
    "pgmemento": ("row_log_id,transaction_id,txid_time,op_id,table_operation,schema_name,table_name,audit_id,old_data,new_data",
                  lambda n: f"{n},{n},{day(n)} 00:00:00+00,4,UPDATE,public,item,{n},{quoted(document(n, n))},{quoted(document(n, n + 1))}"),
    "servicenow-audit": ("sys_id,tablename,documentkey,fieldname,oldvalue,newvalue,record_checkpoint,sys_created_on,user",
                         lambda n: f"s{n:031},incident,{n // 3:032x},{('state', 'note', 'owner')[n % 3]},old {n},new {n},{n // 3},{day(n)} 00:00:00,eve"),
    "sap-changes": ("OBJECTCLAS,OBJECTID,CHANGENR,USERNAME,UDATE,UTIME,TABNAME,TABKEY,FNAME,CHNGIND,TEXT_CASE,VALUE_NEW,VALUE_OLD",
                    lambda n: f"KRED,{n // 3:010},{n // 3:010},EVE,{day(n // 3).replace('-', '')},120000,LFA1,100{n // 3:010},"
                              f"{('BANKN', 'NAME1', 'ORT01')[n % 3]},U,,new {n},old {n}"),
    "jira-changelog": ("id,issueid,author,created,field,field_id,oldvalue,oldstring,newvalue,newstring",
                       lambda n: f"{n // 2},{n // 6},eve,{day(n // 2)}T10:00:00Z,{('Status', 'Summary')[n % 2]},{('status', 'summary')[n % 2]},{n},old {n},{n + 1},new {n}"),
    "ticdc": ("", lambda n: f'"{"I" if n % 2 else "D"}","item","fin",{(1735689600000 + n // 2) << 18},true,{n // 2},"bolt M8 × {n}","{n}.50"'),
    "dms": ("Op,commit_ts,id,name,price,BI_id,BI_name,BI_price",
            lambda n: f"U,{day(n)} 00:00:00.000000,{n},bolt M8 × {n},{n}.75,{n},bolt M8 × {n},{n}.50"),
}


SINCE = "2024-03-31 22:15:04.123456"


def image(n, price, text=False):
    values = {"id": n, "name": f"bolt M8 × {n}", "price": price, "since": SINCE, "note": None}
    return {name: str(value) if text and value is not None else value for name, value in values.items()}


def typed(n, price):
    return {"id": {"N": str(n)}, "name": {"S": f"bolt M8 × {n}"}, "price": {"N": str(price)}, "since": {"S": SINCE}}


def micros(n, price):
    return {"id": n, "name": f"bolt M8 × {n}", "price": f"{price}", "since": 1711923304123456, "note": None}


def wal2json(n, old, new):
    columns = [("id", "bigint", n), ("name", "text", f"bolt M8 × {n}"), ("price", "numeric(18,2)", new),
               ("since", "timestamp without time zone", SINCE), ("note", "text", None)]
    identity = [("id", "bigint", n), ("price", "numeric(18,2)", old)]
    listed = [[{"name": a, "type": b, "value": c} for a, b, c in side] for side in (columns, identity)]
    return {"action": "U", "xid": n, "timestamp": f"{SINCE}+00", "lsn": f"16/{n:X}", "schema": "public", "table": "item",
            "columns": listed[0], "identity": listed[1]}


# Format: one update as JSON, of number, time and the old and the new price.
STREAMS = {
    "mapped-json": lambda n, t, old, new: {
        "seq": n, "txid": n, "committed_at": "2024-03-31T22:15:04.123456Z", "op": "U", "before": image(n, old), "after": image(n, new)},
    "debezium": lambda n, t, old, new: {
        "before": micros(n, old), "after": micros(n, new),
        "source": {"version": "3.1.0.Final", "connector": "mysql", "name": "erp", "ts_ms": t * 1000, "snapshot": "false", "db": "fin",
                   "table": "item", "server_id": 1, "gtid": None, "file": "mysql-bin.000003", "pos": n * 400, "row": 0},
        "op": "u", "ts_ms": t * 1000 + 1, "transaction": None},
    "wal2json": lambda n, t, old, new: wal2json(n, old, new),
    "maxwell": lambda n, t, old, new: {
        "database": "fin", "table": "item", "type": "update", "ts": t, "xid": n, "commit": True,
        "position": f"mysql-bin.000003:{n * 400}", "data": image(n, new), "old": {"price": old}},
    "canal": lambda n, t, old, new: {
        "data": [image(n, new, True)], "database": "fin", "es": t * 1000, "id": n, "isDdl": False,
        "mysqlType": {"id": "bigint", "name": "varchar(40)", "price": "decimal(18,2)", "since": "datetime(6)", "note": "text"},
        "old": [{"price": str(old)}], "pkNames": ["id"], "sql": "",
        "sqlType": {"id": -5, "name": 12, "price": 3, "since": 93, "note": 2005}, "table": "item", "ts": t * 1000 + 1, "type": "UPDATE"},
    "ticdc-json": lambda n, t, old, new: {
        "version": 1, "database": "fin", "table": "item", "tableID": 148, "type": "UPDATE", "commitTs": (t * 1000) << 18, "buildTs": 1,
        "schemaVersion": 447984099186180097, "data": image(n, new, True), "old": image(n, old, True)},
    "goldengate": lambda n, t, old, new: {
        "table": "FIN.ITEM", "op_type": "U", "op_ts": SINCE, "current_ts": "2024-03-31T22:15:06.000123", "pos": f"{n:020}",
        "primary_keys": ["id"], "before": image(n, old), "after": image(n, new)},
    "dms-json": lambda n, t, old, new: {
        "data": image(n, new), "before-image": image(n, old),
        "metadata": {"timestamp": "2024-03-31T22:15:05.870000Z", "record-type": "data", "operation": "update",
                     "partition-key-type": "schema-table", "schema-name": "fin", "table-name": "item", "transaction-id": n,
                     "commit-timestamp": "2024-03-31T22:15:04.000000Z"}},
    "debezium-flat": lambda n, t, old, new: {
        **micros(n, new), "__op": "u", "__table": "item", "__source_ts_ms": t * 1000, "__deleted": "false"},
    "mongodb": lambda n, t, old, new: {
        "_id": {"_data": f"82{n:08}"}, "operationType": "update", "clusterTime": {"$timestamp": {"t": t, "i": 1}},
        "wallTime": {"$date": "2024-03-31T22:15:04.123Z"}, "ns": {"db": "fin", "coll": "item"}, "documentKey": {"id": n},
        "updateDescription": {"updatedFields": {"price": {"$numberDecimal": str(new)}}, "removedFields": []},
        "fullDocumentBeforeChange": image(n, old)},
    "dynamodb": lambda n, t, old, new: {
        "eventID": str(n), "eventName": "MODIFY", "eventSource": "aws:dynamodb",
        "eventSourceARN": "arn:aws:dynamodb:eu:1:table/item/stream/x",
        "dynamodb": {"ApproximateCreationDateTime": float(t), "Keys": {"id": {"N": str(n)}}, "OldImage": typed(n, old),
                     "NewImage": typed(n, new), "SequenceNumber": f"2125880000000000{n:09}", "StreamViewType": "NEW_AND_OLD_IMAGES"}},
}


def binlog(n):
    def cells(price):
        return (f"###   @1={n} /* LONGINT meta=0 nullable=0 is_null=0 */\n###   @2='bolt M8 × {n}' /* VARSTRING(160) meta=160 nullable=1 is_null=0 */\n"
                f"###   @3={price} /* DECIMAL(18,2) meta=4610 nullable=1 is_null=0 */\n###   @4='{SINCE}' /* DATETIME(6) meta=6 nullable=1 is_null=0 */\n"
                "###   @5=NULL /* BLOB/TEXT meta=2 nullable=1 is_null=1 */")
    at, head = n * 400, "#240331 22:15:04 server id 1  end_log_pos"
    return (f"# at {at}\n{head} {at + 42} CRC32 0x1 \tGTID 0-1-{n} trans\nSTART TRANSACTION\n/*!*/;\n# at {at + 42}\n"
            f"{head} {at + 300} CRC32 0x1 \tUpdate_rows: table id 18 flags: STMT_END_F\n### UPDATE `fin`.`item`\n### WHERE\n{cells(f'{n}.50')}\n"
            f"### SET\n{cells(f'{n}.75')}\n# Number of rows: 1\n{head} {at + 331} CRC32 0x1 \tXid = {n}\nCOMMIT/*!*/;\n")


def write(folder, name, rows):
    if name in STREAMS:
        path = folder / f"{name}.ndjson"
        with path.open("w", encoding="utf-8") as file:
            for n in range(1, rows // 2 + 1):
                record = STREAMS[name](n, 1711923304 + n, n + 0.5, n + 0.75)
                file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        return path
    if name == "binlog":
        path = folder / "binlog.txt"
        path.write_text("/*!50530 SET @@SESSION.PSEUDO_SLAVE_MODE=1*/;\nDELIMITER /*!*/;\n" + "".join(binlog(n) for n in range(1, rows // 2 + 1)), encoding="utf-8")
        return path
    path = folder / f"{name}.{'xml' if name == 'saf-t' else 'csv'}"
    with path.open("w", encoding="utf-8") as file:
        if name == "saf-t":
            file.writelines(saft(rows))
            return path
        header, record = TABLES[name]
        file.write(header + "\n" if header else "")
        file.writelines(record(n) + "\n" for n in range(rows))
    return path


def of_children(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--asof", required=True)
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--only", default="")
    arguments = options.parse_args()
    names = [name for name in [*TABLES, "saf-t", "binlog", *STREAMS] if name in arguments.only.split(",") or not arguments.only]
    connection = duckdb.connect()
    connection.execute("SET threads=1; SET enable_progress_bar=false; SET TimeZone='UTC'")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = write(Path(folder), name, arguments.rows)
            size = path.stat().st_size / 1e6
            runs = [of_children([arguments.asof, "inspect", "--threads", "1", str(path)]) for _ in range(3)]
            found = runs[0][1].splitlines()[1].split()[0]
            assert found == name.removesuffix("-json"), f"{name} was taken for {found}: {runs[0][1]}"
            ours = statistics.median(run[0] for run in runs)
            if name in STREAMS:
                described = connection.execute(f"DESCRIBE FROM read_json('{path}', format='newline_delimited')").fetchall()
                columns = ", ".join(f"'{column}': '{kind}'".replace("\n", " ") for column, kind, *_ in described)
                table = f"read_json('{path}', format='newline_delimited', columns={{{columns}}})"
            elif name in ("saf-t", "binlog"):
                table = f"read_csv('{path}', header=false, delim='\x01', quote='', escape='', columns={{'line': 'VARCHAR'}})"
            else:
                table = f"read_csv('{path}', all_varchar=true, header={name != 'ticdc'}, delim='{chr(9) if name == 'fec' else ','}', quote='\"')"
            theirs = []
            for _ in range(4):
                start = time.process_time()
                connection.execute(f"CREATE OR REPLACE TEMP TABLE t AS FROM {table}")
                theirs.append(time.process_time() - start)
            peer = statistics.median(theirs[1:])
            print(f"{name:20} {size:6.1f} MB  asof {size / ours:6.1f} MB/s  DuckDB {size / peer:6.1f} MB/s  ratio {peer / ours:5.2f}", flush=True)
            path.unlink()


main()

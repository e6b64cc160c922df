//! How fast does the text of a change ledger become typed changes? One chunk on one core, for every text
//! format. Throughput is in bytes of the text.
//!
//! `ASOF_BENCH_TEXTS` names a folder into which the texts are written, for `decode_peers.py`; MB/s by the processor time
//! of the thread are then printed too, which a busy machine disturbs less.
#![allow(missing_docs, clippy::expect_used, clippy::print_stderr, reason = "a bench is a program of its own")]

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use asof::ledger::{DecodeOptions, Format, TableTarget, decode};
use asof::model::TableSchema;
use asof::read::{JsonChunk, JsonChunks, JsonRecord};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// How many updates a text has.
const UPDATES: u64 = 20_000;

fn target() -> TableTarget {
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("price", DataType::Decimal128(18, 2), true),
        Field::new("since", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("note", DataType::Utf8, true),
    ];
    let schema = TableSchema::new(Arc::new(Schema::new(fields)), vec![0]);
    TableTarget { dataset: 0, names: vec!["item".to_owned()], schema }
}

/// One update as a format writes it.
#[expect(clippy::too_many_lines, reason = "one text per format")]
fn update(format: Format, n: u64) -> String {
    let (old, new) = (format!("{n}.50"), format!("{n}.75"));
    let time = 1_711_923_304 + n;
    let since = "2024-03-31 22:15:04.123456";
    let row = |price: &str| {
        format!(r#"{{"id":{n},"name":"bolt M8 × {n}","price":{price},"since":"{since}","note":null}}"#)
    };
    let texts = |price: &str| {
        format!(r#"{{"id":"{n}","name":"bolt M8 × {n}","price":"{price}","since":"{since}","note":null}}"#)
    };
    match format {
        Format::Maxwell => format!(
            r#"{{"database":"fin","table":"item","type":"update","ts":{time},"xid":{n},"commit":true,"position":"mysql-bin.000003:{}","data":{},"old":{{"price":{old}}}}}"#,
            n * 400,
            row(&new)
        ),
        Format::Canal => format!(
            r#"{{"data":[{}],"database":"fin","es":{time}000,"id":{n},"isDdl":false,"mysqlType":{{"id":"bigint","name":"varchar(40)","price":"decimal(18,2)","since":"datetime(6)","note":"text"}},"old":[{{"price":"{old}"}}],"pkNames":["id"],"sql":"","sqlType":{{"id":-5,"name":12,"price":3,"since":93,"note":2005}},"table":"item","ts":{time}728,"type":"UPDATE"}}"#,
            texts(&new)
        ),
        Format::TiCdc => format!(
            r#"{{"version":1,"database":"fin","table":"item","tableID":148,"type":"UPDATE","commitTs":{},"buildTs":1,"schemaVersion":447984099186180097,"data":{},"old":{}}}"#,
            (time * 1000) << 18,
            texts(&new),
            texts(&old)
        ),
        Format::GoldenGate => format!(
            r#"{{"table":"FIN.ITEM","op_type":"U","op_ts":"{since}","current_ts":"2024-03-31T22:15:06.000123","pos":"{n:020}","primary_keys":["id"],"before":{},"after":{}}}"#,
            row(&old),
            row(&new)
        ),
        Format::Dms => format!(
            r#"{{"data":{},"before-image":{},"metadata":{{"timestamp":"2024-03-31T22:15:05.870000Z","record-type":"data","operation":"update","partition-key-type":"schema-table","schema-name":"fin","table-name":"item","transaction-id":{n},"commit-timestamp":"2024-03-31T22:15:04.000000Z"}}}}"#,
            row(&new),
            row(&old)
        ),
        Format::DebeziumFlat => format!(
            r#"{{"id":{n},"name":"bolt M8 × {n}","price":"{new}","since":1711923304123456,"note":null,"__op":"u","__table":"item","__source_ts_ms":{time}123,"__deleted":"false"}}"#
        ),
        Format::Debezium => format!(
            r#"{{"before":{{"id":{n},"name":"bolt M8 × {n}","price":"{old}","since":1711923304123456,"note":null}},"after":{{"id":{n},"name":"bolt M8 × {n}","price":"{new}","since":1711923304123456,"note":null}},"source":{{"version":"3.1.0.Final","connector":"mysql","name":"erp","ts_ms":{time}123,"snapshot":"false","db":"fin","table":"item","server_id":1,"gtid":null,"file":"mysql-bin.000003","pos":{},"row":0}},"op":"u","ts_ms":{time}870,"transaction":null}}"#,
            n * 400
        ),
        Format::Wal2Json => format!(
            r#"{{"action":"U","xid":{n},"timestamp":"2024-03-31 22:15:04.123456+00","lsn":"16/{n:X}","schema":"public","table":"item","columns":[{{"name":"id","type":"bigint","value":{n}}},{{"name":"name","type":"text","value":"bolt M8 × {n}"}},{{"name":"price","type":"numeric(18,2)","value":{new}}},{{"name":"since","type":"timestamp without time zone","value":"{since}"}},{{"name":"note","type":"text","value":null}}],"identity":[{{"name":"id","type":"bigint","value":{n}}},{{"name":"price","type":"numeric(18,2)","value":{old}}}]}}"#
        ),
        Format::MongoDb => format!(
            r#"{{"_id":{{"_data":"82{n:08}"}},"operationType":"update","clusterTime":{{"$timestamp":{{"t":{time},"i":1}}}},"wallTime":{{"$date":"2024-03-31T22:15:04.123Z"}},"ns":{{"db":"fin","coll":"item"}},"documentKey":{{"id":{n}}},"updateDescription":{{"updatedFields":{{"price":{{"$numberDecimal":"{new}"}}}},"removedFields":[]}},"fullDocumentBeforeChange":{}}}"#,
            row(&old)
        ),
        Format::DynamoDb => {
            let item = |price: &str| {
                format!(
                    r#"{{"id":{{"N":"{n}"}},"name":{{"S":"bolt M8 × {n}"}},"price":{{"N":"{price}"}},"since":{{"S":"{since}"}}}}"#
                )
            };
            format!(
                r#"{{"eventID":"{n}","eventName":"MODIFY","eventSource":"aws:dynamodb","eventSourceARN":"arn:aws:dynamodb:eu:1:table/item/stream/x","dynamodb":{{"ApproximateCreationDateTime":{time}.0,"Keys":{{"id":{{"N":"{n}"}}}},"OldImage":{},"NewImage":{},"SequenceNumber":"2125880000000000{n:09}","StreamViewType":"NEW_AND_OLD_IMAGES"}}}}"#,
                item(&old),
                item(&new)
            )
        }
        Format::Binlog => {
            let cells = |price: &str| {
                format!(
                    "###   @1={n} /* LONGINT meta=0 nullable=0 is_null=0 */\n###   @2='bolt M8 × {n}' /* VARSTRING(160) meta=160 nullable=1 is_null=0 */\n###   @3={price} /* DECIMAL(18,2) meta=4610 nullable=1 is_null=0 */\n###   @4='{since}' /* DATETIME(6) meta=6 nullable=1 is_null=0 */\n###   @5=NULL /* BLOB/TEXT meta=2 nullable=1 is_null=1 */"
                )
            };
            let at = n * 400;
            format!(
                "# at {at}\n#240331 22:15:04 server id 1  end_log_pos {} CRC32 0x1 \tGTID 0-1-{n} trans\nSTART TRANSACTION\n/*!*/;\n# at {}\n#240331 22:15:04 server id 1  end_log_pos {} CRC32 0x1 \tUpdate_rows: table id 18 flags: STMT_END_F\n### UPDATE `fin`.`item`\n### WHERE\n{}\n### SET\n{}\n# Number of rows: 1\n#240331 22:15:04 server id 1  end_log_pos {} CRC32 0x1 \tXid = {n}\nCOMMIT/*!*/;",
                at + 42,
                at + 42,
                at + 300,
                cells(&old),
                cells(&new),
                at + 331
            )
        }
        _ => format!(
            r#"{{"seq":{n},"txid":{n},"committed_at":"2024-03-31T22:15:04.123456Z","op":"U","before":{},"after":{}}}"#,
            row(&old),
            row(&new)
        ),
    }
}

fn chunk(format: Format, text: String) -> JsonChunk {
    if format == Format::Binlog {
        let record = JsonRecord { start: 0, end: text.len(), number: 1, line: 1, key: None };
        return JsonChunk { text: text.into_bytes(), records: vec![record], ..JsonChunk::default() };
    }
    let reader = Box::new(Cursor::new(text.into_bytes()));
    let chunks = JsonChunks::new(reader, Path::new("bench")).expect("a text").with_chunk_size(1 << 30);
    chunks.map(|chunk| chunk.expect("whole records")).next().expect("a chunk")
}

/// Processor time of this thread in nanoseconds, where the system tells.
fn processor() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// The middle one of some runs, in MB/s of processor time.
fn by_processor(bytes: usize, mut run: impl FnMut()) -> Option<f64> {
    run();
    let mut taken = Vec::new();
    for _ in 0..7 {
        let start = processor()?;
        run();
        taken.push(processor()? - start);
    }
    taken.sort_unstable();
    Some(bytes as f64 * 1e3 / taken[3] as f64)
}

fn throughput(criterion: &mut Criterion) {
    let targets = [target()];
    let options = DecodeOptions { time_zone: Some(chrono_tz::Tz::UTC), ..DecodeOptions::default() };
    let mut group = criterion.benchmark_group("decode/updates");
    for &format in Format::ALL.iter().filter(|format| !format.is_tabular()) {
        let lines: Vec<String> = (1..=UPDATES).map(|n| update(format, n)).collect();
        let text = lines.join("\n") + "\n";
        if let Some(folder) = std::env::var_os("ASOF_BENCH_TEXTS") {
            let path = Path::new(&folder).join(format!("{}.txt", format.name()));
            std::fs::write(path, &text).expect("a folder that can be written to");
        }
        let chunk = chunk(format, text);
        if std::env::var_os("ASOF_BENCH_TEXTS").is_some()
            && let Some(speed) = by_processor(chunk.text.len(), || {
                std::hint::black_box(decode(format, &chunk, &targets, &options));
            })
        {
            eprintln!("{:16} {speed:7.0} MB/s of processor time", format.name());
        }
        group.throughput(Throughput::Bytes(chunk.text.len() as u64)).sample_size(20);
        group.bench_function(format.name(), |b| {
            b.iter(|| {
                let decoded = decode(format, &chunk, &targets, &options);
                assert_eq!(
                    decoded.changes[0].len() as u64,
                    UPDATES,
                    "{}: {:?}",
                    format.name(),
                    decoded.notes.first()
                );
            });
        });
    }
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);

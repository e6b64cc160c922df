//! Damaged records: no decoder panics, and what it returns is whole.

use arrow::datatypes::{DataType, TimeUnit};

use super::testing::{decode_all, show, target};
use super::{DecodeOptions, Facts, Format, TableTarget};

const SEEDS: &[(Format, &str)] = &[
    (
        Format::Debezium,
        r#"{"topic":"erp.public.t","key":{"id":7},"value":{"before":{"id":7,"v":"B88=","d":19813,"b":"RSs="},"after":{"id":7,"v":{"scale":2,"value":"B88="},"d":19813,"b":"__debezium_unavailable_value"},"source":{"connector":"postgresql","ts_us":1711923304123456,"snapshot":"false","db":"fin","sequence":"[\\"5\\",\\"6\\"]","schema":"public","table":"t","txId":88123,"lsn":6},"transaction":{"id":"88123:6","total_order":1,"data_collection_order":1},"op":"u"}}
{"status":"END","id":"88123:9","event_count":1,"data_collections":[{"data_collection":"public.t","event_count":1}]}
{"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"default":"AA==","field":"v"},{"type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"9"},"field":"s"}]}]},"payload":{"after":{"id":7,"v":"B88=","t":1711923304123456,"s":"AQE="},"source":{"connector":"mysql","table":"t","file":"bin.000001","pos":4,"row":0,"server_id":1},"op":"c"}}
"#,
    ),
    (
        Format::Wal2Json,
        r#"{"action":"B","xid":7,"timestamp":"2024-03-31 22:15:04.1+05:30","lsn":"0/30"}
{"action":"U","xid":7,"lsn":"0/10","table":"t","columns":[{"name":"id","type":"bigint","value":7},{"name":"v","type":"numeric(18,2)","value":1.50},{"name":"s","type":"numeric","value":null}],"identity":[{"name":"id","value":7},{"name":"b","type":"bytea","value":"1bc4"}]}
{"action":"C","xid":7,"lsn":"0/30"}
{"xid":8,"nextlsn":"0/40","change":[{"kind":"update","table":"t","columnnames":["id","t"],"columntypes":["bigint","timestamp"],"columnvalues":[7,"2024-03-31 22:15:04"],"oldkeys":{"keynames":["id","s"],"keyvalues":[7,"x"]}},{"kind":"truncate","table":"t"}]}
"#,
    ),
    (
        Format::Mapped,
        r#"{"seq":1,"txid":"a","committed_at":"2021-11-02T20:00:30Z","op":"U","before":{"id":1,"v":"1.00","d":"2024-01-01"},"after":{"id":1,"v":2.5,"l":["a",null]}}
{"seq":"0/10","txid":2,"committed_at":1635883230123,"op":"d","before":{"id":1},"after":null}
"#,
    ),
    (
        Format::Binlog,
        "#asof file bin.000003\n# at 379\n#240331 22:15:04 server id 1  end_log_pos 421 CRC32 0x1 \tGTID 0-1-1142 trans\nSTART TRANSACTION\n/*!*/;\n# at 421\n# at 500\n#240331 22:15:04 server id 1  end_log_pos 500 CRC32 0x1 \tTable_map: `fin`.`t` mapped to number 18\n# Columns(`id` BIGINT NOT NULL,\n#         `s` ENUM('a','b'))\n#240331 22:15:04 server id 1  end_log_pos 600 CRC32 0x1 \tUpdate_rows: table id 18 flags: STMT_END_F\n### UPDATE `fin`.`t`\n### WHERE\n###   @1=7 /* LONGINT meta=0 nullable=0 is_null=0 */\n###   @2='a\\x0ab' /* VARSTRING(40) meta=40 nullable=1 is_null=0 */\n### SET\n###   @1=-1 (255) /* TINYINT meta=0 nullable=0 is_null=0 */\n###   @2=b'01' /* SET(1 bytes) meta=63489 nullable=1 is_null=0 */\n#240331 22:15:04 server id 1  end_log_pos 931 CRC32 0x1 \tXid = 9\nCOMMIT/*!*/;\n# at 950\n#240331 22:15:05 server id 1  end_log_pos 990 CRC32 0x1 \tQuery\tthread_id=5\nuse `fin`/*!*/;\nTRUNCATE TABLE t\n/*!*/;\n",
    ),
    (
        Format::Maxwell,
        r#"{"database":"d","table":"t","type":"update","ts":1711923304,"xid":1,"xoffset":0,"position":"bin.000003:1442","data":{"id":7,"v":19.99,"d":"2024-03-31","b":"G8Q=","s":{"k":[1]}},"old":{"v":10.84,"s":["a"]}}
{"topic":"t","key":null,"value":{"database":"d","table":"t","type":"table-alter","ts":1711923304000,"sql":"alter"}}
"#,
    ),
    (
        Format::Canal,
        r#"{"data":[{"id":"7","v":"19.99","b":"\u001bÄ"}],"database":"d","es":1711923304000,"isDdl":false,"mysqlType":{},"old":[{"v":"10.84"}],"table":"t","type":"UPDATE","_tidb":{"commitTs":429918007904436226}}
"#,
    ),
    (
        Format::TiCdc,
        r#"{"version":1,"database":"d","table":"t","type":"UPDATE","commitTs":447984099186180098,"schemaVersion":1,"data":{"id":"7","v":"2.00"},"old":{"id":"7","v":"1.00"}}
"#,
    ),
    (
        Format::GoldenGate,
        r#"{"table":"FIN.T","op_type":"U","op_ts":"2024-03-31:22:15:04.123456","pos":"00000000000000000147","before":{"id":7,"v":null,"v_isMissing":true},"after":{"id":7,"d":"1993-11-03:00:00:00"}}
"#,
    ),
    (
        Format::Dms,
        r#"{"data":{"id":7,"v":null,"BI_id":7,"BI_v":1.2345678901234568e+17},"before-image":{"s":"x"},"metadata":{"timestamp":"2024-03-31T22:15:05Z","record-type":"data","operation":"update","table-name":"t","transaction-id":1}}
"#,
    ),
    (
        Format::DebeziumFlat,
        r#"{"schema":{"type":"struct","fields":[{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"v"}]},"payload":{"id":7,"v":"B88=","t":1711923304123456,"__op":"u","__deleted":"false","__source_ts_ms":1711923304123}}
{"topic":"x.fin.t","key":{"payload":{"id":7}},"value":null}
"#,
    ),
    (
        Format::MongoDb,
        r#"{"operationType":"update","clusterTime":{"$timestamp":{"t":1711923304,"i":3}},"wallTime":{"$date":{"$numberLong":"1711923304123"}},"ns":{"db":"fin","coll":"t"},"documentKey":{"id":7},"updateDescription":{"updatedFields":{"v":{"$numberDecimal":"1.5"},"l.0":"x"},"removedFields":["s"],"truncatedArrays":[{"field":"l","newSize":1}]},"fullDocumentBeforeChange":{"id":7,"b":{"$binary":{"base64":"G8Q=","subType":"00"}},"t":{"$date":"2024-03-31T22:15:04Z"}}}
"#,
    ),
    (
        Format::DynamoDb,
        r#"{"eventName":"MODIFY","eventSourceARN":"arn:aws:dynamodb:eu:1:table/t/stream/x","dynamodb":{"ApproximateCreationDateTime":1.711923304E9,"Keys":{"id":{"N":"7"}},"OldImage":{"id":{"N":"7"},"s":{"M":{"a":{"L":[{"S":"x"},{"NULL":true}]}}}},"NewImage":{"id":{"N":"7"},"b":{"B":"G8Q="},"l":{"SS":["a"]}},"SequenceNumber":"21258800000000008186106757"}}
"#,
    ),
];

fn targets() -> Vec<TableTarget> {
    let columns = [
        ("id!", DataType::Int64),
        ("v", DataType::Decimal128(18, 2)),
        ("d", DataType::Date32),
        ("b", DataType::Binary),
        ("t", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("s", DataType::Utf8),
        ("l", DataType::new_list(DataType::Utf8, true)),
    ];
    vec![target("t", &columns)]
}

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// Changes a few places: bytes replaced, cut out, doubled, numbers blown up.
fn damaged(text: &str, dice: &mut Dice) -> String {
    const TOKENS: &[&str] = &[
        "\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "true",
        "-1",
        "1e999",
        "9223372036854775808",
        "\\u0000",
        "\n",
        "é",
        "\\ud800",
        "[[[[",
        "{}",
        "0/FFFFFFFFFF",
        "18446744073709551615",
        "\"\"",
        " ",
    ];
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(chars.len());
        let end = (at + dice.below(12)).min(chars.len());
        let token = TOKENS[dice.below(TOKENS.len())].chars();
        match dice.below(4) {
            0 => drop(chars.splice(at..end, token)),
            1 => drop(chars.drain(at..end)),
            2 => drop(chars.splice(at..at, token)),
            _ => {
                let copy: Vec<char> = chars[at..end].to_vec();
                drop(chars.splice(at..at, copy));
            }
        }
        if chars.is_empty() {
            chars.push(' ');
        }
    }
    chars.into_iter().collect()
}

#[test]
fn damaged_records_never_break_a_decoder() {
    let targets = targets();
    let mut dice = Dice(0x5EED);
    let mut facts = Facts::default();
    for round in 0..4_800 {
        let (own, text) = SEEDS[round % SEEDS.len()];
        let text = damaged(text, &mut dice);
        let cut = text.char_indices().nth(dice.below(text.chars().count())).map_or(0, |(at, _)| at);
        Format::detect(text.lines());
        // Every format meets its own records, and now and then those of any other.
        for format in [own, Format::ALL[dice.below(Format::ALL.len())]] {
            let options = DecodeOptions { facts: facts.clone(), ..DecodeOptions::default() };
            let (decoded, carry) = decode_all(format, &[&text[..cut], &text[cut..]], &targets, &options);
            for decoded in &decoded {
                show(&decoded.changes[0], &targets[0].schema);
            }
            let stream = carry.finish(&options);
            if round % 50 == 0 {
                facts = stream.facts;
            }
        }
    }
}

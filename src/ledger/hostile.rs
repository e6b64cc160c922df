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
    for round in 0..3_000 {
        let (_, text) = SEEDS[round % SEEDS.len()];
        let text = damaged(text, &mut dice);
        let cut = text.char_indices().nth(dice.below(text.chars().count())).map_or(0, |(at, _)| at);
        for format in Format::ALL {
            Format::detect(text.lines());
            let options = DecodeOptions { facts: facts.clone(), ..DecodeOptions::default() };
            let (decoded, carry) = decode_all(*format, &[&text[..cut], &text[cut..]], &targets, &options);
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

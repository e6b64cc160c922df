use std::path::Path;

use arrow::datatypes::{DataType, TimeUnit};

use super::super::testing::{show, target};
use super::super::{Carry, Stream};
use super::*;

fn items() -> TableTarget {
    let columns = [
        ("id!", DataType::Int64),
        ("name", DataType::Utf8),
        ("price", DataType::Decimal128(10, 2)),
        ("since", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ];
    target("item", &columns)
}

fn decode_text(
    text: &str,
    target: &TableTarget,
    sizes: (usize, usize),
) -> (Vec<String>, Vec<Decoded>, Stream) {
    let options = DecodeOptions { time_zone: Some(chrono_tz::Europe::Berlin), ..DecodeOptions::default() };
    let reader = Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
    let chunks = BinlogChunks::new(reader, Path::new("bin.000003.txt")).unwrap().with_sizes(sizes.0, sizes.1);
    let targets = [target.clone()];
    let mut carry = Carry::new();
    let decoded: Vec<Decoded> = chunks
        .map(|chunk| {
            let mut decoded = decode(&chunk.unwrap(), &targets, &options);
            carry.stitch(&mut decoded);
            decoded
        })
        .collect();
    let shown = decoded.iter().flat_map(|d| show(&d.changes[0], &target.schema)).collect();
    (shown, decoded, carry.finish(&options))
}

fn row(head: &str, cells: &[&str]) -> String {
    let mut text = format!("### {head} `fin`.`item`\n");
    for cell in cells {
        match *cell {
            "WHERE" | "SET" => text += &format!("### {cell}\n"),
            cell => text += &format!("###   {cell}\n"),
        }
    }
    text
}

const ID: &str = "@1=7 /* LONGINT meta=0 nullable=0 is_null=0 */";
const NAME: &str = "@2='bolt' /* VARSTRING(40) meta=40 nullable=1 is_null=0 */";
const PRICE: &str = "@3=19.99 /* DECIMAL(10,2) meta=2562 nullable=1 is_null=0 */";
const SINCE: &str = "@4=1711923304 /* TIMESTAMP(0) meta=0 nullable=1 is_null=0 */";

/// A transaction of one rows event, `size` bytes long.
fn transaction(event: &str, size: u64, rows: &str) -> String {
    format!(
        "# at 379\n#240331 22:15:04 server id 1  end_log_pos 421 CRC32 0x1 \tGTID 0-1-1142 trans\nSTART TRANSACTION\n/*!*/;\n\
         # at 421\n# at 500\n#240331 22:15:04 server id 1  end_log_pos 500 CRC32 0x1 \tTable_map: `fin`.`item` mapped to number 18\n\
         #240331 22:15:04 server id 1  end_log_pos {} CRC32 0x1 \t{event}: table id 18 flags: STMT_END_F\n{rows}\
         # Number of rows: 1\n# at 900\n#240331 22:15:04 server id 1  end_log_pos 931 CRC32 0x1 \tXid = 9\nCOMMIT/*!*/;\n",
        500 + size
    )
}

#[test]
fn ops_images_and_positions() {
    let null = "@2=NULL /* VARSTRING(40) meta=40 nullable=1 is_null=1 */";
    let update = row("UPDATE", &["WHERE", ID, null, PRICE, SINCE, "SET", ID, NAME, PRICE, SINCE]);
    let text = transaction("Update_rows", 0, &update)
        + &transaction("Delete_rows", 0, &row("DELETE FROM", &["WHERE", ID, NAME, PRICE, SINCE]))
        + "# at 950\n#240331 22:15:05 server id 1  end_log_pos 990 CRC32 0x1 \tQuery\tthread_id=5\nuse `fin`/*!*/;\nSET TIMESTAMP=1711923304/*!*/;\nTRUNCATE TABLE item\n/*!*/;\n";
    for sizes in [(1 << 20, 1 << 20), (1, 1 << 20), (1, 1)] {
        let (shown, decoded, stream) = decode_text(&text, &items(), sizes);
        let since = "since:2024-04-01T00:15:04";
        assert_eq!(
            shown,
            [
                format!("update id:7 name:null price:19.99 {since} -> id:7 name:bolt price:19.99 {since}"),
                format!("delete id:7 name:bolt price:19.99 {since} -> none"),
                "truncate none -> none".to_owned(),
            ]
        );
        assert!(decoded.iter().all(|d| d.notes.is_empty()));
        assert_eq!(stream.positions, Some(PositionKind::Binlog("bin.".to_owned())));
        assert!(stream.whole_seconds);
        let positions: Vec<u128> =
            decoded.iter().flat_map(|d| d.changes[0].position.clone().unwrap_or_default()).collect();
        assert_eq!(positions[0], binlog_position(3, 500, 0));
        let times: Vec<i64> = decoded.iter().flat_map(|d| d.changes[0].committed_at.clone()).collect();
        // 22:15:04 in Berlin, which went to summer time that morning.
        assert_eq!(times[0], 1_711_916_104_000_000_000);
    }
}

#[test]
fn images_that_leave_out_columns() {
    let update = row("UPDATE", &["WHERE", ID, "SET", PRICE]);
    let insert = row("INSERT INTO", &["SET", ID, PRICE]);
    let text = transaction("Update_rows", 0, &update) + &transaction("Write_rows", 0, &insert);
    let (shown, ..) = decode_text(&text, &items(), (1 << 20, 1 << 20));
    assert_eq!(
        shown,
        [
            // What a minimal image leaves out did not change; what it sets had another value before.
            "update id:7 name:= price:? since:= -> id:7 name:= price:19.99 since:=",
            "insert none -> id:7 name:? price:19.99 since:?",
        ]
    );
}

#[test]
fn history_of_a_versioned_table_is_no_change() {
    let period = |end: &str| {
        let cell = |n: u32, v: &str| format!("@{n}={v} /* TIMESTAMP(6) meta=6 nullable=0 is_null=0 */");
        [cell(5, "1795329272.543514"), cell(6, end)]
    };
    let image = |end: &str| {
        let [start, end] = period(end);
        [ID, NAME, PRICE, SINCE].map(str::to_owned).into_iter().chain([start, end]).collect::<Vec<_>>()
    };
    let (open, ended) = (image("2147483647.999999"), image("1795329273.000000"));
    let cells = |side: &str, image: &[String]| {
        let mut cells = vec![side.to_owned()];
        cells.extend_from_slice(image);
        cells
    };
    let rows =
        |head: &str, cells: Vec<String>| row(head, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    let update = rows("UPDATE", [cells("WHERE", &open), cells("SET", &open)].concat());
    let history = rows("INSERT INTO", cells("SET", &ended));
    let end = rows("UPDATE", [cells("WHERE", &open), cells("SET", &ended)].concat());
    let text = transaction("Update_rows", 0, &(update + &history)) + &transaction("Update_rows", 0, &end);
    let (shown, decoded, _) = decode_text(&text, &items(), (1 << 20, 1 << 20));
    let ops: Vec<&str> = shown.iter().map(|s| s.split(' ').next().unwrap()).collect();
    assert_eq!(ops, ["update", "delete"]);
    assert!(decoded[0].notes.is_empty());
    // Two more columns that never prove to be a period are not taken for one.
    let alone = transaction("Write_rows", 0, &rows("INSERT INTO", cells("SET", &ended)));
    let (shown, decoded, _) = decode_text(&alone, &items(), (1 << 20, 1 << 20));
    assert_eq!(shown, [] as [&str; 0]);
    assert_eq!(decoded[0].notes[0].kind, DiscrepancyKind::UnparsableRecord);
}

#[test]
fn an_escape_is_read_as_one_where_the_size_of_the_event_proves_it() {
    let name = r"@2='a\x0ab' /* VARSTRING(40) meta=40 nullable=1 is_null=0 */";
    let insert = row("INSERT INTO", &["SET", ID, name, PRICE, SINCE]);
    // Header 27, columns 1, present 1, nulls 1, bigint 8, text 1 + length, decimal 5, timestamp 4, checksum 4.
    let size = |length: u64| 27 + 1 + 1 + 1 + 8 + 1 + length + 5 + 4 + 4;
    let shown = |length: u64| {
        decode_text(&transaction("Write_rows", size(length), &insert), &items(), (1 << 20, 1 << 20))
    };
    let (proven, decoded, _) = shown(3);
    assert!(proven[0].contains("name:a\nb"), "{proven:?}");
    assert!(decoded[0].notes.is_empty());
    // Six bytes: the backslash is one.
    let (unproven, decoded, _) = shown(6);
    assert!(unproven[0].contains("name:? price:19.99"), "{unproven:?}");
    assert_eq!(decoded[0].notes[0].kind, DiscrepancyKind::LossyValue);
}

#[test]
fn what_the_log_does_not_hold_is_reported() {
    let query = |sql: &str| {
        format!(
            "# at 950\n#240331 22:15:05 server id 1  end_log_pos 990 CRC32 0x1 \tQuery\tthread_id=5\nuse `fin`/*!*/;\n{sql}\n/*!*/;\n"
        )
    };
    let insert = row("INSERT INTO", &["SET", ID, NAME, PRICE, SINCE]);
    let text = query("UPDATE item SET price=1")
        + &query("ALTER TABLE item ADD c int")
        + &query("INSERT INTO other VALUES (1)")
        + &query("CREATE TABLE x (a int)")
        + &transaction(
            "Write_rows",
            0,
            &row(
                "INSERT INTO",
                &["SET", ID, NAME, PRICE, SINCE, "@5=1 /* INT meta=0 nullable=0 is_null=0 */"],
            ),
        )
        + &transaction("Write_rows", 0, &insert)
            .replace("COMMIT/*!*/;", "ROLLBACK /* added by mysqlbinlog */ /*!*/;");
    let mut named = items();
    named.names = vec!["item".to_owned()];
    let (shown, decoded, _) = decode_text(&text, &named, (1 << 20, 1 << 20));
    assert_eq!(shown, [] as [&str; 0]);
    let kinds: Vec<_> = decoded[0].notes.iter().map(|n| n.kind).collect();
    use DiscrepancyKind as K;
    assert_eq!(kinds, [K::UnparsableRecord, K::SchemaDrift, K::UnparsableRecord, K::UnparsableRecord]);
}

#[test]
fn described_columns_go_by_name() {
    let described =
        "# Columns(`price` DECIMAL(10,2),\n#         `id` BIGINT UNSIGNED NOT NULL,\n#         `gone` INT)\n";
    let insert = row(
        "INSERT INTO",
        &[
            "SET",
            "@1=1.50 /* DECIMAL(10,2) meta=2562 nullable=1 is_null=0 */",
            "@2=7 /* LONGINT meta=0 nullable=0 is_null=0 */",
            "@3=1 /* INT meta=0 nullable=1 is_null=0 */",
        ],
    );
    let text = transaction("Write_rows", 0, &insert);
    let text = text.replace("mapped to number 18\n", &format!("mapped to number 18\n{described}"));
    let (shown, ..) = decode_text(&text, &items(), (1 << 20, 1 << 20));
    assert_eq!(shown, ["insert none -> id:7 name:? price:1.50 since:?"]);
}

#[test]
fn numbers_that_may_be_unsigned() {
    let columns =
        [("id!", DataType::Int64), ("a", DataType::Int16), ("b", DataType::UInt64), ("c", DataType::Int64)];
    let cells = [
        "SET",
        ID,
        "@2=-1 (65535) /* SHORTINT meta=0 nullable=0 is_null=0 */",
        "@3=-1 (18446744073709551615) /* LONGINT meta=0 nullable=0 is_null=0 */",
        "@4=-1 (255) /* TINYINT meta=0 nullable=0 is_null=0 */",
    ];
    let text = transaction("Write_rows", 0, &row("INSERT INTO", &cells));
    let (shown, decoded, _) = decode_text(&text, &target("item", &columns), (1 << 20, 1 << 20));
    assert_eq!(shown, ["insert none -> id:7 a:-1 b:18446744073709551615 c:?"]);
    assert_eq!(decoded[0].notes[0].column.as_deref(), Some("c"));
}

//! Debezium's CloudEvents: the `source` block and the op stand in attributes of the event (`iodebeziumop`, …), the
//! images in `data`. Put together again, they are an event like any other.

use super::super::json;

/// What stands before the names of Debezium's own attributes.
const PREFIX: &str = "iodebezium";

/// Members of a `source` block whose names lose their underscores and capitals in attributes.
const NAMES: [(&str, &str); 11] = [
    ("tsms", "ts_ms"),
    ("tsus", "ts_us"),
    ("tsns", "ts_ns"),
    ("txid", "txId"),
    ("serverid", "server_id"),
    ("changelsn", "change_lsn"),
    ("commitlsn", "commit_lsn"),
    ("eventserialno", "event_serial_no"),
    ("commitscn", "commit_scn"),
    ("committsms", "commit_ts_ms"),
    ("username", "user_name"),
];

/// The event inside a CloudEvent; `None` if the text is none of Debezium's.
pub(super) fn event(text: &str) -> Option<String> {
    let (mut data, mut op, mut source) = (None, None, Vec::new());
    json::members(text, |name, raw| {
        if name == "data" {
            data = Some(raw);
        } else if let Some(attribute) = name.strip_prefix(PREFIX).filter(|_| raw != "null") {
            if attribute == "op" {
                op = Some(raw);
            } else {
                let plain =
                    NAMES.iter().find(|(short, _)| *short == attribute).map_or(attribute, |(_, name)| name);
                source.push(format!("\"{plain}\":{raw}"));
            }
        }
    })
    .ok()?;
    let (op, images) = (op?, payload(data?));
    let side = |wanted: &str| {
        let mut found = "null";
        json::checked_members(images, |name, raw| {
            if name == wanted {
                found = raw;
            }
        });
        found
    };
    let (before, after) = (side("before"), side("after"));
    Some(format!("{{\"before\":{before},\"after\":{after},\"op\":{op},\"source\":{{{}}}}}", source.join(",")))
}

/// `data` itself, or what is in it beside its schema.
fn payload(data: &str) -> &str {
    let mut found = data;
    json::checked_members(data, |name, raw| {
        if name == "payload" && raw != "null" {
            found = raw;
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_become_the_source_block() {
        let text = r#"{"id":"x","source":"/debezium/postgresql/s","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2025-01-05T00:00:00Z","datacontenttype":"application/json","iodebeziumop":"u","iodebeziumconnector":"postgresql","iodebeziumtsms":"1736035200000","iodebeziumtxid":"7","iodebeziumlsn":"101","iodebeziumtable":"t","data":{"schema":{},"payload":{"before":{"id":1},"after":{"id":1,"n":2}}}}"#;
        let expected = r#"{"before":{"id":1},"after":{"id":1,"n":2},"op":"u","source":{"connector":"postgresql","ts_ms":"1736035200000","txId":"7","lsn":"101","table":"t"}}"#;
        assert_eq!(event(text).as_deref(), Some(expected));
        assert_eq!(event(r#"{"specversion":"1.0","data":{}}"#), None);
    }
}

//! Folders of Delta tables whose versions have deletion vectors and no change files, composed from the protocol's
//! text: every version against a forward history that remembers each state. And a real one, against another reader of it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use roaring::RoaringTreemap;
use serde_json::{Value, json};

use crate::harness::{Folder, Output};
use crate::real::{cases, series};
use crate::table;

/// A row: its key, a text, and the partition that it lies in.
type Row = (i64, String, Option<&'static str>);

/// What a vector holds: the rows that it deletes.
fn vector(rows: &[u64]) -> Vec<u8> {
    let mut bytes = 1_681_511_377_u32.to_le_bytes().to_vec();
    rows.iter().copied().collect::<RoaringTreemap>().serialize_into(&mut bytes).unwrap();
    bytes
}

fn z85(bytes: &[u8]) -> String {
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let padded: Vec<u8> =
        bytes.iter().copied().chain(std::iter::repeat_n(0, (4 - bytes.len() % 4) % 4)).collect();
    let group = |group: &[u8]| {
        let number = u32::from_be_bytes(group.try_into().unwrap());
        (0..5).rev().map(move |at| char::from(digits[(number / 85_u32.pow(at) % 85) as usize]))
    };
    padded.chunks(4).flat_map(group).collect()
}

fn inline(rows: &[u64]) -> Value {
    let bytes = vector(rows);
    json!({"storageType": "i", "pathOrInlineDv": z85(&bytes), "sizeInBytes": bytes.len(), "cardinality": rows.len()})
}

/// Vectors in one file, and how a log describes each.
fn stored(lake: &Folder, vectors: &[&[u64]]) -> Vec<Value> {
    let uuid: Vec<u8> = (1..=16).collect();
    let (mut file, mut described) = (vec![1], Vec::new());
    for rows in vectors {
        let bytes = vector(rows);
        described.push(
            json!({"storageType": "u", "pathOrInlineDv": format!("ab{}", z85(&uuid)), "offset": file.len(),
                              "sizeInBytes": bytes.len(), "cardinality": rows.len()}),
        );
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        file.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        file.extend_from_slice(&bytes);
        file.extend_from_slice(&crc.sum().to_be_bytes());
    }
    lake.write(VECTORS, file);
    described
}

const VECTORS: &str = "lake/ab/deletion_vector_01020304-0506-0708-090a-0b0c0d0e0f10.bin";

fn data(lake: &Folder, name: &str, rows: &[Row]) {
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let names = StringArray::from_iter_values(rows.iter().map(|row| &row.1));
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(ids) as Arc<dyn arrow::array::Array>),
        ("name", Arc::new(names)),
    ])
    .unwrap();
    // Several row groups: the rows of a vector are numbered over the whole file.
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(4)).build();
    let path = lake.join(format!("lake/{name}"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A file action; a `remove` states no partition, as the protocol allows.
fn action(kind: &str, path: &str, vector: Option<&Value>, changes: bool) -> Value {
    let mut body = json!({"path": path, "dataChange": changes});
    if kind == "add" {
        body["partitionValues"] = json!({"kind": path.strip_prefix("kind=x/").map_or("", |_| "x")});
    }
    if let Some(vector) = vector {
        body["deletionVector"] = vector.clone();
    }
    json!({ kind: body })
}

fn commit(lake: &Folder, version: usize, actions: &[Value]) {
    let info = json!({"commitInfo": {"timestamp": 1_735_689_600_000_u64 + 1000 * version as u64}});
    let lines: Vec<String> = std::iter::once(&info).chain(actions).map(Value::to_string).collect();
    lake.write(&format!("lake/_delta_log/{version:020}.json"), lines.join("\n") + "\n");
}

fn row(id: i64, name: &str) -> Row {
    (id, format!("{name} {id}"), (id < 10).then_some("x"))
}

/// The rows of the first version, without some.
fn without(ids: &[i64]) -> Vec<Row> {
    (0..13).filter(|id| !ids.contains(id)).map(|id| row(id, if id < 10 { "a" } else { "b" })).collect()
}

/// Writes the table and returns its state after each version.
fn table(lake: &Folder) -> Vec<Vec<Row>> {
    data(lake, "kind=x/a.parquet", &without(&[10, 11, 12]));
    data(lake, "b.parquet", &without(&[])[10..]);
    data(lake, "kind=x/c 1.parquet", &[row(4, "new")]);
    data(lake, "c2.parquet", &[row(11, "new")]);
    data(lake, "kind=x/d.parquet", &without(&[3, 7, 10, 11, 12]));
    let (add, remove) = (
        |path, vector| action("add", path, vector, true),
        |path, vector| action("remove", path, vector, true),
    );
    let (x, b, c, c2, d) =
        ("kind=x/a.parquet", "b.parquet", "kind=x/c%201.parquet", "c2.parquet", "kind=x/d.parquet");
    let files = stored(lake, &[&[3, 4, 7], &[1]]);
    let (one, two, of_b, last) = (&inline(&[3, 7]), &files[0], &files[1], &inline(&[0]));
    commit(lake, 0, &[add(x, None), add(b, None)]);
    // DELETE of two rows.
    commit(lake, 1, &[remove(x, None), add(x, Some(one))]);
    // UPDATE of two rows: deleted where they stood, and new in files of their own.
    let came = [add(c, None), add(c2, None)];
    let moved = [remove(x, Some(one)), add(x, Some(two)), remove(b, None), add(b, Some(of_b))];
    commit(lake, 2, &[moved.as_slice(), &came].concat());
    // RESTORE: rows come back out of their vectors.
    let back = [remove(x, Some(two)), add(x, Some(one)), remove(b, Some(of_b)), add(b, None)];
    commit(lake, 3, &[back.as_slice(), &[remove(c, None), remove(c2, None)]].concat());
    // Files rewritten without their vectors: no row changes.
    commit(lake, 4, &[action("remove", x, Some(one), false), action("add", d, None, false)]);
    // DELETE of a whole partition, and of a row of the other one.
    commit(lake, 5, &[remove(d, None), remove(b, None), add(b, Some(last))]);
    let mut updated = without(&[3, 4, 7, 11]);
    updated.extend([row(4, "new"), row(11, "new")]);
    let (deleted, end) = (without(&[3, 7]), without(&[])[11..].to_vec());
    vec![without(&[]), deleted.clone(), updated, deleted.clone(), deleted, end]
}

fn shown(rows: &[Row]) -> Vec<String> {
    let mut shown: Vec<String> =
        rows.iter().map(|(id, name, kind)| format!("{id} | {name} | {}", kind.unwrap_or("null"))).collect();
    shown.sort();
    shown
}

fn plan(folder: &Folder, key: &str, current: &[Row]) {
    let lines = current.iter().map(|(id, name, kind)| format!("{id},{name},{}\n", kind.unwrap_or_default()));
    folder.write("current.csv", "id,name,kind\n".to_owned() + &lines.collect::<String>());
    folder.write(
        "plan.toml",
        format!(
            "name = \"vectors\"\n[datasets.t]\nkey = {key}\ntypes = {{ id = \"int64\", name = \"text\", kind = \"text\" }}\n\
             current = {{ path = \"current.csv\", null = \"\" }}\n[datasets.t.ledger]\npath = \"lake\"\n"
        ),
    );
}

#[test]
fn every_version_of_a_table_with_deletion_vectors() {
    for key in ["[\"id\"]", "[]"] {
        let folder = Folder::new();
        let states = table(&folder);
        plan(&folder, key, states.last().unwrap());
        let moments: Vec<String> = (0..states.len()).map(|version| format!("position:{version}")).collect();
        for (version, (out, state)) in
            series(&folder, &["plan.toml"], &moments).iter().zip(&states).enumerate()
        {
            let found = table::texts(&table::read_parquet(&out.join("t.parquet")));
            let mut found: Vec<String> = found.iter().map(|row| table::show_row(row)).collect();
            found.sort();
            assert_eq!(found, shown(state), "version {version}, key {key}");
            let findings = table::read_parquet(&out.join("discrepancies.parquet"));
            assert_eq!(findings.num_rows(), 0, "version {version}: {:?}", table::texts(&findings));
            assert_inputs(out);
        }
    }
}

/// The log and the vectors are inputs like the files that they speak of.
fn assert_inputs(out: &Path) {
    let manifest: Value = serde_json::from_slice(&std::fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["datasets"][0]["ledger"]["files"].as_array().unwrap();
    let named: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    for part in ["00000000000000000002.json", "deletion_vector_", "a.parquet", "c 1.parquet"] {
        assert_eq!(named.iter().filter(|path| path.contains(part)).count(), 1, "{part} in {named:?}");
    }
}

#[test]
fn what_is_damaged_or_missing_is_refused_with_its_place() {
    let folder = Folder::new();
    let states = table(&folder);
    plan(&folder, "[\"id\"]", states.last().unwrap());
    let run = || -> Output {
        folder.run(&["snapshot", "plan.toml", "--as-of", "position:1", "--out", "x.csv", "--quiet"])
    };
    let refused = |what: &str| {
        let output = run();
        assert_eq!(output.status, 2, "{}", output.stdout);
        assert!(output.stderr.contains(what), "{}", output.stderr);
        assert!(!folder.join("x.csv").exists());
    };
    let path = folder.join(VECTORS);
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    damaged[30] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    refused("checksum");
    std::fs::write(&path, &sound[..20]).unwrap();
    refused("too few");
    std::fs::remove_file(&path).unwrap();
    refused("no file");
    std::fs::write(&path, &sound).unwrap();
    assert_eq!(run().status, 0);
    std::fs::remove_file(folder.join("x.csv")).unwrap();
    let log = folder.join("lake/_delta_log/00000000000000000001.json");
    let text = std::fs::read_to_string(&log).unwrap();
    let add = text.lines().last().unwrap();
    std::fs::write(&log, format!("{text}{add}\n")).unwrap();
    refused("twice");
    // Row 10 of a file with ten.
    let beyond = inline(&[3, 10]);
    commit(
        &folder,
        1,
        &[
            action("remove", "kind=x/a.parquet", None, true),
            action("add", "kind=x/a.parquet", Some(&beyond), true),
        ],
    );
    refused("the row 10");
}

/// First version and rows, up to the next one: what another reader of Delta tables (delta-rs) makes of each version of
/// the real table.
const STATES: [(u64, &str); 18] = [
    (0, "1 initial"),
    (1, "1 initial; 2 insert1; 3 insert1-delete1; 4 insert1-delete2; 5 insert1-delete2"),
    (2, "1 initial; 2 insert1; 4 insert1-delete2; 5 insert1-delete2"),
    (4, "1 initial; 2 insert1; 3 insert1-delete1; 4 insert1-delete2; 5 insert1-delete2"),
    (5, "1 initial; 2 insert1; 3 insert1-delete1"),
    (7, "1 initial; 2 insert1; 3 insert1-delete1; 4 insert1-delete2"),
    (8, "1 initial; 2 insert1; 3 insert1-delete1; 4 insert1-delete2; 5 insert2"),
    (9, "1 update1; 2 update1; 3 update1; 4 insert1-delete2; 5 insert2"),
    (10, "2 update1; 3 update1; 4 insert1-delete2; 5 insert2"),
    (12, "2 update2; 3 update1; 4 insert1-delete2; 5 insert2"),
    (14, "2 update2; 3 update1; 4 insert1-delete2; 5 insert2; 6 insert3; 7 insert3"),
    (15, "2 update2; 3 update1; 4 insert1-delete2; 5 insert2; 6 insert3; 7 insert3; 8 insert4; 9 insert4"),
    (16, "2 update2; 3 update1; 4 insert1-delete2; 5 insert2; 6 insert3; 9 insert4"),
    (
        18,
        "2 update2; 3 update1; 4 insert1-delete2; 5 insert2; 6 insert3; 9 merge1-update; 10 merge1-insert; \
         11 merge1-insert",
    ),
    (
        20,
        "2 update2; 3 update1; 4 insert1-delete2; 5 insert2; 6 insert3; 9 merge1-update; 10 merge1-insert; 11 ",
    ),
    (
        22,
        "2 update2; 3 update1; 4 insert1-delete2; 5 insert2; 6 insert3; 9 merge1-update; 10 merge1-insert; \
         12 merge2-insert",
    ),
    (24, "10 merge1-insert; 12 merge2-insert"),
    (25, "0 new; 1 after-large-delete; 2 ; 10 merge1-insert; 12 merge2-insert"),
];

/// A table that Spark wrote: appends, deletes and updates by vectors, merges, files rewritten in between. Some versions
/// have change files, others vectors alone.
#[test]
fn every_version_of_a_real_table_with_deletion_vectors() {
    let Some(cases) = cases() else { return };
    let lake = cases.join("fixtures/delta_cdf/cdf-table-with-cdc-and-dvs");
    let rows = |version: u64| -> Vec<(&str, &str)> {
        let (_, rows) = STATES.iter().rev().find(|(first, _)| *first <= version).unwrap();
        rows.split("; ").map(|row| row.split_once(' ').unwrap()).collect()
    };
    for key in ["[\"id\"]", "[]"] {
        let folder = Folder::new();
        let lines = rows(25).into_iter().map(|(id, comment)| format!("{id},\"{comment}\"\n"));
        folder.write("current.csv", "id,comment\n".to_owned() + &lines.collect::<String>());
        folder.write(
            "plan.toml",
            format!("name = \"real\"\n[datasets.t]\nkey = {key}\ncurrent = \"current.csv\"\nledger.path = {lake:?}\n"),
        );
        // Folders come in the order of their names.
        let mut versions: Vec<u64> = (0..26).collect();
        versions.sort_by_key(u64::to_string);
        let moments: Vec<String> = versions.iter().map(|version| format!("position:{version}")).collect();
        for (version, out) in versions.into_iter().zip(series(&folder, &["plan.toml"], &moments)) {
            let found = table::texts(&table::read_parquet(&out.join("t.parquet")));
            let mut found: Vec<String> = found.iter().map(|row| table::show_row(row)).collect();
            found.sort();
            let text = |text: &str| if text.is_empty() { "\"\"".to_owned() } else { text.to_owned() };
            let mut truth: Vec<String> =
                rows(version).into_iter().map(|(id, comment)| format!("{id} | {}", text(comment))).collect();
            truth.sort();
            assert_eq!(found, truth, "version {version}, key {key}");
            let findings = table::read_parquet(&out.join("discrepancies.parquet"));
            assert_eq!(findings.num_rows(), 0, "version {version}: {:?}", table::texts(&findings));
        }
    }
}

//! Bad input and bad places, as a user meets them: every run ends with status 2, says
//! where and what to do, and leaves nothing half-written.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Folder, Output};
use crate::table;

const LEDGER: &str = concat!(
    r#"{"seq":1,"txid":"a","committed_at":"2025-01-05T00:00:00Z","op":"U","before":{"id":1,"qty":5},"after":{"id":1,"qty":9}}"#,
    "\n",
    r#"{"seq":2,"txid":"b","committed_at":"2025-01-06T00:00:00Z","op":"D","before":{"id":3,"qty":1},"after":null}"#,
    "\n",
);
const CURRENT: &str = "id,qty\n1,9\n2,7\n";

/// A folder with a sound `t.csv` and `t.ndjson`, and one more file.
fn folder(name: &str, bytes: impl AsRef<[u8]>) -> Folder {
    let folder = Folder::new();
    folder.write("t.csv", CURRENT);
    folder.write("t.ndjson", LEDGER);
    folder.write(name, bytes);
    folder
}

fn run(folder: &Folder, current: &str, ledger: &str, more: &[&str]) -> Output {
    let mut arguments =
        vec!["snapshot", "--current", current, "--ledger", ledger, "--as-of", "2025-01-04", "--out", "out"];
    if !more.contains(&"--key") {
        arguments.extend(["--key", "id"]);
    }
    arguments.extend(more);
    folder.run(&arguments)
}

/// The run was refused, said all of this and a hint, and left nothing.
fn refused(folder: &Folder, output: &Output, says: &[&str]) {
    assert_eq!(output.status, 2, "{output:?}");
    for text in says {
        assert!(output.stderr.contains(text), "does not say {text:?}: {}", output.stderr);
    }
    assert!(output.stderr.contains("hint: "), "no remedy: {}", output.stderr);
    assert_eq!(output.stdout, "");
    nothing_is_left(folder.path());
}

fn nothing_is_left(folder: &Path) {
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name());
    let left: Vec<_> = names.filter(|n| n == "out" || n.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn parquet() -> Vec<u8> {
    let folder = Folder::new();
    let (schema, _) = table::parse_header("*id int64 | qty int64");
    let rows: Vec<String> = (0..2000).map(|i| format!("{i} | {}", i * 7)).collect();
    table::write_parquet(&folder.join("x.parquet"), &table::parse_rows(&schema, &rows));
    std::fs::read(folder.join("x.parquet")).unwrap()
}

#[test]
fn binary_frames_of_the_open_protocol_are_refused_by_name() {
    let (key, value) =
        (r#"{"ts":455023263744000000,"scm":"d","tbl":"t","t":1}"#, r#"{"u":{"id":{"t":3,"v":1}}}"#);
    let number = |n: usize| (n as u64).to_be_bytes().to_vec();
    let frames = [number(1), number(key.len()), key.into(), number(value.len()), value.into()].concat();
    let folder = folder("frames", &frames);
    for more in [&[][..], &["--format", "ticdc"]] {
        refused(
            &folder,
            &run(&folder, "t.csv", "frames", more),
            &["binary frames of TiCDC's open protocol", "canal-json"],
        );
    }
    let output = folder.run(&["inspect", "frames"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("binary frames"), "{}", output.stderr);
}

#[test]
fn files_that_are_no_tables() {
    let sound = parquet();
    let half = &sound[..sound.len() / 2];
    let mut no_pages = sound.clone();
    no_pages[4..200].fill(0xEE);
    let zip = gzip(CURRENT.repeat(500).as_bytes());
    let zst = zstd::encode_all(CURRENT.repeat(500).as_bytes(), 1).unwrap();
    let mut wrong_sum = zip.clone();
    let end = wrong_sum.len() - 6;
    wrong_sum[end] ^= 0x55;
    let files: [(&str, &[u8], &str); 12] = [
        ("x.csv", b"", "empty"),
        ("x.parquet", b"", "empty"),
        ("x.parquet", half, "footer"),
        ("x.parquet", &no_pages, "x.parquet"),
        ("x.parquet", CURRENT.as_bytes(), "footer"),
        ("x.csv.gz", &zip[..zip.len() / 2], "cut off"),
        ("x.csv.gz", &wrong_sum, "cut off or damaged"),
        ("x.csv.zst", &zst[..zst.len() / 2], "cut off"),
        ("x.csv", b"id,qty\n1,\"9\n2,7\n", "closing quote"),
        ("x.csv", b"id,qty\n1,\xE4\n", "UTF-8"),
        ("x.csv", b"PK\x03\x04rest of it", "zip archive"),
        ("x.csv", b"id,id\n1,2\n", "twice"),
    ];
    for (name, bytes, says) in files {
        let folder = folder(name, bytes);
        let output = run(&folder, name, "t.ndjson", &[]);
        refused(&folder, &output, &[name, says]);
    }
}

#[test]
fn ledgers_that_are_none() {
    let zip = gzip(LEDGER.repeat(300).as_bytes());
    let files: [(&str, &[u8], &[&str]); 5] = [
        ("x.ndjson.gz", &zip[..zip.len() / 2], &["cut off"]),
        ("x.ndjson", b"seq,op\n1,U\n", &["x.ndjson"]),
        ("x.csv", b"seq,op\n1,U\n", &["images", "seq, op"]),
        ("x.csv", b"seq,old_id,new_id\n1,1,1\n", &["op column", "ledger.columns.op"]),
        ("x.parquet", &parquet()[..900], &["footer"]),
    ];
    for (name, bytes, says) in files {
        let folder = folder(name, bytes);
        let output = run(&folder, "t.csv", name, &[]);
        refused(&folder, &output, &[&[name][..], says].concat());
    }
}

#[test]
fn a_cut_record_is_set_aside_and_said() {
    let folder = folder("x.ndjson", &LEDGER[..LEDGER.len() - 30]);
    let output = run(&folder, "t.csv", "x.ndjson", &[]);
    assert_eq!(output.status, 1, "{output:?}");
    let found = std::fs::read_to_string(folder.join("out/discrepancies.csv")).unwrap();
    assert!(found.contains("unparsable-record") && found.contains("x.ndjson"), "{found}");
}

#[test]
fn records_of_a_csv_ledger_that_are_no_rows_are_said() {
    let text = "seq,op,committed_at,old_id,old_qty,new_id,new_qty\n\
                1,U,2025-01-05T00:00:00Z,1,5,1,9\n2,D,2025-01-06T00:00:00Z,3\n";
    let folder = folder("x.csv", text);
    let output = run(&folder, "t.csv", "x.csv", &[]);
    assert_eq!(output.status, 1, "{output:?}");
    let found = std::fs::read_to_string(folder.join("out/discrepancies.csv")).unwrap();
    assert!(found.contains("unparsable-record") && found.contains("expected 7 fields"), "{found}");
}

#[test]
fn names_that_are_not_there() {
    let folder = folder("plan.toml", "[datasets.t]\nkee = [\"id\"]\n");
    let output = run(&folder, "t.csv", "t.ndjson", &["--key", "idd"]);
    refused(&folder, &output, &["idd", "t.csv", "did you mean \"id\""]);
    let output = run(&folder, "t.csv", "nothing.ndjson", &[]);
    refused(&folder, &output, &["nothing.ndjson"]);
    let output = folder.run(&["snapshot", "plan.toml", "--as-of", "2025-01-04", "--out", "out"]);
    refused(&folder, &output, &["plan.toml:2:1", "kee", "did you mean key"]);
}

/// One record of some megabytes is read like any other; its memory is a small multiple of it.
#[test]
fn a_very_long_line_is_one_record() {
    let note = "x".repeat(8 << 20);
    let line = format!(
        "{{\"seq\":1,\"committed_at\":\"2025-01-05T00:00:00Z\",\"op\":\"U\",\"before\":{{\"id\":1,\"qty\":5,\"note\":\"{note}\"}},\
         \"after\":{{\"id\":1,\"qty\":9,\"note\":\"\"}}}}\n"
    );
    let folder = folder("x.ndjson", line);
    folder.write("x.csv", "id,qty,note\n1,9,\n2,7,y\n");
    let output = run(&folder, "x.csv", "x.ndjson", &[]);
    assert_eq!(output.status, 0, "{output:?}");
    let rows = table::read_parquet(&folder.join("out/x.parquet"));
    assert_eq!(table::column(&rows, "note")[0].as_ref().map(String::len), Some(8 << 20));
}

#[test]
fn places_that_cannot_be_written() {
    let folder = folder("file", "in the way");
    let output = folder.run(&arguments("file/out"));
    refused(&folder, &output, &["file", "a part of this path is a file"]);
    assert_eq!(std::fs::read_to_string(folder.join("file")).unwrap(), "in the way");
}

#[test]
fn what_is_no_earlier_output_is_not_replaced() {
    let folder = folder("out/mine.txt", "keep");
    let mut all = arguments("out");
    all.push("--replace");
    let output = folder.run(&all);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(output.stderr.contains("manifest.json") && output.stderr.contains("hint: "), "{output:?}");
    assert_eq!(std::fs::read_to_string(folder.join("out/mine.txt")).unwrap(), "keep");
    // Manifests of others: of nobody, of a web page, of a program that also states its version.
    for manifest in ["{}", "{\"name\":\"my web app\"}", "{\"asof\":\"0.1.0\"}", "not JSON"] {
        folder.write("out/manifest.json", manifest);
        let output = folder.run(&all);
        assert_eq!(output.status, 2, "{manifest}: {output:?}");
        assert!(output.stderr.contains("no run of this program wrote"), "{manifest}: {output:?}");
        assert_eq!(std::fs::read_to_string(folder.join("out/mine.txt")).unwrap(), "keep");
    }
}

#[test]
fn an_earlier_output_is_replaced_unless_somebody_laid_a_file_into_it() {
    let folder = folder("note", "");
    let mut all = arguments("out");
    all.push("--replace");
    assert_eq!((folder.run(&all).status, folder.run(&all).status), (0, 0));
    for place in ["out/mine.txt", "out/src/mine.txt"] {
        folder.write(place, "keep");
        let output = folder.run(&all);
        assert_eq!(output.status, 2, "{output:?}");
        assert!(output.stderr.contains("which that output did not write"), "{output:?}");
        assert_eq!(std::fs::read_to_string(folder.join(place)).unwrap(), "keep");
        std::fs::remove_file(folder.join(place)).unwrap();
    }
    std::fs::remove_dir(folder.join("out/src")).unwrap();
    let series = |folder: &Folder| {
        let mut all = arguments("out");
        let at = all.iter().position(|a| *a == "2025-01-04").unwrap();
        all[at] = "2025-01-04..2025-01-05";
        folder.run(&[&all[..], &["--replace"]].concat())
    };
    assert_eq!((series(&folder).status, series(&folder).status), (0, 0));
    folder.write("out/2025-01-05/mine.txt", "keep");
    assert_eq!(series(&folder).status, 2);
    folder.write("out/notes/mine.txt", "keep");
    std::fs::remove_file(folder.join("out/2025-01-05/mine.txt")).unwrap();
    assert_eq!(series(&folder).status, 2);
    assert!(folder.join("out/notes/mine.txt").exists());
}

fn arguments(out: &str) -> Vec<&str> {
    let mut all = vec!["snapshot", "--current", "t.csv", "--ledger", "t.ndjson", "--key", "id"];
    all.extend(["--as-of", "2025-01-04", "--quiet", "--out", out]);
    all
}

/// A delivery that takes a while: every row changed.
fn long() -> Folder {
    let folder = Folder::new();
    let (mut current, mut ledger) = ("id,qty\n".to_owned(), String::new());
    for id in 0..40_000 {
        current += &format!("{id},{}\n", id + 1);
        ledger += &format!(
            "{{\"seq\":{},\"committed_at\":\"2025-01-05T00:00:00Z\",\"op\":\"U\",\"before\":{{\"id\":{id},\"qty\":{id}}},\
             \"after\":{{\"id\":{id},\"qty\":{}}}}}\n",
            id + 1,
            id + 1
        );
    }
    folder.write("t.csv", current);
    folder.write("t.ndjson", ledger);
    folder
}

fn command(folder: &Folder, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder.path()).env_clear().env("TMPDIR", std::env::temp_dir());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing() {
    let folder = long();
    // A limit on the size of files, with its signal ignored, fails writes as a full disk does.
    for blocks in ["0", "1", "60"] {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let output = command(&folder, "/bin/sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_asof")])
            .args(arguments("out"))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{blocks}: {stderr}");
        assert!(stderr.contains("hint: make room") && stderr.contains("out"), "{blocks}: {stderr}");
        nothing_is_left(folder.path());
    }
}

#[cfg(unix)]
#[test]
fn a_killed_run_leaves_no_output_and_the_next_one_no_litter() {
    let folder = long();
    let started = Instant::now();
    let finished = command(&folder, env!("CARGO_BIN_EXE_asof")).args(arguments("out")).status().unwrap();
    assert!(finished.success());
    let whole = started.elapsed();
    let mut killed = 0;
    for part in 1..10 {
        std::fs::remove_dir_all(folder.join("out")).unwrap();
        let mut child = command(&folder, env!("CARGO_BIN_EXE_asof")).args(arguments("out")).spawn().unwrap();
        std::thread::sleep(whole * part / 10);
        child.kill().unwrap();
        let _ = child.wait().unwrap();
        // The last moments of a run come after its output is in place, whole.
        if folder.join("out").exists() {
            assert!(folder.join("out/manifest.json").is_file(), "killed at {part}/10, and half is there");
            std::fs::remove_dir_all(folder.join("out")).unwrap();
        } else {
            killed += 1;
        }
        let next = command(&folder, env!("CARGO_BIN_EXE_asof")).args(arguments("out")).output().unwrap();
        assert!(next.status.success(), "{}", String::from_utf8_lossy(&next.stderr));
        assert_eq!(folder.names(), ["out", "t.csv", "t.ndjson"], "killed at {part}/10");
    }
    assert!(killed > 0, "no run took long enough to be killed");
}

/// Two runs to neighbouring places at a time do not take each other's folders for litter.
#[cfg(unix)]
#[test]
fn a_run_under_way_is_no_litter() {
    let folder = long();
    let mut child = command(&folder, env!("CARGO_BIN_EXE_asof")).args(arguments("out")).spawn().unwrap();
    let under_way = || folder.names().into_iter().any(|n| n.starts_with(".out.") && n.ends_with(".partial"));
    let limit = Instant::now() + Duration::from_secs(60);
    while !under_way() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Refused at the end or beaten to the place: but never is the folder of the other one taken away.
    let second = command(&folder, env!("CARGO_BIN_EXE_asof"))
        .args(["snapshot", "--as-of", "2025-01-04"])
        .args(["--current", "t.csv", "--ledger", "nothing", "--key", "id", "--out", "out"])
        .status()
        .unwrap();
    assert_eq!(second.code(), Some(2));
    assert!(child.wait().unwrap().success());
    assert_eq!(folder.names(), ["out", "t.csv", "t.ndjson"]);
}

//! A limit on memory is kept to, measured from outside, and changes no byte of what comes out.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use asof::testing::{Prng, parquet};

use crate::harness::Folder;

const KEYS: i64 = 360_000;
/// 2025-01-01 in microseconds.
const YEAR: i64 = 1_735_689_600_000_000;
const DAY: i64 = 86_400_000_000;

/// Text that no codec makes small.
fn text(random: &mut Prng) -> String {
    (0..8).map(|_| format!("{:016x}", random.next())).collect()
}

/// One change of a key: the row before and after.
type Change = (i64, Option<String>, Option<String>);

/// Every key changes once behind January, in an order that is none; some go, some come. `again`: the last
/// row of the current state stands there twice.
fn write(folder: &Folder, again: bool) {
    let mut random = Prng::new(11);
    let (mut ids, mut texts) = (Vec::new(), Vec::new());
    let mut changes: Vec<Change> = vec![(0, Some(text(&mut random)), Some(text(&mut random)))];
    // A step that is prime to the number of keys meets each of them once.
    for id in (0..KEYS).map(|number| number * 7919 % KEYS) {
        let (old, new) = (text(&mut random), text(&mut random));
        changes.push(match id % 20 {
            0 => (id, None, Some(new)),
            1 => (id, Some(old), None),
            _ => (id, Some(old), Some(new)),
        });
    }
    let mut last: Vec<Option<&String>> = vec![None; KEYS as usize];
    changes.iter().for_each(|(id, _, new)| last[*id as usize] = new.as_ref());
    for (id, last) in last.iter().enumerate() {
        ids.extend(last.map(|_| id as i64));
        texts.extend(last.cloned());
    }
    if again {
        ids.extend(ids.last().copied());
        texts.extend(texts.last().cloned());
    }
    let column = |name: &str, array: ArrayRef| (name.to_owned(), array);
    let current = RecordBatch::try_from_iter([
        column("id", Arc::new(Int64Array::from(ids))),
        column("note", Arc::new(StringArray::from(texts))),
    ]);
    let of = |side: fn(&Change) -> &Option<String>, changes: &[Change]| -> [ArrayRef; 2] {
        let ids: Int64Array = changes.iter().map(|c| side(c).as_ref().map(|_| c.0)).collect();
        [Arc::new(ids), Arc::new(changes.iter().map(side).cloned().collect::<StringArray>())]
    };
    let ([old_id, old_note], [new_id, new_note]) = (of(|c| &c.1, &changes), of(|c| &c.2, &changes));
    let op = |(_, old, new): &Change| match (old, new) {
        (None, _) => "I",
        (_, None) => "D",
        _ => "U",
    };
    let count = changes.len() as i64;
    // The first lies before the moment, all others behind it.
    let times =
        (0..count).map(|number| if number == 0 { YEAR } else { YEAR + 31 * DAY + number * 1_000_000 });
    let ledger = RecordBatch::try_from_iter([
        column("seq", Arc::new(Int64Array::from_iter_values(0..count))),
        column("op", Arc::new(changes.iter().map(op).map(Some).collect::<StringArray>())),
        column(
            "committed_at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        ),
        column("old_id", old_id),
        column("old_note", old_note),
        column("new_id", new_id),
        column("new_note", new_note),
    ]);
    for (name, batch) in [("current.parquet", current), ("ledger.parquet", ledger)] {
        folder.write(name, parquet(&batch.unwrap(), 12_000).unwrap());
    }
}

/// Runs a snapshot; its status, what it said, and the most anonymous memory it had, in bytes.
fn run(folder: &Folder, out: &Path, flags: &[&str]) -> (bool, String, u64) {
    let said = folder.join("said.txt");
    let mut child = Command::new(env!("CARGO_BIN_EXE_asof"))
        .args(["snapshot", "--current", "current.parquet", "--ledger", "ledger.parquet", "--key", "id"])
        .args(["--as-of", "2025-01", "--no-verify", "--threads", "2", "--replace", "--out"])
        .arg(out)
        .args(flags)
        .current_dir(folder.path())
        .env_clear()
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let place = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut most = 0;
    let status = loop {
        let text = std::fs::read_to_string(&place).unwrap_or_default();
        let of = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        most = most.max(1024 * (of("RssAnon:") + of("RssShmem:")));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    (status.success(), std::fs::read_to_string(said).unwrap(), most)
}

#[test]
fn a_limit_is_kept_to_and_changes_no_byte() {
    let folder = Folder::new();
    write(&folder, false);
    let (whole, limited) = (folder.join("whole.parquet"), folder.join("limited.parquet"));
    let (done, said, free) = run(&folder, &whole, &[]);
    assert!(done, "{said}");
    let limit = 100_000_000;
    assert!(free > limit * 5 / 4, "{free} bytes without a limit: the limit would limit nothing");
    let (done, said, most) = run(&folder, &limited, &["--memory-limit", "100MB"]);
    assert!(done, "{said}");
    assert!(most < limit, "{most} bytes of anonymous memory");
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&limited).unwrap(), "other bytes");
    let (whole, limited) = (folder.join("whole"), folder.join("limited"));
    assert!(run(&folder, &whole, &[]).0);
    assert!(run(&folder, &limited, &["--memory-limit", "110MB"]).0);
    for name in ["current.parquet", "verdicts.parquet", "totals.csv", "discrepancies.parquet"] {
        let [a, b] = [&whole, &limited].map(|folder| std::fs::read(folder.join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
}

#[test]
fn a_limit_that_is_too_small_is_refused_with_the_least_that_would_do() {
    let folder = Folder::new();
    write(&folder, false);
    let out = folder.join("out.parquet");
    let (done, said, _) = run(&folder, &out, &["--memory-limit", "20MB"]);
    assert!(!done && !out.exists(), "{said}");
    let least = said.split_whitespace().find(|word| word.ends_with("MB") && *word != "20MB");
    let least = least.unwrap_or_else(|| panic!("no amount in {said:?}")).to_owned();
    let (done, said, most) = run(&folder, &out, &["--memory-limit", &least]);
    assert!(done, "{least}: {said}");
    let least: u64 = least.trim_end_matches("MB").parse().unwrap();
    assert!(most < least * 1_000_000, "{most} bytes with a limit of {least} MB");
}

#[test]
fn a_duplicate_key_of_a_table_with_measures_is_the_same_finding() {
    let folder = Folder::new();
    write(&folder, true);
    let plan = "[datasets.t]\nkey = [\"id\"]\nmeasures = [\"id\"]\ncurrent = \"current.parquet\"\n\
                [datasets.t.ledger]\npath = \"ledger.parquet\"\n";
    folder.write("plan.toml", plan);
    let found = |out: &str, flags: &[&str]| {
        let base =
            ["snapshot", "plan.toml", "--as-of", "2025-01", "--no-verify", "--threads", "2", "--out", out];
        let output = folder.run(&[&base[..], flags].concat());
        assert_eq!(output.status, 1, "{output:?}");
        std::fs::read_to_string(folder.join(out).join("discrepancies.csv")).unwrap()
    };
    let whole = found("whole", &[]);
    assert!(whole.contains("duplicate-key"), "{whole}");
    assert_eq!(found("limited", &["--memory-limit", "105MB"]), whole);
}

//! Histories of fields against a forward history that remembers every state.
//!
//! A small world changes second by second; four systems write down what changed, each
//! in its own way and shuffled as far as the system does not promise an order. What is
//! rebuilt must be what the world was: every cell that some row of its record names,
//! and every other one of a record that still stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use asof::testing::Prng;

use crate::harness::Folder;
use crate::real::series;
use crate::table;

const FIELDS: [&str; 3] = ["alpha", "beta", "count"];
const SECONDS: usize = 40;

type Row = [Option<String>; 3];
type State = BTreeMap<String, Row>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Salesforce,
    ServiceNow,
    Sap,
    Jira,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Create,
    Change,
    Delete,
}

/// One save of one record.
#[derive(Debug, Clone)]
struct Save {
    second: usize,
    number: usize,
    record: String,
    act: Act,
    /// Field, before, after.
    cells: Vec<(usize, Option<String>, Option<String>)>,
}

struct World {
    states: Vec<State>,
    saves: Vec<Save>,
}

impl System {
    fn creates(self) -> bool {
        self != Self::ServiceNow
    }

    fn deletes(self) -> bool {
        matches!(self, Self::ServiceNow | Self::Sap)
    }

    fn has_nulls(self) -> bool {
        self != Self::Sap
    }
}

fn world(system: System, random: &mut Prng) -> World {
    let mut counter = 0;
    let mut fresh = || {
        counter += 1;
        counter.to_string()
    };
    let mut state: State = (0..4).map(|n| (format!("r{n}"), [(); 3].map(|()| Some(fresh())))).collect();
    let (mut states, mut saves, mut born) = (vec![state.clone()], Vec::new(), 4);
    for second in 1..=SECONDS {
        // Fields that were emptied or touched in this second.
        let (mut emptied, mut touched) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..random.below(4) {
            let number = saves.len() + 1;
            let mut save =
                Save { second, number, record: String::new(), act: Act::Change, cells: Vec::new() };
            if system.creates() && random.percent(15) {
                save.record = format!("r{born}");
                born += 1;
                let row = [(); 3].map(|()| Some(fresh()));
                save.cells = (0..3).map(|f| (f, None, row[f].clone())).collect();
                save.act = Act::Create;
                state.insert(save.record.clone(), row);
                saves.push(save);
                continue;
            }
            let records: Vec<String> = state.keys().cloned().collect();
            let Some(record) = random.pick(&records) else { continue };
            save.record = record.clone();
            if system.deletes() && random.percent(8) {
                let row = state.remove(record).unwrap();
                save.cells = (0..3).map(|f| (f, row[f].clone(), None)).collect();
                save.act = Act::Delete;
                saves.push(save);
                continue;
            }
            let row = state.get_mut(record).unwrap();
            #[allow(clippy::needless_range_loop, reason = "the number names the field")]
            for field in 0..3 {
                let here = (record.clone(), field);
                if !random.percent(45) || emptied.contains(&here) {
                    continue;
                }
                let empty = system.has_nulls() && random.percent(20) && row[field].is_some();
                let new = if empty && !touched.contains(&here) { None } else { Some(fresh()) };
                if new.is_none() {
                    emptied.insert(here.clone());
                }
                touched.insert(here);
                save.cells.push((field, row[field].clone(), new.clone()));
                row[field] = new;
            }
            if !save.cells.is_empty() {
                saves.push(save);
            }
        }
        states.push(state.clone());
    }
    World { states, saves }
}

fn time(second: usize) -> String {
    format!("2025-01-01T10:00:{second:02}")
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("")
}

fn shuffled<T>(mut all: Vec<T>, random: &mut Prng) -> Vec<T> {
    for at in (1..all.len()).rev() {
        all.swap(at, random.index(at + 1));
    }
    all
}

/// The rows of a history of lines.
fn lines(system: System, world: &World, random: &mut Prng) -> Vec<String> {
    let mut lines = Vec::new();
    let mut id = 0;
    for save in &world.saves {
        let (at, record, number) = (time(save.second), &save.record, save.number);
        let compact = at[11..].replace(':', "");
        let mut marker = |field: &str, kind: &str, old: &str, new: &str| {
            id += 1;
            lines.push(match system {
                System::Salesforce => format!("h{id},{record},u1,{at}.000Z,{field},Text,{old},{new}"),
                System::ServiceNow => {
                    format!("s{id},t,{record},{field},{old},{new},{number},{},eve", at.replace('T', " "))
                }
                _ => format!("{number:010},T,{record},{field},{kind},{new},{old},20250101,{compact},EVE"),
            });
        };
        match (&save.act, system) {
            (Act::Create, System::Salesforce) => marker("created", "", "", ""),
            (Act::Delete, System::ServiceNow) => marker("DELETED", "", "", ""),
            (act, _) => {
                let kind = match act {
                    Act::Create => "J",
                    Act::Change => "U",
                    Act::Delete => "E",
                };
                for (field, old, new) in &save.cells {
                    marker(FIELDS[*field], kind, text(old), text(new));
                }
            }
        }
    }
    shuffled(lines, random)
}

fn jira(world: &World, random: &mut Prng) -> String {
    let records: BTreeSet<&String> = world.states.iter().flat_map(|s| s.keys()).collect();
    let mut out = String::new();
    for record in records {
        let saves = || world.saves.iter().filter(|s| s.record == *record);
        let created = saves().find(|s| s.act == Act::Create);
        let fields = created.map_or(
            serde_json::json!({}),
            |s| serde_json::json!({ "created": time(s.second) + ".000+0000" }),
        );
        let histories = saves().filter(|s| s.act == Act::Change).map(|save| {
            let items: Vec<serde_json::Value> = save
                .cells
                .iter()
                .map(|(f, old, new)| serde_json::json!({ "field": FIELDS[*f], "fieldId": FIELDS[*f], "from": null, "fromString": old, "to": null, "toString": new }))
                .collect();
            serde_json::json!({ "id": save.number.to_string(), "created": time(save.second) + ".000+0000", "author": { "accountId": "5b" }, "items": items })
        });
        let histories = shuffled(histories.collect(), random);
        let issue = serde_json::json!({ "key": record, "id": "1", "fields": fields, "changelog": { "histories": histories } });
        writeln!(out, "{issue}").unwrap();
    }
    out
}

fn write(folder: &Folder, system: System, world: &World, history: &str) {
    let mut current = format!("id,{}\n", FIELDS.join(","));
    for (id, row) in world.states.last().unwrap() {
        writeln!(current, "{id},{}", row.each_ref().map(text).join(",")).unwrap();
    }
    folder.write("current.csv", current);
    let (file, head) = match system {
        System::Salesforce => {
            ("h.csv", "Id,AccountId,CreatedById,CreatedDate,Field,DataType,OldValue,NewValue\n")
        }
        System::ServiceNow => (
            "h.csv",
            "sys_id,tablename,documentkey,fieldname,oldvalue,newvalue,record_checkpoint,sys_created_on,user\n",
        ),
        System::Sap => {
            ("h.csv", "CHANGENR,TABNAME,TABKEY,FNAME,CHNGIND,VALUE_NEW,VALUE_OLD,UDATE,UTIME,USERNAME\n")
        }
        System::Jira => ("h.ndjson", ""),
    };
    folder.write(file, format!("{head}{history}"));
    let record = if system == System::Jira { "columns = { record = \"key\" }\n" } else { "" };
    folder.write(
        "plan.toml",
        format!(
            "[datasets.t]\nkey = [\"id\"]\ntypes = {{ alpha = \"text\", beta = \"text\", count = \"int64\" }}\n\
             [datasets.t.current]\npath = \"current.csv\"\nnull = \"\"\nat = \"2025-01-02T00:00:00Z\"\n\
             [datasets.t.ledger]\npath = \"{file}\"\ntime_zone = \"UTC\"\n{record}\
             complete_from = \"2025-01-01T00:00:00Z\"\ncomplete_to = \"2025-01-02T00:00:00Z\"\n"
        ),
    );
}

/// The rows of a snapshot, by key.
fn found(out: &std::path::Path) -> State {
    let rows = table::texts(&table::read_parquet(&out.join("t.parquet")));
    let row = |cells: Vec<Option<String>>| {
        let [id, cells @ ..] = <[Option<String>; 4]>::try_from(cells).unwrap();
        (id.unwrap(), cells)
    };
    rows.into_iter().map(row).collect()
}

/// What must come out: unknown are cells of records that are gone and that no row ever names.
fn expected(system: System, world: &World, second: usize) -> State {
    let named = |record: &String, field: usize| {
        let names = |save: &&Save| match (&save.act, system) {
            (Act::Create, System::Salesforce | System::Jira) | (Act::Delete, System::ServiceNow) => false,
            _ => save.cells.iter().any(|c| c.0 == field),
        };
        world.saves.iter().filter(|s| s.record == *record).any(|s| names(&s))
    };
    let mut state = world.states[second].clone();
    for (record, row) in &mut state {
        let stands = world.states.last().unwrap().contains_key(record);
        for (field, cell) in row.iter_mut().enumerate() {
            if !stands && !named(record, field) {
                *cell = None;
            }
        }
    }
    state
}

fn check(system: System, seed: u64) {
    let random = &mut Prng::new(seed);
    let world = world(system, random);
    let history = match system {
        System::Jira => jira(&world, random),
        _ => lines(system, &world, random).join("\n") + "\n",
    };
    let folder = Folder::new();
    write(&folder, system, &world, &history);
    let seconds: Vec<usize> = (0..=SECONDS).step_by(3).collect();
    let moments: Vec<String> = seconds.iter().map(|&s| time(s) + "Z").collect();
    for (&second, out) in seconds.iter().zip(series(&folder, &["plan.toml"], &moments)) {
        let expected = expected(system, &world, second);
        assert_eq!(found(&out), expected, "{system:?}, seed {seed}, second {second}");
        let findings = std::fs::read_to_string(out.join("discrepancies.csv")).unwrap();
        for code in
            ["chain-break", "differs", "missing", "unexpected", "of-absent", "over-existing", "unparsable"]
        {
            assert!(!findings.contains(code), "{system:?}, seed {seed}, second {second}: {findings}");
        }
    }
}

#[test]
fn what_was_is_rebuilt() {
    for system in [System::Salesforce, System::ServiceNow, System::Sap, System::Jira] {
        (1..=6).for_each(|seed| check(system, seed));
    }
}

/// One row goes missing whose field has rows before and after it: its chain breaks there, and nothing else does.
#[test]
fn a_lost_row_breaks_its_chain_alone() {
    let mut tried = 0;
    for seed in 1..=40 {
        let random = &mut Prng::new(seed);
        let world = world(System::ServiceNow, random);
        let gone: BTreeSet<&String> =
            world.saves.iter().filter(|s| s.act == Act::Delete).map(|s| &s.record).collect();
        let of = |record: &String, field: usize| -> Vec<&Save> {
            let saves = world.saves.iter().filter(|s| s.record == *record && s.act == Act::Change);
            saves.filter(|s| s.cells.iter().any(|c| c.0 == field)).collect()
        };
        let cells = world.saves.iter().flat_map(|save| save.cells.iter().map(move |cell| (save, cell)));
        let middle = cells
            .filter(|(save, _)| save.act == Act::Change && !gone.contains(&save.record))
            .find_map(|(save, (field, old, new))| {
                let all = of(&save.record, *field);
                let at = all.iter().position(|s| s.number == save.number)?;
                (at > 0 && at + 1 < all.len() && old != new).then_some((save, *field))
            });
        let Some((save, field)) = middle else { continue };
        tried += 1;
        let mark = format!(",{},{},", save.record, FIELDS[field]);
        let number = format!(",{},", save.number);
        let mut lines = lines(System::ServiceNow, &world, random);
        let before = lines.len();
        lines.retain(|line| !(line.contains(&mark) && line.contains(&(number.clone() + "2025-"))));
        assert_eq!(lines.len() + 1, before, "seed {seed}: one row is taken away");
        let folder = Folder::new();
        write(&folder, System::ServiceNow, &world, &(lines.join("\n") + "\n"));
        let moments = [time(0) + "Z", time(1) + "Z"];
        let out = series(&folder, &["plan.toml"], &moments).remove(0);
        let findings = std::fs::read_to_string(out.join("discrepancies.csv")).unwrap();
        let breaks: Vec<&str> = findings.lines().filter(|l| l.contains("chain-break")).collect();
        assert_eq!(breaks.len(), 1, "seed {seed}: {findings}");
        assert!(breaks[0].contains(&save.record) && breaks[0].contains(FIELDS[field]), "{findings}");
        assert!(!findings.contains("current-differs"), "{findings}");
    }
    assert!(tried >= 6, "{tried} of the histories have such a row");
}

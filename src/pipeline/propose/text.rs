//! The proposed plan as TOML: what was found, why, and what is left to be asked.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::files::{Looked, patterns};
use super::keys::{self, Key};
use super::mapping::Guess;
use super::matching::{All, Matched, Source};
use super::measures::{self, Measures};
use super::{ProposeRequest, ProposedDataset, QUESTION, absolute, relative};
use crate::error::Result;
use crate::ledger::Format;
use crate::model::{DiscrepancyKind as Kind, Op};
use crate::pipeline::outcome::VerifyOutcome;
use crate::pipeline::progress::Progress;
use crate::pipeline::request::VerifyRequest;
use crate::plan::{LedgerColumns, Plan};
use crate::read::Spool;

/// More contradictions than one in so many changes, and the key is asked for.
const CONTRADICTIONS: u64 = 20;

/// One dataset on its way into the plan.
pub(super) struct Draft {
    name: String,
    rows: u64,
    current: String,
    copies: Vec<String>,
    rivals: Vec<String>,
    sources: Vec<SourceText>,
    same_changes: Vec<String>,
    key: Key,
    measures: Measures,
    needs_zone: bool,
    /// What the trial run found.
    remarks: Vec<String>,
}

/// A ledger as a plan writes it.
struct SourceText {
    paths: Vec<String>,
    source: Source,
}

/// A text in TOML.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => _ = write!(out, "\\u{:04X}", c as u32),
            c => out.push(c),
        }
    }
    out + "\""
}

fn quoted(all: &[String]) -> String {
    let all: Vec<String> = all.iter().map(|t| quote(t)).collect();
    format!("[{}]", all.join(", "))
}

/// A name as a key of TOML.
fn bare(name: &str) -> String {
    let plain =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain { name.to_owned() } else { quote(name) }
}

/// Control characters could end a comment.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Draft {
    /// Everything about a dataset that is found without running it.
    pub(super) fn of(dataset: &Matched, folder: &Path, spool: &Spool) -> Result<Self> {
        let shown = |paths: &[PathBuf]| paths.iter().map(|p| relative(p, folder)).collect::<Vec<_>>();
        let only = match dataset.sources.as_slice() {
            [one] => Some(one),
            _ => None,
        };
        let source =
            |source: &Source| SourceText { paths: shown(&patterns(&source.paths)), source: source.clone() };
        let of_postings = only
            .filter(|source| source.format.is_postings())
            .and_then(|source| measures::key_of_postings(&dataset.current, source.format));
        let key = match of_postings {
            Some(key) => key,
            None => keys::key(&dataset.current, only.or(dataset.sources.first()), spool)?,
        };
        let columns = match &key {
            Key::Found(key, _) => key.clone(),
            Key::Ask(candidates, _) => candidates.concat(),
        };
        Ok(Self {
            name: dataset.name.clone(),
            rows: dataset.current.inspected.rows,
            current: relative(&dataset.current.path, folder),
            copies: shown(&dataset.copies),
            rivals: shown(&dataset.rivals),
            sources: dataset.sources.iter().map(source).collect(),
            same_changes: shown(&dataset.same_changes),
            measures: Measures::of(&dataset.current, &columns),
            key,
            needs_zone: false,
            remarks: Vec::new(),
        })
    }

    fn chosen(&self) -> Option<&SourceText> {
        match self.sources.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Questions without whose answers the dataset cannot run.
    pub(super) fn open(&self) -> Vec<String> {
        let asks = |what: &str| format!("{}: {what}", self.name);
        let mut open = Vec::new();
        if !self.rivals.is_empty() {
            open.push(asks("which file is the current state?"));
        }
        if matches!(self.key, Key::Ask(..)) {
            open.push(asks("what identifies a row?"));
        }
        if self.chosen().is_none() {
            open.push(asks("which ledger holds its changes?"));
        }
        if self.has_postings() && self.measures.moved().is_none() {
            open.push(asks("which column do its postings move?"));
        }
        if self.needs_zone {
            open.push(asks("in which time zone are its ledger's times?"));
        }
        if self.guess().is_some_and(|g| !g.unknown_ops.is_empty()) {
            open.push(asks("what do some words of its op column mean?"));
        }
        open
    }

    pub(super) fn into_proposed(self) -> ProposedDataset {
        let chosen = self.chosen();
        ProposedDataset {
            ledger: chosen.map(|c| c.paths.clone()).unwrap_or_default(),
            format: chosen.map(|c| c.source.format.name().to_owned()),
            key: match &self.key {
                Key::Found(key, _) => Some(key.clone()),
                Key::Ask(..) => None,
            },
            name: self.name,
            current: self.current,
        }
    }

    fn has_postings(&self) -> bool {
        self.chosen().is_some_and(|chosen| chosen.source.format.is_postings())
    }

    fn guess(&self) -> Option<&Guess> {
        self.chosen().and_then(|c| c.source.mapping.as_ref())
    }

    /// Runs the dataset as proposed. What speaks against a guess makes a question of it.
    pub(super) fn try_out(&mut self, request: &ProposeRequest, progress: &dyn Progress) {
        let unmoved = self.has_postings() && self.measures.moved().is_none();
        if !matches!(self.key, Key::Found(..))
            || self.chosen().is_none()
            || !self.rivals.is_empty()
            || unmoved
        {
            return;
        }
        let mut found = self.trial(request, progress, false);
        let lacks_times = |found: &Result<VerifyOutcome>| match found {
            Ok(outcome) => outcome.datasets.iter().all(|d| d.changes > 0 && d.window.1.is_none()),
            Err(error) => error.hint().is_some_and(|hint| hint.contains("time_zone")),
        };
        if lacks_times(&found) {
            let in_utc = self.trial(request, progress, true);
            if !lacks_times(&in_utc) {
                self.needs_zone = true;
                found = in_utc;
            }
        }
        match found {
            Err(error) => self.remarks.push(format!("a trial run stopped: {error}")),
            Ok(outcome) => self.judge(&outcome),
        }
    }

    fn trial(
        &self,
        request: &ProposeRequest,
        progress: &dyn Progress,
        in_utc: bool,
    ) -> Result<VerifyOutcome> {
        let mut text = String::new();
        self.write(&mut text);
        if in_utc {
            text = text.replace(&format!("{QUESTION}time_zone"), "time_zone");
            text += "time_zone = \"UTC\"\n";
        }
        let plan = Plan::parse(&text, &request.folder)?;
        let options = request.options.clone();
        let request = VerifyRequest { plan, discrepancies: None, replace: false, options };
        crate::pipeline::verify::run(&request, progress)
    }

    fn judge(&mut self, outcome: &VerifyOutcome) {
        let of = |kind: Kind| outcome.discrepancies.counts.get(&kind).map_or(0, |c| c.open + c.accepted);
        let against_key = [
            Kind::InsertOverExisting,
            Kind::UpdateOfAbsent,
            Kind::DeleteOfAbsent,
            Kind::DuplicateKey,
            Kind::NullKey,
            Kind::CurrentMissing,
            Kind::CurrentUnexpected,
        ];
        let against: u64 = against_key.into_iter().map(of).sum();
        let changes: u64 = outcome.datasets.iter().map(|d| d.changes).sum();
        let found: Vec<String> = outcome
            .discrepancies
            .counts
            .iter()
            .map(|(kind, count)| format!("{} {}", count.open + count.accepted, kind.code()))
            .collect();
        let found = if found.is_empty() { "nothing that does not tie".to_owned() } else { found.join(", ") };
        self.remarks.push(format!("a trial run over {changes} changes found {found}"));
        if against * CONTRADICTIONS > changes.max(1)
            && let Key::Found(key, _) = &self.key
            && !key.is_empty()
        {
            let why = format!("{against} of {changes} changes contradict it: is it {}?", quoted(key));
            self.key = Key::Ask(vec![key.clone(), Vec::new()], why);
        }
    }

    /// The sections of the dataset.
    fn write(&self, out: &mut String) {
        let name = bare(&self.name);
        let _ = writeln!(out, "# {}: {} rows", comment(&self.name), self.rows);
        for remark in &self.remarks {
            let _ = writeln!(out, "# {}", comment(remark));
        }
        let _ = writeln!(out, "[datasets.{name}]");
        self.write_key(out);
        self.write_measures(out);
        let _ = writeln!(out, "\n[datasets.{name}.current]");
        if self.rivals.is_empty() {
            let _ = writeln!(out, "path = {}", quote(&self.current));
        } else {
            let _ =
                writeln!(out, "{QUESTION}path = {}    # which is the current state?", quote(&self.current));
            self.rivals.iter().for_each(|rival| _ = writeln!(out, "#     or: path = {}", quote(rival)));
        }
        for copy in &self.copies {
            let _ = writeln!(out, "# the same table lies in {}", comment(copy));
        }
        let _ = writeln!(out, "{QUESTION}at = \"2026-01-10T08:00:00Z\"    # when was it read?");
        let _ = writeln!(out, "\n[datasets.{name}.ledger]");
        match self.sources.split_first() {
            Some((one, [])) => self.write_ledger(out, one),
            Some((first, others)) => {
                let _ =
                    writeln!(out, "{QUESTION}path = {}    # {}", paths(&first.paths), told(&first.source));
                for other in others {
                    let _ = writeln!(
                        out,
                        "#     or: path = {}    # {}",
                        paths(&other.paths),
                        told(&other.source)
                    );
                }
                let _ =
                    writeln!(out, "# several ledgers could hold its changes; no more than one may be named");
                window(out, &first.source);
            }
            None => {}
        }
        out.push('\n');
    }

    fn write_key(&self, out: &mut String) {
        match &self.key {
            Key::Found(key, why) => _ = writeln!(out, "key = {}    # {}", quoted(key), comment(why)),
            Key::Ask(candidates, why) => {
                let (first, others) = candidates.split_first().map_or((&[][..], &[][..]), |(f, o)| (f, o));
                let _ = writeln!(out, "{QUESTION}key = {}    # {}", quoted(first), comment(why));
                others.iter().for_each(|other| _ = writeln!(out, "#     or: key = {}", quoted(other)));
            }
        }
    }

    /// The columns whose totals matter. Of postings it is the one that they move.
    fn write_measures(&self, out: &mut String) {
        let Measures { found, others } = &self.measures;
        if self.has_postings() {
            let all: Vec<String> = found.iter().chain(others).cloned().collect();
            match (self.measures.moved(), all.split_first()) {
                (Some(moved), _) => {
                    let _ =
                        writeln!(out, "measures = [{}]    # the column that the postings move", quote(moved));
                }
                (None, Some((first, rest))) => {
                    let _ = writeln!(
                        out,
                        "{QUESTION}measures = [{}]    # which column do the postings move? or {}",
                        quote(first),
                        comment(&rest.join(", "))
                    );
                }
                (None, None) => {}
            }
            return;
        }
        let named = comment(&others.join(", "));
        match (found.is_empty(), others.is_empty()) {
            (false, true) => _ = writeln!(out, "measures = {}    # by their names", quoted(found)),
            (false, false) => {
                let why = format!("by their names; do totals of these matter too: {named}?");
                let _ = writeln!(out, "measures = {}    # {why}", quoted(found));
            }
            (true, false) => {
                let _ = writeln!(out, "{QUESTION}measures = {}    # do their totals matter?", quoted(others));
            }
            (true, true) => {}
        }
    }

    fn write_ledger(&self, out: &mut String, of: &SourceText) {
        let source = &of.source;
        let _ = writeln!(out, "path = {}    # {}", paths(&of.paths), told(source));
        for same in &self.same_changes {
            let _ = writeln!(out, "# the same changes lie in {}", comment(same));
        }
        let _ = writeln!(out, "format = {}", quote(source.format.name()));
        let named = &source.table.name;
        if !named.is_empty() && (named.as_str() != self.name || source.tables > 1) {
            let _ = writeln!(out, "table = {}", quote(named));
        }
        if let Some(guess) = &source.mapping {
            write_mapping(out, guess);
        }
        if source.format == Format::Fec {
            let _ = writeln!(
                out,
                "{QUESTION}postings = {{ opening_entries = {{ column = \"JournalCode\", words = [\"AN\"] }} }}    # do \
                 entries of this journal restate last year's balances?"
            );
        }
        if self.needs_zone {
            let _ = writeln!(
                out,
                "{QUESTION}time_zone = \"UTC\"    # its times have no offset: in which zone are they?"
            );
        }
        window(out, source);
    }
}

fn paths(paths: &[String]) -> String {
    match paths {
        [one] => quote(one),
        several => quoted(several),
    }
}

/// A ledger in a few words.
fn told(source: &Source) -> String {
    let ops: Vec<String> = source.table.ops.iter().map(|(op, n)| format!("{n} {}", op.name())).collect();
    let ops = if ops.is_empty() { String::new() } else { format!(" ({})", ops.join(", ")) };
    comment(&format!("{}, {} changes{ops}", source.format.name(), source.table.changes))
}

fn window(out: &mut String, source: &Source) {
    let (first, last) = &source.table.window;
    let or = |time: &Option<String>, other: &str| time.clone().unwrap_or_else(|| other.to_owned());
    let (from, to) = (or(first, "2025-01-01T00:00:00Z"), or(last, "2026-01-01T00:00:00Z"));
    let _ = writeln!(
        out,
        "{QUESTION}complete_from = {}    # since when does it hold every change? {}",
        quote(&from),
        first.as_ref().map_or("", |_| "(here: its first one)")
    );
    let _ = writeln!(
        out,
        "{QUESTION}complete_to = {}    # until when? {}",
        quote(&to),
        last.as_ref().map_or("", |_| "(here: its last one)")
    );
}

/// Which column means what.
fn write_mapping(out: &mut String, guess: &Guess) {
    let LedgerColumns {
        position, commit_position, op, transaction, committed_at, actor, before, after, ..
    } = &guess.columns;
    let roles = [
        ("position", position),
        ("commit_position", commit_position),
        ("op", op),
        ("transaction", transaction),
        ("committed_at", committed_at),
        ("actor", actor),
        ("table", &guess.columns.table),
        ("image", &guess.columns.image),
        ("before", before),
        ("after", after),
    ];
    let named: Vec<String> = roles
        .iter()
        .filter_map(|(role, column)| Some(format!("{role} = {}", quote(column.as_ref()?))))
        .collect();
    let by_content = match guess.by_content.as_slice() {
        [] => String::new(),
        some => format!("    # by what is in the columns: {}", some.join(", ")),
    };
    let _ = writeln!(out, "columns = {{ {} }}{by_content}", named.join(", "));
    for role in &guess.missing {
        let what = match *role {
            "before" => "which of the two images is the one before? exchange them if these are wrong",
            _ => "no column says when a change was committed; moments can only be given as positions",
        };
        let _ = writeln!(out, "# {what}");
    }
    if !guess.unknown_ops.is_empty() {
        let words: Vec<String> =
            guess.unknown_ops.iter().map(|w| format!("{} = \"{}\"", quote(w), Op::Update.name())).collect();
        let _ = writeln!(
            out,
            "{QUESTION}ops = {{ {} }}    # what do these words mean? insert, update, delete, upsert, truncate, read",
            words.join(", ")
        );
    }
}

/// The whole plan.
pub(super) fn plan(drafts: &[Draft], looked: &Looked, all: &All, folder: &Path) -> String {
    let name =
        absolute(folder).file_name().map_or_else(|| "asof".to_owned(), |n| n.to_string_lossy().into_owned());
    let mut out = format!(
        "# Proposed by `asof init` from the files themselves. A line that begins with `{mark}` is a question:\n\
         # complete it and take the mark away. What is not marked was found in the files.\n\
         name = {name}\n\
         {QUESTION}time_zone = \"UTC\"    # in which zone does a day end?\n\n",
        mark = QUESTION.trim_end(),
        name = quote(&name),
    );
    drafts.iter().for_each(|draft| draft.write(&mut out));
    let mut rest = Vec::new();
    rest.extend(all.alone.iter().map(|p| format!("{}: a table without a ledger", relative(p, folder))));
    rest.extend(all.without_current.iter().map(|(table, path)| {
        let table = if table.is_empty() { "changes" } else { table };
        format!("{}: {table} without a current table", relative(path, folder))
    }));
    rest.extend(looked.left_out.iter().map(|(path, why)| format!("{}: {why}", relative(path, folder))));
    if !rest.is_empty() {
        out += "# Not in this plan:\n";
        rest.iter().for_each(|line| _ = writeln!(out, "# - {}", comment(line)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_toml_needs_it() {
        assert_eq!(bare("accounts_2"), "accounts_2");
        assert_eq!(bare("my accounts"), "\"my accounts\"");
        assert_eq!(quote("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
        assert_eq!(comment("a\nb"), "a b");
    }
}

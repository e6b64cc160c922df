//! Rows of files that DMS writes to S3: what the decoder of its messages makes of messages.
//!
//! ```text
//!  Op,commit_ts,id,name,BI_name                 op        U
//!  U,2024-03-31 22:15:04,7,bolt M8,bolt    ─►   time      the first cell of no column of the table that holds one
//!                                               before    BI_…, the key taken from the row after
//!                                               after     the others
//! ```
//!
//! Without names, values are in the table's order; one more is the time before them.

use super::decode::{Clock, Missing};
use super::dms::{BEFORE, Said, doubt_nulls, said, unknown};
use super::feed::{Change, Feed, missing};
use super::image::{Names, Staged, Stated};
use crate::model::time::parse_local;
use crate::model::{Op, TableSchema};
use crate::read::ChangeRows;

/// Where the cells of a row are, for one target.
struct Layout {
    /// Pairs of a column of the file and one of the table.
    after: Vec<(usize, usize)>,
    before: Vec<(usize, usize)>,
    /// Columns of the file that are none of the table's, with their names: one of them holds the time.
    others: Vec<(usize, String)>,
    /// Of these, those that held something else in some row.
    unknown: Vec<bool>,
}

impl Layout {
    /// `None` if there is not a value for each column.
    fn new(of: &ChangeRows, schema: &TableSchema, names: &mut Names) -> Option<Self> {
        let columns: Vec<usize> = (0..of.rows.columns()).filter(|column| Some(*column) != of.op).collect();
        let named: Vec<(usize, String)> = match &of.names {
            Some(all) => columns.into_iter().map(|column| (column, all[column].clone())).collect(),
            None => {
                let time = columns.len().checked_sub(schema.len()).filter(|more| *more <= 1)? == 1;
                let own = schema.names().map(str::to_owned);
                columns.into_iter().zip(time.then(|| "#time".to_owned()).into_iter().chain(own)).collect()
            }
        };
        let mut layout =
            Self { after: Vec::new(), before: Vec::new(), others: Vec::new(), unknown: Vec::new() };
        for (column, name) in named {
            let own = schema.names().any(|known| known.eq_ignore_ascii_case(&name));
            match name.strip_prefix(BEFORE) {
                Some(bare) => layout.before.extend(names.find(bare, 0).map(|at| (column, at))),
                None if own => {
                    layout.after.extend(names.find(&name, layout.after.len()).map(|at| (column, at)))
                }
                None => layout.others.push((column, name)),
            }
        }
        layout.unknown = vec![false; layout.others.len()];
        Some(layout)
    }

    /// The time of a row's change; the columns beside it are none that anybody reads.
    fn time<'r>(&mut self, of: &'r ChangeRows, row: usize, last: &mut &'r str) -> Option<&'r str> {
        let mut found = None;
        for ((column, _), unknown) in self.others.iter().zip(&mut self.unknown) {
            let text = of.rows.text(row, *column).filter(|_| found.is_none());
            let is_time = |text: &&str| {
                *text == *last || text.len() > 10 && parse_local(&text.replace('T', " ")).is_some()
            };
            match text.filter(is_time) {
                Some(text) => (found, *last) = (Some(text), text),
                None => *unknown = true,
            }
        }
        found
    }
}

/// Takes in all rows of a chunk.
pub(super) fn take(of: &ChangeRows, feed: &mut Feed<'_>) {
    let mut layout: Option<(usize, Option<Layout>)> = None;
    let (mut last, mut images) = ("", [Vec::new(), Vec::new()]);
    for row in 0..of.rows.len() {
        feed.record = of.rows.record(row);
        // Rows of a full load beside changes have no op either.
        let word = of.op.and_then(|op| of.rows.text(row, op)).unwrap_or("load");
        let op = match said(word) {
            Said::Change(op) => op,
            Said::Definition => {
                feed.drift([None, None, None], word);
                continue;
            }
            Said::Nothing => continue,
            Said::Unknown => {
                unknown(word, feed);
                continue;
            }
        };
        let mut change = Change { op: Some(op), ..Change::default() };
        let Some(target) = feed.begin([None, None, None], &change) else { continue };
        let (_, layout) = match &mut layout {
            Some(known) if known.0 == target => known,
            other => {
                let rows = feed.rows(target);
                let schema = &rows.target.schema;
                other.insert((target, Layout::new(of, schema, &mut rows.names)))
            }
        };
        if let Some(text) = layout.as_mut().and_then(|layout| layout.time(of, row, &mut last)) {
            change.committed_at = feed.instant(text);
            feed.clock(Clock::Commit);
        }
        let staged = match (op, layout.as_ref()) {
            (Op::Truncate, _) => Staged::default(),
            (_, Some(layout)) => stage(of, row, layout, (op, target), feed, &mut images),
            (_, None) => {
                feed.unparsable(Some(target), "expected a value for each column of the table");
                continue;
            }
        };
        feed.push_texts(target, &change, &staged, &mut |cells, _, _, text| cells.push_text(text));
        // The room of one row serves the next.
        let Staged { before, after } = staged;
        images = [before.unwrap_or_default(), after.unwrap_or_default()];
    }
    if let Some((target, Some(layout))) = layout {
        for ((_, name), _) in layout.others.iter().zip(&layout.unknown).filter(|(_, unknown)| **unknown) {
            feed.rows(target).names.find(name, 0);
        }
    }
}

/// The images of a row.
fn stage<'r>(
    of: &'r ChangeRows,
    row: usize,
    layout: &Layout,
    (op, target): (Op, usize),
    feed: &mut Feed<'_>,
    room: &mut [Vec<Stated<'r>>; 2],
) -> Staged<'r> {
    let (options, columns) = (feed.options, feed.rows(target).target.schema.len());
    // Nothing is said of a column that an insert or a delete leaves out, unless it is null.
    let absent = match options.missing {
        _ if op == Op::Update => missing(options),
        Missing::Null => Stated::Null,
        _ => Stated::Absent,
    };
    let [first, second] = std::mem::take(room);
    let own = image((of, row), &layout.after, absent, (columns, second));
    let mut staged = Staged::default();
    match op {
        Op::Update => {
            staged.before = Some(image((of, row), &layout.before, Stated::Absent, (columns, first)));
            staged.after = Some(own);
            feed.rows(target).share_key(&mut staged);
        }
        Op::Delete => staged.before = Some(own),
        _ => staged.after = Some(own),
    }
    if options.full_identity != Some(true) && matches!(op, Op::Update | Op::Delete) {
        doubt_nulls(feed.rows(target), &mut staged);
    }
    staged
}

/// An image of some cells of a row, the rest of it being the same throughout.
fn image<'r>(
    (of, row): (&'r ChangeRows, usize),
    cells: &[(usize, usize)],
    rest: Stated<'r>,
    (columns, mut image): (usize, Vec<Stated<'r>>),
) -> Vec<Stated<'r>> {
    image.clear();
    image.resize(columns, rest);
    for &(column, at) in cells {
        image[at] = of.rows.text(row, column).map_or(Stated::Null, Stated::Json);
    }
    image
}

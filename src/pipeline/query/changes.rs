//! The ledger of a dataset as a table: a row per change, in its order.
//!
//! | column | |
//! |---|---|
//! | `sequence` | its place in the order of its ledger, over all of its tables |
//! | `undone` | whether it lies behind the moment |
//! | `op`, `key`, `transaction`, `position`, `actor`, `file`, `record` | |
//! | `committed_at`, `committed_local` | the time of the commit (of the entry of a posting); on the clocks of the plan's zone |
//! | `effective_at`, `effective_local` | the posting date, for postings; on the clocks of the plan's zone |
//! | `before_…`, `after_…` | the images; a cell that the record does not state is null |
//!
//! Initial reads are evidence and no changes, and redelivered records were dropped: neither is here.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, filter_record_batch, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::TimeZone;

use super::failed;
use crate::error::Result;
use crate::ledger::want::{Columns, Want};
use crate::model::rank::{DROPPED, Ranks};
use crate::model::{ChangeBatch, NEVER, NO_TIME, Op, canon};
use crate::pipeline::inputs::DatasetInput;
use crate::pipeline::request::QueryRequest;
use crate::pipeline::run::Run;
use crate::pipeline::window;

/// All changes of a dataset.
pub(super) fn table(
    run: &Run,
    number: usize,
    request: &QueryRequest,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let input = &run.inputs.datasets[number];
    let order = &run.order(number).order;
    let ranks = order.ranks(input.member);
    let cut = window::cut(run.source(number), order, &request.moment.bound, &input.plan.name)?;
    let undone = cut.rank..run.analysed[number].end;
    let schema = schema(input);
    let want =
        Want { order: true, provenance: true, before: Columns::All, after: Columns::All, ..Want::default() };
    let mut batches = Vec::new();
    for segment in 0..input.store.segments() {
        let changes = input.read_changes(segment, want, None)?;
        let ranks: Vec<u32> =
            (0..changes.len() as u32).map(|row| ranks.of(input.store.first(segment) + row)).collect();
        let rows = Rows { run, number, request, changes: &changes };
        let batch = rows.batch(&schema, &ranks, &undone)?;
        let is_change = |row: usize| ranks[row] != DROPPED && changes.ops[row] != Op::Read as u8;
        let kept: BooleanArray = (0..changes.len()).map(|row| Some(is_change(row))).collect();
        batches.push(filter_record_batch(&batch, &kept).map_err(failed(&input.plan.name))?);
    }
    if matches!(ranks, Ranks::Table(_)) {
        let all = concat_batches(&schema, &batches).map_err(failed(&input.plan.name))?;
        let sorted =
            sort_to_indices(all.column(0), None, None).and_then(|order| take_record_batch(&all, &order));
        batches = vec![sorted.map_err(failed(&input.plan.name))?];
    }
    Ok((schema, batches))
}

fn schema(input: &DatasetInput) -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let own = [
        ("sequence", DataType::UInt32),
        ("undone", DataType::Boolean),
        ("op", DataType::Utf8),
        ("key", DataType::Utf8),
        ("transaction", DataType::Utf8),
        ("position", DataType::Utf8),
        ("committed_at", utc.clone()),
        ("committed_local", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        ("effective_at", utc),
        ("effective_local", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        ("actor", DataType::Utf8),
        ("file", DataType::Utf8),
        ("record", DataType::UInt64),
    ];
    let mut fields: Vec<Field> = own.into_iter().map(|(name, of)| Field::new(name, of, true)).collect();
    for side in ["before", "after"] {
        let columns = input.schema.arrow().fields().iter();
        fields
            .extend(columns.map(|f| Field::new(format!("{side}_{}", f.name()), f.data_type().clone(), true)));
    }
    Arc::new(Schema::new(fields))
}

/// The changes of one segment.
struct Rows<'a> {
    run: &'a Run,
    number: usize,
    request: &'a QueryRequest,
    changes: &'a ChangeBatch,
}

impl Rows<'_> {
    fn batch(&self, schema: &SchemaRef, ranks: &[u32], undone: &std::ops::Range<u32>) -> Result<RecordBatch> {
        let input = &self.run.inputs.datasets[self.number];
        let changes = self.changes;
        let source = self.run.source(self.number);
        let file = source.files.get(changes.file as usize).map(|f| f.path.display().to_string());
        let op = |code: &u8| Op::from_code(*code).map(Op::name);
        let (committed, effective) = self.times();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(ranks.to_vec())),
            Arc::new(ranks.iter().map(|rank| Some(undone.contains(rank))).collect::<BooleanArray>()),
            Arc::new(changes.ops.iter().map(op).collect::<StringArray>()),
            Arc::new(self.keys()),
            texts(changes.transaction.as_ref(), changes.len()),
            Arc::new(self.positions()),
            Arc::new(instants(&committed).with_timezone("UTC")),
            Arc::new(self.local(&committed)),
            Arc::new(instants(&effective).with_timezone("UTC")),
            Arc::new(self.local(&effective)),
            texts(changes.actor.as_ref(), changes.len()),
            Arc::new(std::iter::repeat_n(file.as_deref(), changes.len()).collect::<StringArray>()),
            Arc::new(UInt64Array::from(changes.record.clone())),
        ];
        for images in [&changes.before, &changes.after] {
            for column in 0..input.schema.len() {
                let empty = || arrow::array::new_null_array(input.schema.data_type(column), changes.len());
                columns.push(images.column(column).map_or_else(empty, Arc::clone));
            }
        }
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed(&input.plan.name))
    }

    /// When each change was committed, and when it counts.
    fn times(&self) -> (Vec<i64>, Vec<i64>) {
        let changes = self.changes;
        match &self.run.inputs.datasets[self.number].postings {
            None => (changes.committed_at.clone(), vec![NO_TIME; changes.len()]),
            Some(postings) => (
                changes.stream.iter().map(|&place| postings.ledger.entered(place)).collect(),
                changes.stream.iter().map(|&place| postings.ledger.effective(place)).collect(),
            ),
        }
    }

    fn local(&self, times: &[i64]) -> TimestampNanosecondArray {
        let zone = self.request.plan.calendar.zone.unwrap_or(chrono_tz::UTC);
        let local = |&time: &i64| {
            let at = zone.timestamp_nanos(time).naive_local().and_utc();
            Some(time).filter(|&t| t != NO_TIME && t != NEVER).and_then(|_| at.timestamp_nanos_opt())
        };
        times.iter().map(local).collect()
    }

    fn keys(&self) -> StringArray {
        let input = &self.run.inputs.datasets[self.number];
        let sides = [&self.changes.after, &self.changes.before];
        let columns = sides.map(|images| {
            let keys = input.schema.key().iter().filter_map(|&c| images.column(c).cloned());
            keys.collect::<Vec<ArrayRef>>()
        });
        let texts = columns.each_ref().map(|columns| input.key_texts(columns));
        let key = |row: usize| {
            let side = sides.iter().position(|images| images.is_present(row))?;
            (!input.schema.is_keyless()).then(|| texts[side].of(row))
        };
        (0..self.changes.len()).map(key).collect()
    }

    fn positions(&self) -> StringArray {
        let changes = self.changes;
        let kind = self.run.source(self.number).positions.as_ref();
        let position = |row: usize| {
            let commit = changes.commit_position.as_ref().map(|p| p[row]);
            let own = changes.position.as_ref().map(|p| p[row]);
            kind.filter(|_| commit.is_some() || own.is_some()).map(|kind| kind.format(commit, own))
        };
        (0..changes.len()).map(position).collect()
    }
}

fn texts(array: Option<&ArrayRef>, rows: usize) -> ArrayRef {
    let text = |row| array.and_then(|array: &ArrayRef| canon::cell_text(array.as_ref(), row));
    Arc::new((0..rows).map(text).collect::<StringArray>())
}

fn instants(times: &[i64]) -> TimestampNanosecondArray {
    times.iter().map(|&time| Some(time).filter(|&t| t != NO_TIME && t != NEVER)).collect()
}

//! Tables whose columns are those of a mapped ledger.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde_json::Value;

use super::InspectedLedger;
use super::discover::shape;
use super::ledger::Tally;
use crate::error::Result;
use crate::ledger::store::Want;
use crate::ledger::{Format, ImageColumns, ImageSide, MappedTable, Mapping};
use crate::model::{TableSchema, canon};
use crate::plan::OneDataset;
use crate::read::{InputFile, Spool, Table};

/// How many cells of a column of JSON texts show the columns of its images.
const CELLS_LOOKED_AT: usize = 1_000;

/// What a table is as a ledger; `None` if its columns are not those of one.
pub(super) fn read(file: &InputFile, table: &Table, spool: &Spool) -> Result<Option<InspectedLedger>> {
    let names: Vec<String> = table.schema().fields().iter().map(|f| f.name().clone()).collect();
    let image = |column: &str| image_columns(table, column).unwrap_or_default();
    let Some((mapping, columns)) = shape(&names, image) else { return Ok(None) };
    if mapping.op.is_none() {
        return Ok(None);
    }
    let fields: Vec<Field> =
        columns.iter().map(|c| Field::new(c, data_type(table, &mapping, c), true)).collect();
    let schema = TableSchema::new(Arc::new(Schema::new(fields)), Vec::new());
    let plan = OneDataset {
        current: file.path.clone(),
        ledger: vec![file.path.clone()],
        // Times without offset are shown as if UTC.
        time_zone: Some(chrono_tz::Tz::UTC),
        ..OneDataset::default()
    };
    let Some(dataset) = plan.into_plan().datasets.pop() else { return Ok(None) };
    // Columns may be named like those of a ledger and hold something else.
    let Ok(changes) = MappedTable::open(&dataset, &schema, false, spool) else { return Ok(None) };
    let mut tally = Tally::new("", &columns);
    for segment in 0..changes.segments() {
        tally.count(&changes.read(segment, Want::EVIDENCE, None)?);
    }
    Ok(Some(InspectedLedger { format: Format::Mapped, tables: vec![tally.finish()] }))
}

/// The columns inside a column of whole images.
fn image_columns(table: &Table, column: &str) -> Option<Vec<String>> {
    let index = table.schema().index_of(column).ok()?;
    if let DataType::Struct(fields) = table.schema().field(index).data_type() {
        return Some(fields.iter().map(|f| f.name().clone()).collect());
    }
    let mut columns: Vec<String> = Vec::new();
    for group in 0..table.groups().min(1) {
        let batch = table.read(group, &[index], None).ok()?;
        let cells = batch.column(0);
        for row in (0..cells.len()).take(CELLS_LOOKED_AT) {
            let Some(text) = canon::cell_text(cells.as_ref(), row) else { continue };
            let Ok(Value::Object(image)) = serde_json::from_str::<Value>(&text) else { continue };
            columns.extend(image.keys().filter(|name| !columns.contains(name)).cloned().collect::<Vec<_>>());
        }
    }
    Some(columns)
}

/// The type of a column of the images; text where the images are texts.
fn data_type(table: &Table, mapping: &Mapping, column: &str) -> DataType {
    let ImageColumns::Sides { before, after } = &mapping.images else { return DataType::Utf8 };
    let of = |side: &ImageSide| match side.column_for(column) {
        Some(name) => table.schema().field_with_name(&name).ok().map(|f| f.data_type().clone()),
        None => {
            let ImageSide::Struct(image) = side else { return None };
            field_type(table.schema().field_with_name(image).ok()?.data_type(), column)
        }
    };
    [after, before].into_iter().flatten().find_map(of).unwrap_or(DataType::Utf8)
}

fn field_type(image: &DataType, column: &str) -> Option<DataType> {
    let DataType::Struct(fields) = image else { return None };
    let fields: &Fields = fields;
    fields.find(column).map(|(_, field)| field.data_type().clone())
}

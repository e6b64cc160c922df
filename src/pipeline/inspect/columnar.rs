//! Tables whose columns are those of a mapped ledger: images as structs or as a column per cell.
//!
//! Limit: columns of JSON texts are described as the texts that they are.

use std::sync::Arc;

use super::InspectedLedger;
use super::discover::shape;
use super::ledger::Tally;
use crate::error::Result;
use crate::ledger::want::Want;
use crate::ledger::{Format, ImageColumns, ImageSide, MappedTable, Mapping};
use crate::model::TableSchema;
use crate::plan::OneDataset;
use crate::read::{InputFile, Spool, Table};
use arrow::datatypes::{DataType, Field, Fields, Schema};

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
    match table.schema().field_with_name(column).ok()?.data_type() {
        DataType::Struct(fields) => Some(fields.iter().map(|f| f.name().clone()).collect()),
        _ => None,
    }
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

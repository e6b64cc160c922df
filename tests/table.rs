//! Text tables, as they stand in test cases, to Arrow and Parquet, and back.
//!
//! ```text
//! *id int64 | qty decimal(10,2) | note text
//! 1         | 5.00              | "two words"
//! 2         | null              | ""
//! ```
//!
//! A star marks a key column. A bare `null` is null; text stands in quotes
//! (JSON escapes) where it is empty, reads `null`, or has outer blanks or bars.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    new_empty_array,
};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::ipc::writer::FileWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A cell as text; `None` is null.
pub(crate) type Cell = Option<String>;

/// The cells of one line, between bars that do not stand in quotes.
pub(crate) fn split_bars(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted, mut escaped) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '|' if !quoted => cells.push(std::mem::take(&mut cell)),
            _ => {
                quoted ^= c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                cell.push(c);
            }
        }
    }
    cells.push(cell);
    cells.iter().map(|c| c.trim().to_owned()).collect()
}

/// The columns that a header line declares, and the names of those with a star.
pub(crate) fn parse_header(line: &str) -> (SchemaRef, Vec<String>) {
    let mut key = Vec::new();
    let fields: Vec<Field> = split_bars(line)
        .iter()
        .map(|cell| {
            let (name, kind) = cell.split_once(' ').unwrap_or_else(|| panic!("no type in {cell:?}"));
            let bare = name.trim_start_matches('*');
            if name != bare {
                key.push(bare.to_owned());
            }
            Field::new(bare, parse_type(kind.trim()), true)
        })
        .collect();
    (Arc::new(Schema::new(fields)), key)
}

fn parse_type(text: &str) -> DataType {
    let inside = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')');
    if let Some(inner) = inside("decimal(") {
        let (precision, scale) = inner.split_once(',').unwrap();
        return DataType::Decimal128(precision.trim().parse().unwrap(), scale.trim().parse().unwrap());
    }
    match text {
        "int16" => DataType::Int16,
        "int32" => DataType::Int32,
        "int64" => DataType::Int64,
        "uint64" => DataType::UInt64,
        "float64" => DataType::Float64,
        "bool" => DataType::Boolean,
        "text" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp_ms" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "list(text)" => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        other => panic!("no type {other:?} in test tables"),
    }
}

/// The value a cell of a text table stands for.
pub(crate) fn parse_cell(cell: &str) -> Cell {
    match cell {
        "null" => None,
        quoted if quoted.starts_with('"') => {
            Some(serde_json::from_str(quoted).unwrap_or_else(|e| panic!("{quoted}: {e}")))
        }
        bare => Some(bare.to_owned()),
    }
}

/// Rows of a text table as one batch of exactly these types.
pub(crate) fn parse_rows(schema: &SchemaRef, lines: &[String]) -> RecordBatch {
    let rows: Vec<Vec<Cell>> =
        lines.iter().map(|line| split_bars(line).iter().map(|c| parse_cell(c)).collect()).collect();
    let columns = schema.fields().iter().enumerate().map(|(i, field)| {
        let cells: Vec<Cell> = rows
            .iter()
            .zip(lines)
            .map(|(row, line)| {
                assert_eq!(row.len(), schema.fields().len(), "number of cells in {line:?}");
                row[i].clone()
            })
            .collect();
        build_column(field.data_type(), cells)
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

fn build_column(data_type: &DataType, cells: Vec<Cell>) -> ArrayRef {
    match data_type {
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            cells.iter().for_each(|c| builder.append_option(c.as_deref().map(unhex)));
            Arc::new(builder.finish())
        }
        DataType::List(_) => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for cell in &cells {
                let items: Option<Vec<Cell>> = cell.as_deref().map(|c| serde_json::from_str(c).unwrap());
                builder.append_option(items);
            }
            Arc::new(builder.finish())
        }
        // Parsed by the standard library: the exact bits of the text, the sign of zero and NaN kept.
        DataType::Float64 => Arc::new(
            cells.iter().map(|c| c.as_deref().map(|t| t.parse::<f64>().unwrap())).collect::<Float64Array>(),
        ),
        _ => {
            let text: ArrayRef = Arc::new(StringArray::from(cells));
            let exact = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(&text, data_type, &exact).unwrap()
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

/// Every row of a batch as texts that are equal exactly when the cells are.
pub(crate) fn texts(batch: &RecordBatch) -> Vec<Vec<Cell>> {
    let columns: Vec<Vec<Cell>> = batch.columns().iter().map(|c| column_texts(c.as_ref())).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect()).collect()
}

fn column_texts(array: &dyn Array) -> Vec<Cell> {
    if let Some(floats) = array.as_any().downcast_ref::<Float64Array>() {
        return floats.iter().map(|f| f.map(exact_float)).collect();
    }
    let options = FormatOptions::default().with_null("null");
    let formatter = ArrayFormatter::try_new(array, &options).unwrap();
    (0..array.len()).map(|i| array.is_valid(i).then(|| formatter.value(i).to_string())).collect()
}

fn exact_float(value: f64) -> String {
    if value.is_nan() { format!("NaN:{:x}", value.to_bits()) } else { format!("{value:?}") }
}

/// One row as a line of a text table.
pub(crate) fn show_row(row: &[Cell]) -> String {
    row.iter().map(show_cell).collect::<Vec<_>>().join(" | ")
}

fn show_cell(cell: &Cell) -> String {
    match cell {
        None => "null".to_owned(),
        Some(text) => {
            let plain = !text.is_empty()
                && text != "null"
                && text.trim() == text
                && !text.contains(['|', '"', '\\', '\n', '\r', '\t']);
            if plain { text.clone() } else { serde_json::to_string(text).unwrap() }
        }
    }
}

/// Writes one batch as an Arrow IPC file.
pub(crate) fn write_ipc(path: &Path, batch: &RecordBatch) {
    let mut writer = FileWriter::try_new(File::create(path).unwrap(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
}

/// Writes one batch as delimited text: null is an empty field, all else stands in quotes.
pub(crate) fn write_csv(path: &Path, batch: &RecordBatch) {
    let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    let mut text = names.join(",") + "\n";
    for row in texts(batch) {
        let cells: Vec<String> = row
            .iter()
            .map(|c| c.as_ref().map_or_else(String::new, |c| format!("\"{}\"", c.replace('"', "\"\""))))
            .collect();
        text += &(cells.join(",") + "\n");
    }
    std::fs::write(path, text).unwrap();
}

/// Writes one batch as a Parquet file.
pub(crate) fn write_parquet(path: &Path, batch: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Reads a Parquet file as one batch.
pub(crate) fn read_parquet(path: &Path) -> RecordBatch {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    let columns = schema.fields().iter().enumerate().map(|(i, field)| {
        let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(i).as_ref()).collect();
        if parts.is_empty() { new_empty_array(field.data_type()) } else { concat(&parts).unwrap() }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// The texts of one column of a batch.
pub(crate) fn column(batch: &RecordBatch, name: &str) -> Vec<Cell> {
    let array =
        batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name:?} in {}", batch.schema()));
    column_texts(array.as_ref())
}

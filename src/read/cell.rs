//! [`CellBuilder`]: the exact text, JSON or binary form of a value → a typed array.
//!
//! Every way in which a source can state a value (text, raw JSON, a scaled
//! integer, an epoch number, days, bytes, a bool) goes into the column's type
//! exactly or not at all: what does not fit is a [`Misfit`], and then nothing has
//! been pushed. Numbers never pass through floating point unless the column is
//! one. Types without a text form here (intervals, unions, run ends) have no
//! builder.
//!
//! ```text
//!  "12.50", 12.50, (0x04E2, 2) ──► decimal128(18,2) 12.50
//!  "12.505"                    ──► Misfit: expected decimal128(18, 2), found "12.505"
//! ```

mod bytes;
mod moment;
mod nested;
mod number;

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{self as types, DataType, TimeUnit};
use chrono_tz::Tz;

pub use moment::{format_days, parse_days};
pub(crate) use number::Written;

/// Why a value does not go into a column: what the column needs and what the source states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What the column's type takes, in words.
    pub expected: String,
    /// What the source states, shortened if it is long.
    pub found: String,
}

impl Misfit {
    /// A misfit of this value.
    pub fn new(expected: impl Into<String>, found: impl fmt::Display) -> Self {
        Self { expected: expected.into(), found: shortened(&found.to_string()) }
    }

    fn text(expected: impl Into<String>, text: &str) -> Self {
        Self { expected: expected.into(), found: format!("{:?}", shortened(text)) }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

/// The beginning of a long text, marked as cut.
pub(crate) fn shortened(text: &str) -> String {
    const LIMIT: usize = 80;
    match text.char_indices().nth(LIMIT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// How texts write binary values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BinaryText {
    /// Hexadecimal digits, with or without a leading `\x` or `0x`.
    #[default]
    Hex,
    /// Base64 with the standard alphabet.
    Base64,
    /// The bytes of the text itself.
    Utf8,
}

/// What a text alone does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CellOptions {
    /// The zone of times without offset, where the column stores instants.
    /// None: such a time is a misfit.
    pub zone: Option<Tz>,
    /// How texts write binary values.
    pub binary: BinaryText,
}

/// What a column type makes of each way in which a source states a value.
///
/// On `Err` nothing has been pushed. `truncate` undoes pushes of a nested
/// value that turns out not to fit half-way.
trait Cells: Send {
    fn null(&mut self);
    fn text(&mut self, text: &str) -> Result<(), Misfit>;
    fn json(&mut self, raw: &str) -> Result<(), Misfit>;
    fn bool(&mut self, value: bool) -> Result<(), Misfit> {
        Err(Misfit::new(self.expected(), value))
    }
    fn decimal(&mut self, unscaled: &[u8], scale: i32) -> Result<(), Misfit> {
        Err(Misfit::new(self.expected(), number::plain_text(unscaled, scale)))
    }
    fn epoch(&mut self, value: i64, unit: TimeUnit) -> Result<(), Misfit> {
        Err(Misfit::new(self.expected(), format_args!("the time {value} {}", moment::unit_name(unit))))
    }
    fn days(&mut self, days: i32) -> Result<(), Misfit> {
        Err(Misfit::new(self.expected(), format_args!("the date {}", format_days(days))))
    }
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        Err(Misfit::new(self.expected(), format_args!("{} bytes", bytes.len())))
    }
    fn expected(&self) -> String;
    fn len(&self) -> usize;
    fn truncate(&mut self, len: usize);
    fn finish(&mut self) -> ArrayRef;
}

/// Builds one column from exact text, JSON or binary forms of its values.
///
/// ```
/// use arrow::datatypes::DataType;
/// use asof::read::cell::CellBuilder;
///
/// let mut cells = CellBuilder::new(&DataType::Decimal128(18, 2)).unwrap();
/// cells.push_text("12.5").unwrap();
/// cells.push_json("1.25e1").unwrap();
/// cells.push_decimal(&[0x04, 0xE2], 2).unwrap();
/// assert!(cells.push_text("12.505").is_err()); // nothing is rounded
/// cells.push_null();
/// assert_eq!(cells.len(), 4);
/// assert_eq!(cells.finish().null_count(), 1);
/// ```
pub struct CellBuilder {
    cells: Box<dyn Cells>,
}

impl fmt::Debug for CellBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CellBuilder({} × {})", self.len(), self.cells.expected())
    }
}

impl CellBuilder {
    /// A builder for this type; `None` if the type has no text form here.
    pub fn new(data_type: &DataType) -> Option<Self> {
        Self::with_options(data_type, &CellOptions::default())
    }

    /// The same, with what the texts alone do not say.
    pub fn with_options(data_type: &DataType, options: &CellOptions) -> Option<Self> {
        Some(Self { cells: cells(data_type, options)? })
    }

    /// Pushes a null.
    pub fn push_null(&mut self) {
        self.cells.null();
    }

    /// Pushes the value that this text denotes: a number in plain or scientific
    /// notation, `true`/`t`, an ISO date or time, hexadecimal bytes, a list as
    /// PostgreSQL (`{a,"b c",NULL}`) or JSON writes it, a struct as JSON; into
    /// text columns the text as it is.
    ///
    /// # Errors
    /// The column's type cannot hold exactly that value.
    pub fn push_text(&mut self, text: &str) -> Result<(), Misfit> {
        self.cells.text(text)
    }

    /// Pushes a JSON value, given as its raw text without surrounding blanks.
    ///
    /// Numbers go in by their literal text. Strings are unescaped and then pushed
    /// as texts. In a text column, an object or array is its compact text.
    ///
    /// # Errors
    /// The column's type cannot hold exactly that value, or it is not JSON.
    pub fn push_json(&mut self, raw: &str) -> Result<(), Misfit> {
        if raw == "null" {
            self.cells.null();
            return Ok(());
        }
        self.cells.json(raw)
    }

    /// Pushes `unscaled / 10^scale`, `unscaled` being a big-endian two's-complement
    /// integer of any length: into decimals, integers, floats and, with `scale`
    /// digits after the point, texts.
    ///
    /// # Errors
    /// The column's type cannot hold exactly that value.
    pub fn push_decimal(&mut self, unscaled: &[u8], scale: i32) -> Result<(), Misfit> {
        self.cells.decimal(unscaled, scale)
    }

    /// Pushes a count of units since the epoch, or since midnight into a time of day.
    ///
    /// # Errors
    /// The column is no time, or too coarse for the value.
    pub fn push_epoch(&mut self, value: i64, unit: TimeUnit) -> Result<(), Misfit> {
        self.cells.epoch(value, unit)
    }

    /// Pushes a date as days since the epoch.
    ///
    /// # Errors
    /// The column is no date (or text, where it becomes `YYYY-MM-DD`).
    pub fn push_days(&mut self, days: i32) -> Result<(), Misfit> {
        self.cells.days(days)
    }

    /// Pushes bytes.
    ///
    /// # Errors
    /// The column is not binary, or of another fixed length.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        self.cells.bytes(bytes)
    }

    /// Pushes a truth value: into bools, texts (`true`, `false`) and integers (1, 0).
    ///
    /// # Errors
    /// The column is of another type.
    pub fn push_bool(&mut self, value: bool) -> Result<(), Misfit> {
        self.cells.bool(value)
    }

    /// How many values have been pushed.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether none has been pushed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The array of all values pushed.
    pub fn finish(mut self) -> ArrayRef {
        self.cells.finish()
    }

    /// The array of all values pushed since the last time; the builder goes on empty.
    pub fn take(&mut self) -> ArrayRef {
        self.cells.finish()
    }
}

/// The one place that knows which types have a text form.
fn cells(data_type: &DataType, options: &CellOptions) -> Option<Box<dyn Cells>> {
    use DataType as D;
    Some(match data_type {
        D::Null => Box::new(Nulls(0)),
        D::Boolean => Box::new(number::Bools::default()),
        D::Int8 => Box::new(number::Integers::<types::Int8Type>::new()),
        D::Int16 => Box::new(number::Integers::<types::Int16Type>::new()),
        D::Int32 => Box::new(number::Integers::<types::Int32Type>::new()),
        D::Int64 => Box::new(number::Integers::<types::Int64Type>::new()),
        D::UInt8 => Box::new(number::Integers::<types::UInt8Type>::new()),
        D::UInt16 => Box::new(number::Integers::<types::UInt16Type>::new()),
        D::UInt32 => Box::new(number::Integers::<types::UInt32Type>::new()),
        D::UInt64 => Box::new(number::Integers::<types::UInt64Type>::new()),
        D::Float32 => Box::new(number::Floats::<types::Float32Type>::new()),
        D::Float64 => Box::new(number::Floats::<types::Float64Type>::new()),
        D::Decimal32(p, s) => Box::new(number::Decimals::<types::Decimal32Type>::new(*p, *s)),
        D::Decimal64(p, s) => Box::new(number::Decimals::<types::Decimal64Type>::new(*p, *s)),
        D::Decimal128(p, s) => Box::new(number::Decimals::<types::Decimal128Type>::new(*p, *s)),
        D::Decimal256(p, s) => Box::new(number::Decimals::<types::Decimal256Type>::new(*p, *s)),
        D::Date32 | D::Date64 | D::Time32(_) | D::Time64(_) | D::Timestamp(..) => {
            return moment::cells(data_type, options);
        }
        D::Utf8 | D::LargeUtf8 | D::Utf8View => Box::new(bytes::Texts::new(data_type)),
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => {
            Box::new(bytes::Binaries::new(data_type, options.binary))
        }
        D::List(_)
        | D::LargeList(_)
        | D::FixedSizeList(..)
        | D::Struct(_)
        | D::Map(..)
        | D::Dictionary(..) => {
            return nested::cells(data_type, options);
        }
        _ => return None,
    })
}

/// A column that only ever holds nulls.
struct Nulls(usize);

impl Cells for Nulls {
    fn null(&mut self) {
        self.0 += 1;
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        Err(Misfit::text(self.expected(), text))
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        Err(Misfit::new(self.expected(), raw))
    }
    fn expected(&self) -> String {
        "null".to_owned()
    }
    fn len(&self) -> usize {
        self.0
    }
    fn truncate(&mut self, len: usize) {
        self.0 = len;
    }
    fn finish(&mut self) -> ArrayRef {
        Arc::new(arrow::array::NullArray::new(std::mem::take(&mut self.0)))
    }
}

#[cfg(test)]
mod tests;

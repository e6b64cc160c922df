//! The one definition of equal cells.
//!
//! Two cells of one column are equal if and only if their canonical bytes are,
//! whatever arrays they sit in: a decimal is its unscaled integer whatever its
//! width, an instant its nanoseconds whatever its unit, text and binary their
//! bytes whatever their offsets or dictionary, a float its bits (so `-0.0`
//! differs from `0.0` and NaN payloads differ from each other), and null is
//! equal to null alone. Both sides must have been decoded into the same column
//! type, so no type tag is needed.
//!
//! Keys, row hashes, comparisons and the tests' twin all go through this file.
//! [`add_cell_hashes`] is the columnar fast path of [`canonical_bytes`]; a test
//! crosses every pair of encodings through both.
//!
//! A row hash is the wrapping sum of keyed cell hashes, one key per column, so
//! the order in which columns arrive does not matter. With a random [`Seed`]
//! two different rows have equal 64-bit hashes with probability 2⁻⁶⁴; keys get
//! 128 bits, and a key of one integer column is represented exactly.

use arrow::array::{
    AnyDictionaryArray, Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray,
    downcast_primitive_array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Int32Type,
    IntervalUnit, TimeUnit, i256,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

const ODD_1: u64 = 0x9e37_79b9_7f4a_7c15;
const ODD_2: u64 = 0xd6e8_feb8_6659_fd93;

/// The key of all hashes of one run.
///
/// Hashes steer nothing visible: they only decide which values are looked at again.
#[derive(Debug, Clone, Copy)]
pub struct Seed(u64);

impl Seed {
    /// A fresh random seed, so that no input can be made to collide on purpose.
    pub fn random() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().hash_one(ODD_1))
    }

    /// A given seed, for tests.
    pub fn fixed(seed: u64) -> Self {
        Self(seed)
    }

    /// An independent seed, for the other half of a 128-bit identity.
    pub fn second(self) -> Self {
        Self(mix(self.0 ^ ODD_2, ODD_1))
    }

    /// The seed of one column's cells.
    pub fn column(self, column: usize) -> u64 {
        mix(self.0 ^ ODD_1, (column as u64 + 1).wrapping_mul(ODD_2))
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The keyed hash of a fixed-width cell, given as two halves.
fn hash_halves(low: u64, high: u64, seed: u64) -> u64 {
    let once = mix(low ^ seed, high ^ seed.rotate_left(32) ^ ODD_1);
    mix(once ^ ODD_2, seed ^ ODD_1)
}

/// The hash of null, which cells of that column's class share.
pub fn hash_null(seed: u64) -> u64 {
    mix(seed ^ ODD_2, ODD_1)
}

fn hash_i128(value: i128, seed: u64) -> u64 {
    hash_halves(value as u64, (value >> 64) as u64, seed)
}

/// Adds the hash of every cell of `array` to `sums`, row by row.
///
/// `seed` is [`Seed::column`] of the cell's column. `sums` has the array's length.
pub fn add_cell_hashes(array: &dyn Array, seed: u64, sums: &mut [u64]) {
    debug_assert_eq!(array.len(), sums.len(), "one sum per row");
    each_hash(array, seed, |row, hash| sums[row] = sums[row].wrapping_add(hash));
}

/// As [`add_cell_hashes`], but null, NaN and infinities (also as text) count as one value.
///
/// For columns whose producer writes null for what it cannot express.
pub fn add_cell_hashes_non_finite_as_null(array: &dyn Array, seed: u64, sums: &mut [u64]) {
    each_hash(array, seed, |row, hash| {
        let hash = if is_non_finite(array, row) { hash_null(seed) } else { hash };
        sums[row] = sums[row].wrapping_add(hash);
    });
}

/// As [`add_cell_hashes`], but texts that denote one number are equal (`1.5` and `1.50`), for
/// producers that drop trailing zeros. With `non_finite_as_null` also as its namesake.
pub fn add_number_hashes(array: &dyn Array, seed: u64, non_finite_as_null: bool, sums: &mut [u64]) {
    for (row, sum) in sums.iter_mut().enumerate() {
        let null = array.is_null(row) || non_finite_as_null && is_non_finite(array, row);
        let hash = match cell_text(array, row) {
            Some(text) if !null => xxh3_64_with_seed(number_text(&text).as_bytes(), seed),
            _ => hash_null(seed),
        };
        *sum = sum.wrapping_add(hash);
    }
}

/// A decimal text without the trailing zeros of its fraction, and zero without its sign.
pub fn number_text(text: &str) -> &str {
    let text = if text.contains('.') && !text.contains(['e', 'E']) {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    if text == "-0" { "0" } else { text }
}

/// Whether a cell is a value that producers of JSON write as null: NaN or an infinity, as a float
/// or as its PostgreSQL text, or the JSON document `null`.
pub fn is_non_finite(array: &dyn Array, row: usize) -> bool {
    if array.is_null(row) {
        return false;
    }
    let text = |t: &str| matches!(t, "NaN" | "Infinity" | "-Infinity" | "null");
    match array.data_type() {
        DataType::Float64 => !array.as_primitive::<arrow::datatypes::Float64Type>().value(row).is_finite(),
        DataType::Float32 => !array.as_primitive::<arrow::datatypes::Float32Type>().value(row).is_finite(),
        DataType::Utf8 => text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => text(array.as_string_view().value(row)),
        DataType::Dictionary(_, _) => {
            let entries = array.as_any_dictionary();
            is_non_finite(entries.values().as_ref(), dictionary_key(entries, row))
        }
        _ => false,
    }
}

/// The place of a row's entry.
pub(super) fn dictionary_key(array: &dyn AnyDictionaryArray, row: usize) -> usize {
    let keys = array.keys();
    usize::try_from(primitive_integer(keys, row)).unwrap_or(0)
}

/// Calls `visit` with the row number and hash of every cell.
fn each_hash(array: &dyn Array, seed: u64, mut visit: impl FnMut(usize, u64)) {
    let null = hash_null(seed);
    macro_rules! bytes {
        ($values:expr) => {{
            let values = $values;
            for row in 0..values.len() {
                let hash = if values.is_null(row) {
                    null
                } else {
                    xxh3_64_with_seed(values.value(row).as_ref(), seed)
                };
                visit(row, hash);
            }
        }};
    }
    match array.data_type() {
        DataType::Utf8 => bytes!(array.as_string::<i32>()),
        DataType::LargeUtf8 => bytes!(array.as_string::<i64>()),
        DataType::Utf8View => bytes!(array.as_string_view()),
        DataType::Binary => bytes!(array.as_binary::<i32>()),
        DataType::LargeBinary => bytes!(array.as_binary::<i64>()),
        DataType::BinaryView => bytes!(array.as_binary_view()),
        DataType::FixedSizeBinary(_) => bytes!(array.as_fixed_size_binary()),
        DataType::Boolean => booleans(array.as_boolean(), seed, &mut visit),
        DataType::Dictionary(_, _) => dictionary(array, seed, &mut visit),
        _ => fixed_or_nested(array, seed, &mut visit),
    }
}

fn booleans(values: &BooleanArray, seed: u64, visit: &mut impl FnMut(usize, u64)) {
    let hashes = [hash_i128(0, seed), hash_i128(1, seed)];
    for row in 0..values.len() {
        let hash = if values.is_null(row) { hash_null(seed) } else { hashes[usize::from(values.value(row))] };
        visit(row, hash);
    }
}

/// A dictionary's entries are hashed once each.
fn dictionary(array: &dyn Array, seed: u64, visit: &mut impl FnMut(usize, u64)) {
    let entries = array.as_any_dictionary();
    let mut hashes = vec![0; entries.values().len()];
    add_cell_hashes(entries.values().as_ref(), seed, &mut hashes);
    let null = hash_null(seed);
    if let Some(keys) = entries.keys().as_primitive_opt::<Int32Type>() {
        let nulls = keys.nulls().filter(|nulls| nulls.null_count() > 0);
        for (row, &key) in keys.values().iter().enumerate() {
            let is_null = nulls.is_some_and(|nulls| nulls.is_null(row));
            visit(row, if is_null { null } else { hashes[key as usize] });
        }
        return;
    }
    for row in 0..array.len() {
        visit(row, if array.is_null(row) { null } else { hashes[dictionary_key(entries, row)] });
    }
}

/// How the native value of a primitive type becomes its canonical integer.
enum Widening {
    Bits,
    Nanoseconds(i128),
}

fn widening(data_type: &DataType) -> Widening {
    let unit = |unit: &TimeUnit| {
        Widening::Nanoseconds(match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        })
    };
    match data_type {
        DataType::Timestamp(u, _) | DataType::Time32(u) | DataType::Time64(u) | DataType::Duration(u) => {
            unit(u)
        }
        DataType::Date32 => Widening::Nanoseconds(86_400_000_000_000),
        DataType::Date64 => Widening::Nanoseconds(1_000_000),
        _ => Widening::Bits,
    }
}

/// A native value as an integer that is the same for every width.
trait Canonical: Copy {
    fn integer(self) -> i128;
}

macro_rules! canonical_integers {
    ($($t:ty),+) => { $(impl Canonical for $t { fn integer(self) -> i128 { self as i128 } })+ };
}
canonical_integers!(i8, i16, i32, i64, i128, u8, u16, u32, u64);

macro_rules! canonical_floats {
    ($($t:ty),+) => {
        $(impl Canonical for $t {
            fn integer(self) -> i128 {
                i128::from(self.to_bits())
            }
        })+
    };
}
canonical_floats!(half::f16, f32, f64);

// Their canonical bytes are written elsewhere; one integer cannot hold them.
macro_rules! not_one_integer {
    ($($t:ty),+) => { $(impl Canonical for $t { fn integer(self) -> i128 { 0 } })+ };
}
not_one_integer!(i256, arrow::datatypes::IntervalDayTime, arrow::datatypes::IntervalMonthDayNano);

fn primitive<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, seed: u64, visit: &mut impl FnMut(usize, u64))
where
    T::Native: Canonical,
{
    let factor = match widening(values.data_type()) {
        Widening::Bits => 1,
        Widening::Nanoseconds(factor) => factor,
    };
    let null = hash_null(seed);
    if values.null_count() == 0 {
        for (row, value) in values.values().iter().enumerate() {
            visit(row, hash_i128(value.integer() * factor, seed));
        }
        return;
    }
    for (row, value) in values.values().iter().enumerate() {
        visit(row, if values.is_null(row) { null } else { hash_i128(value.integer() * factor, seed) });
    }
}

fn fixed_or_nested(array: &dyn Array, seed: u64, visit: &mut impl FnMut(usize, u64)) {
    use arrow::datatypes as t;
    macro_rules! typed {
        ($($pattern:pat => $type:ty),+ $(,)?) => {
            match array.data_type() {
                $($pattern => primitive(array.as_primitive::<$type>(), seed, visit),)+
                _ => by_bytes(array, seed, visit),
            }
        };
    }
    typed! {
        DataType::Int8 => t::Int8Type,
        DataType::Int16 => t::Int16Type,
        DataType::Int32 => t::Int32Type,
        DataType::Int64 => t::Int64Type,
        DataType::UInt8 => t::UInt8Type,
        DataType::UInt16 => t::UInt16Type,
        DataType::UInt32 => t::UInt32Type,
        DataType::UInt64 => t::UInt64Type,
        DataType::Float16 => t::Float16Type,
        DataType::Float32 => t::Float32Type,
        DataType::Float64 => t::Float64Type,
        DataType::Date32 => t::Date32Type,
        DataType::Date64 => t::Date64Type,
        DataType::Time32(TimeUnit::Second) => t::Time32SecondType,
        DataType::Time32(_) => t::Time32MillisecondType,
        DataType::Time64(TimeUnit::Microsecond) => t::Time64MicrosecondType,
        DataType::Time64(_) => t::Time64NanosecondType,
        DataType::Timestamp(TimeUnit::Second, _) => t::TimestampSecondType,
        DataType::Timestamp(TimeUnit::Millisecond, _) => t::TimestampMillisecondType,
        DataType::Timestamp(TimeUnit::Microsecond, _) => t::TimestampMicrosecondType,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => t::TimestampNanosecondType,
        DataType::Duration(TimeUnit::Second) => t::DurationSecondType,
        DataType::Duration(TimeUnit::Millisecond) => t::DurationMillisecondType,
        DataType::Duration(TimeUnit::Microsecond) => t::DurationMicrosecondType,
        DataType::Duration(TimeUnit::Nanosecond) => t::DurationNanosecondType,
        DataType::Decimal32(_, _) => t::Decimal32Type,
        DataType::Decimal64(_, _) => t::Decimal64Type,
        DataType::Decimal128(_, _) => t::Decimal128Type,
    }
}

/// Everything without a columnar path of its own: wide decimals, intervals, nested types.
fn by_bytes(array: &dyn Array, seed: u64, visit: &mut impl FnMut(usize, u64)) {
    let mut bytes = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            visit(row, hash_null(seed));
            continue;
        }
        // A 256-bit decimal that fits 128 bits hashes like one.
        if let DataType::Decimal256(_, _) = array.data_type()
            && let Some(small) = array.as_primitive::<Decimal256Type>().value(row).to_i128()
        {
            visit(row, hash_i128(small, seed));
            continue;
        }
        bytes.clear();
        canonical_bytes(array, row, &mut bytes);
        visit(row, xxh3_64_with_seed(&bytes, seed));
    }
}

/// Appends the canonical bytes of a cell: a marker for null or not, then the value,
/// self-delimiting so that nested values cannot run into each other.
pub fn canonical_bytes(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if array.is_null(row) {
        out.push(0);
        return;
    }
    out.push(1);
    let mut sized = |bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    match array.data_type() {
        DataType::Utf8 => sized(array.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => sized(array.as_string::<i64>().value(row).as_bytes()),
        DataType::Utf8View => sized(array.as_string_view().value(row).as_bytes()),
        DataType::Binary => sized(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => sized(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => sized(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => sized(array.as_fixed_size_binary().value(row)),
        DataType::Boolean => integer_bytes(i128::from(array.as_boolean().value(row)), out),
        DataType::Dictionary(_, _) => {
            let entries = array.as_any_dictionary();
            out.pop();
            canonical_bytes(entries.values().as_ref(), dictionary_key(entries, row), out);
        }
        _ => fixed_or_nested_bytes(array, row, out),
    }
}

fn integer_bytes(value: i128, out: &mut Vec<u8>) {
    out.extend_from_slice(&i256::from_i128(value).to_le_bytes());
}

fn fixed_or_nested_bytes(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match array.data_type() {
        DataType::Decimal256(_, _) => {
            out.extend_from_slice(&array.as_primitive::<Decimal256Type>().value(row).to_le_bytes());
        }
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                canonical_bytes(column.as_ref(), row, out);
            }
        }
        DataType::List(_) => sequence_bytes(&array.as_list::<i32>().value(row), out),
        DataType::LargeList(_) => sequence_bytes(&array.as_list::<i64>().value(row), out),
        DataType::ListView(_) => sequence_bytes(&array.as_list_view::<i32>().value(row), out),
        DataType::LargeListView(_) => sequence_bytes(&array.as_list_view::<i64>().value(row), out),
        DataType::FixedSizeList(_, _) => sequence_bytes(&array.as_fixed_size_list().value(row), out),
        DataType::Map(_, _) => {
            let entries: ArrayRef = std::sync::Arc::new(array.as_map().value(row));
            sequence_bytes(&entries, out);
        }
        DataType::Interval(unit) => interval_bytes(array, *unit, row, out),
        _ => primitive_bytes(array, row, out),
    }
}

fn sequence_bytes(values: &ArrayRef, out: &mut Vec<u8>) {
    out.extend_from_slice(&(values.len() as u64).to_le_bytes());
    for item in 0..values.len() {
        canonical_bytes(values.as_ref(), item, out);
    }
}

fn interval_bytes(array: &dyn Array, unit: IntervalUnit, row: usize, out: &mut Vec<u8>) {
    use arrow::datatypes::{IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType};
    let (months, days, nanoseconds) = match unit {
        IntervalUnit::YearMonth => (array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0),
        IntervalUnit::DayTime => {
            let value = array.as_primitive::<IntervalDayTimeType>().value(row);
            (0, value.days, i64::from(value.milliseconds) * 1_000_000)
        }
        IntervalUnit::MonthDayNano => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            (value.months, value.days, value.nanoseconds)
        }
    };
    integer_bytes(i128::from(months), out);
    integer_bytes(i128::from(days), out);
    integer_bytes(i128::from(nanoseconds), out);
}

fn primitive_bytes(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    let factor = match widening(array.data_type()) {
        Widening::Bits => 1,
        Widening::Nanoseconds(factor) => factor,
    };
    let value = match array.data_type() {
        DataType::Decimal32(_, _) => i128::from(array.as_primitive::<Decimal32Type>().value(row)),
        DataType::Decimal64(_, _) => i128::from(array.as_primitive::<Decimal64Type>().value(row)),
        DataType::Decimal128(_, _) => array.as_primitive::<Decimal128Type>().value(row),
        _ => primitive_integer(array, row),
    };
    integer_bytes(value.wrapping_mul(factor), out);
}

fn primitive_integer(array: &dyn Array, row: usize) -> i128 {
    fn of<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, row: usize) -> i128
    where
        T::Native: Canonical,
    {
        values.value(row).integer()
    }
    downcast_primitive_array!(
        array => of(array, row),
        _ => 0
    )
}

/// Whether two cells of one column are equal.
///
/// ```
/// use arrow::array::{DictionaryArray, StringArray, types::Int8Type};
/// use asof::model::canon::cells_equal;
/// let plain = StringArray::from(vec!["EUR", "USD"]);
/// let dictionary: DictionaryArray<Int8Type> = vec!["USD", "EUR"].into_iter().collect();
/// assert!(cells_equal(&plain, 0, &dictionary, 1));
/// ```
pub fn cells_equal(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> bool {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    canonical_bytes(a, i, &mut x);
    canonical_bytes(b, j, &mut y);
    x == y
}

/// Identities of keys, one per row; equal exactly if the key columns' cells are.
///
/// A key of one column of at most 64 bits is represented exactly; any other key
/// by a 128-bit keyed hash, so that among a billion keys two collide with
/// probability below 10⁻²⁰.
pub fn key_ids(columns: &[&ArrayRef], seed: Seed) -> Vec<u128> {
    let rows = columns.first().map_or(0, |c| c.len());
    let low_seed = seed.column(usize::MAX - 1);
    if let [column] = columns {
        if column.data_type().is_integer() || matches!(column.data_type(), DataType::Date32) {
            return integer_ids(column.as_ref(), low_seed);
        }
        if let DataType::Utf8 = column.data_type() {
            let texts = column.as_string::<i32>();
            return (0..rows).map(|row| xxh3_128_with_seed(texts.value(row).as_bytes(), low_seed)).collect();
        }
    }
    let (mut low, mut high) = (vec![0; rows], vec![0; rows]);
    for (position, column) in columns.iter().enumerate() {
        add_cell_hashes(column.as_ref(), seed.column(usize::MAX - 2 - 2 * position), &mut low);
        add_cell_hashes(column.as_ref(), seed.column(usize::MAX - 3 - 2 * position), &mut high);
    }
    low.into_iter().zip(high).map(|(low, high)| (u128::from(high) << 64) | u128::from(low)).collect()
}

/// The identities of integer keys: the value itself in the low half, its hash in the high half.
fn integer_ids(column: &dyn Array, seed: u64) -> Vec<u128> {
    fn of<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, seed: u64) -> Vec<u128>
    where
        T::Native: Canonical,
    {
        let id = |value: i128| (u128::from(hash_i128(value, seed)) << 64) | u128::from(value as u64);
        if values.null_count() == 0 {
            return values.values().iter().map(|v| id(v.integer())).collect();
        }
        (0..values.len())
            .map(|row| if values.is_null(row) { id(0) } else { id(values.value(row).integer()) })
            .collect()
    }
    downcast_primitive_array!(
        column => of(column, seed),
        _ => Vec::new()
    )
}

/// Whether identities of such keys have the key itself in their low half, and so its order.
pub fn is_ordered_id(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || matches!(data_type, DataType::Date32)
}

/// Which rows have a null in a key column.
pub fn null_keys(columns: &[&ArrayRef]) -> Vec<usize> {
    let mut rows: Vec<usize> = Vec::new();
    for column in columns {
        if let Some(nulls) = column.logical_nulls() {
            rows.extend((0..nulls.len()).filter(|&row| nulls.is_null(row)));
        }
    }
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// The exact text of a cell, `None` for null: decimals with their scale, floats as the
/// shortest text that reads back as the same bits, instants in RFC 3339.
pub fn cell_text(array: &dyn Array, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => return Some(array.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => return Some(array.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => return Some(array.as_string_view().value(row).to_owned()),
        _ => {}
    }
    let options = FormatOptions::new().with_null("null");
    let text = ArrayFormatter::try_new(array, &options)
        .map_err(|e| e.to_string())
        .and_then(|f| f.value(row).try_to_string().map_err(|e| e.to_string()));
    Some(text.unwrap_or_else(|error| format!("unprintable: {error}")))
}

/// The texts of many keys, each as [`key_text`] writes it.
pub struct KeyTexts<'a> {
    columns: Vec<KeyColumn<'a>>,
}

/// A key column about to be printed.
struct KeyColumn<'a> {
    /// What stands before a value.
    name: String,
    array: &'a dyn Array,
    /// The values, if they are numbers of the type that most keys have.
    numbers: Option<&'a Int64Array>,
    printed: Option<ArrayFormatter<'a>>,
}

impl<'a> KeyTexts<'a> {
    /// Of key columns with these names.
    pub fn new(names: &[&str], columns: &'a [ArrayRef]) -> Self {
        const NULL: FormatOptions<'static> = FormatOptions::new().with_null("null");
        let column = |(number, (name, array)): (usize, (&&str, &'a ArrayRef))| {
            // Text is taken as it is; what cannot be printed says so cell by cell.
            let printed = if array.data_type().is_string() {
                None
            } else {
                ArrayFormatter::try_new(array.as_ref(), &NULL).ok()
            };
            let name = format!("{}{name}=", if number > 0 { ", " } else { "" });
            KeyColumn { name, array: array.as_ref(), numbers: array.as_primitive_opt(), printed }
        };
        Self { columns: names.iter().zip(columns).enumerate().map(column).collect() }
    }

    /// The key of a row.
    pub fn of(&self, row: usize) -> String {
        let mut text = String::new();
        if self.write(row, &mut text).is_err() {
            debug_assert!(false, "a text takes what is written to it");
        }
        text
    }

    /// Prints the key of a row.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn write(&self, row: usize, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        self.columns.iter().try_for_each(|column| column.write(row, out))
    }
}

impl KeyColumn<'_> {
    fn write(&self, row: usize, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        out.write_str(&self.name)?;
        if let Some(numbers) = self.numbers.filter(|numbers| numbers.is_valid(row)) {
            return out.write_str(itoa::Buffer::new().format(numbers.value(row)));
        }
        let cell = || cell_text(self.array, row);
        // What cannot be printed says so itself.
        let printed = self.printed.as_ref().and_then(|p| p.value(row).try_to_string().ok());
        out.write_str(printed.or_else(cell).as_deref().unwrap_or("null"))
    }
}

/// `column=value` pairs of a key, for people: `entry_id=7, line_no=2`.
pub fn key_text(names: &[&str], columns: &[&ArrayRef], row: usize) -> String {
    let pair = |(name, column): (&&str, &&ArrayRef)| {
        format!("{name}={}", cell_text(column.as_ref(), row).unwrap_or_else(|| "null".to_owned()))
    };
    names.iter().zip(columns).map(pair).collect::<Vec<_>>().join(", ")
}

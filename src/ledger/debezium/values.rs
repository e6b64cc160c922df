//! How Debezium writes values: by the schema in the record, else by the column's type.
//!
//! Without schema a number does not say whether it counts days or microseconds,
//! nor a text whether it is base64. Then the column's own type and unit decide,
//! where only one reading makes sense of the values; where several do, the
//! cell is not decoded and the plan has to say which.

use std::borrow::Cow;

use arrow::datatypes::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::super::decode::TextEncoding;
use super::super::image::Writer;
use super::super::json::{self, Raw};
use super::fits::fits;
use crate::read::cell::{CellBuilder, Misfit};

/// The numbers that stand for PostgreSQL's infinite timestamps.
const INFINITIES: [i64; 2] = [9_223_372_036_825_200_000, -9_223_372_036_832_400_000];

/// How one column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As JSON says.
    Json,
    /// A text column; may hold `{"scale", "value"}` where the source has numbers.
    Text,
    /// An unscaled integer as base64, or a number by its literal.
    Decimal(i32),
    /// The same, or plain text: the ledger's decimal mode decides.
    DecimalByMode(i32),
    /// Days since the epoch.
    Days,
    /// A count of units, of the epoch or the day.
    Epoch(TimeUnit),
    /// An ISO text, which has a `Z` even where the column has no zone.
    Iso,
    /// Bytes as base64.
    Base64,
    /// Bytes as base64 or hexadecimal digits: the ledger's binary mode decides.
    BytesByMode,
    /// Little-endian bits as base64.
    Bits,
    /// The same in a text column, as the bit string that SQL prints: so many bits.
    BitString(usize),
    /// A signed 64-bit number that stands for an unsigned one.
    Unsigned,
}

impl Encoding {
    /// What a column's type alone says.
    pub(super) fn of_type(data_type: &DataType, epoch: Option<TimeUnit>) -> Self {
        use DataType as D;
        match data_type {
            D::Decimal32(_, s) | D::Decimal64(_, s) | D::Decimal128(_, s) | D::Decimal256(_, s) => {
                Self::DecimalByMode(i32::from(*s))
            }
            D::Date32 | D::Date64 => Self::Days,
            D::Timestamp(unit, _) => Self::Epoch(epoch.unwrap_or(*unit)),
            D::Time32(unit) | D::Time64(unit) => Self::Epoch(epoch.unwrap_or(*unit)),
            D::UInt64 => Self::Unsigned,
            D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Self::BytesByMode,
            D::Utf8 | D::LargeUtf8 | D::Utf8View => Self::Text,
            _ => Self::Json,
        }
    }

    /// What a field of the record's schema says, for a column of this type.
    pub(super) fn of_field(field: &Field<'_>, data_type: &DataType) -> Self {
        let by_type = Self::of_type(data_type, None);
        let name = json::scalar(field.name);
        let short = name.as_deref().unwrap_or("");
        let short = short
            .strip_prefix("io.debezium.")
            .or(short.strip_prefix("org.apache.kafka.connect."))
            .unwrap_or(short);
        match short {
            "data.Decimal" => Self::Decimal(field.parameter("scale").unwrap_or(0)),
            "time.Date" | "data.Date" => Self::Days,
            "time.Time" | "data.Time" | "time.Timestamp" | "data.Timestamp" => {
                Self::Epoch(TimeUnit::Millisecond)
            }
            "time.MicroTime" | "time.MicroTimestamp" => Self::Epoch(TimeUnit::Microsecond),
            "time.NanoTime" | "time.NanoTimestamp" => Self::Epoch(TimeUnit::Nanosecond),
            "time.ZonedTimestamp"
            | "time.ZonedTime"
            | "time.IsoDate"
            | "time.IsoTime"
            | "time.IsoTimestamp" => Self::Iso,
            "data.Bits" if by_type == Self::Text => Self::BitString(field.parameter("length").unwrap_or(0)),
            "data.Bits" => Self::Bits,
            _ => match (json::scalar(field.kind).as_deref(), by_type) {
                (Some("bytes"), _) => Self::Base64,
                (Some("string"), Self::DecimalByMode(_)) => Self::Json,
                (Some("string"), Self::Epoch(_) | Self::Days) => Self::Iso,
                // Plain numbers in a column of dates or times: the schema would have a name for those.
                (Some(_), Self::DecimalByMode(_) | Self::Epoch(_) | Self::Days) => Self::Json,
                (_, other) => other,
            },
        }
    }
}

/// A field of a Connect schema.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Field<'a> {
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Raw<'a>,
    #[serde(borrow, default)]
    pub(super) name: Raw<'a>,
    #[serde(borrow, default)]
    pub(super) field: Raw<'a>,
    #[serde(borrow, default)]
    pub(super) fields: Raw<'a>,
    #[serde(borrow, default)]
    pub(super) parameters: Raw<'a>,
    #[serde(borrow, default)]
    pub(super) optional: Raw<'a>,
    #[serde(borrow, default)]
    pub(super) default: Raw<'a>,
}

impl Field<'_> {
    /// The type in words: its logical name or else its plain one, with precision, scale and length.
    pub(super) fn described_kind(&self) -> Option<String> {
        let name = json::scalar(self.name).or_else(|| json::scalar(self.kind))?;
        let numbers: Vec<String> = ["connect.decimal.precision", "scale", "length"]
            .into_iter()
            .filter_map(|parameter| self.parameter(parameter))
            .collect();
        Some(if numbers.is_empty() { name.into_owned() } else { format!("{name}({})", numbers.join(",")) })
    }

    fn parameter<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        let mut value = None;
        let _ = json::members(self.parameters?.get(), |n, raw| {
            if n == name {
                value = json::text(raw).and_then(|t| t.parse().ok());
            }
        });
        value
    }
}

/// Writes the values of one record.
pub(super) struct Values<'a> {
    pub(super) encodings: &'a [Encoding],
    /// What proved or is declared to be the mode of decimals and of bytes.
    pub(super) decimals: Option<TextEncoding>,
    pub(super) binary: Option<TextEncoding>,
    /// Per column: numbers of variable scale were seen.
    pub(super) variable: &'a mut [bool],
    /// Per column: the least and the greatest number read in the column's own unit.
    pub(super) assumed: &'a mut [Option<(i64, i64)>],
    /// Units come from columns, not from a schema or the plan.
    pub(super) assuming: bool,
}

impl Writer for Values<'_> {
    fn write(&mut self, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit> {
        self.value(cells, column, raw)
    }

    fn fits(&self, column: usize, data_type: &DataType, raw: &str) -> bool {
        fits(self.encodings.get(column).copied().unwrap_or(Encoding::Json), data_type, raw)
    }
}

impl Values<'_> {
    fn value(&mut self, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit> {
        let first = raw.as_bytes().first().copied().unwrap_or(b' ');
        match (self.encodings.get(column).copied().unwrap_or(Encoding::Json), first) {
            (Encoding::Text | Encoding::Decimal(_) | Encoding::DecimalByMode(_) | Encoding::Json, b'{') => {
                self.object(cells, column, raw)
            }
            (Encoding::Decimal(scale), b'"') => base64_decimal(cells, raw, scale),
            (Encoding::DecimalByMode(scale), b'"') => match self.decimals {
                Some(TextEncoding::Plain) => cells.push_json(raw),
                Some(_) => base64_decimal(cells, raw, scale),
                None => {
                    Err(Misfit::new("a decimal that can only be read in one way (declare `decimals`)", raw))
                }
            },
            (Encoding::Decimal(_) | Encoding::DecimalByMode(_), _) => decimal_literal(cells, raw),
            (Encoding::Days, b'"') | (Encoding::Epoch(_), b'"') | (Encoding::Iso, _) => iso(cells, raw),
            (Encoding::Days, _) => match raw.parse() {
                Ok(days) => cells.push_days(days),
                Err(_) => Err(Misfit::new("days since 1970", raw)),
            },
            (Encoding::Epoch(unit), _) => self.epoch(cells, column, raw, unit),
            (Encoding::Base64, b'"') => push_base64(cells, raw),
            (Encoding::BytesByMode, b'"') if raw == "\"\"" => cells.push_bytes(&[]),
            (Encoding::BytesByMode, b'"') => match self.binary {
                Some(TextEncoding::Hex) => push_hex(cells, raw),
                Some(_) => push_base64(cells, raw),
                None => Err(Misfit::new("bytes that can only be read in one way (declare `binary`)", raw)),
            },
            (Encoding::Base64 | Encoding::BytesByMode, b'{') => geometry(cells, raw),
            (Encoding::Bits, b'"') => bits(cells, raw),
            (Encoding::BitString(length), b'"') => bit_string(cells, raw, length),
            (Encoding::Unsigned, b'-') => match raw.parse::<i64>() {
                // Debezium's `long` mode: the number's two's complement.
                Ok(number) => cells.push_json(&(number as u64).to_string()),
                Err(_) => cells.push_json(raw),
            },
            _ => cells.push_json(raw),
        }
    }

    /// `{"scale": 2, "value": "B88="}`, or any other object.
    fn object(&mut self, cells: &mut CellBuilder, column: usize, raw: &str) -> Result<(), Misfit> {
        let (mut scale, mut value, mut others) = (None, None, false);
        let parsed = json::members(raw, |name, member| match name {
            "scale" => scale = member.parse::<i32>().ok(),
            "value" => value = Some(member),
            _ => others = true,
        });
        match (parsed, scale, value) {
            (Ok(()), Some(scale), Some(value)) if !others => {
                self.variable[column] = true;
                base64_decimal(cells, value, scale)
            }
            _ => cells.push_json(raw),
        }
    }

    fn epoch(
        &mut self,
        cells: &mut CellBuilder,
        column: usize,
        raw: &str,
        unit: TimeUnit,
    ) -> Result<(), Misfit> {
        let number: i64 = raw.parse().map_err(|_| Misfit::new("a whole number of time units", raw))?;
        if INFINITIES.contains(&number) || INFINITIES.iter().any(|i| i / 1000 == number) {
            return Err(Misfit::new("a finite time", if number > 0 { "infinity" } else { "-infinity" }));
        }
        if self.assuming && number != 0 {
            let (least, greatest) = self.assumed[column].unwrap_or((number, number));
            self.assumed[column] = Some((least.min(number), greatest.max(number)));
        }
        cells.push_epoch(number, unit)
    }
}

fn text(raw: &str) -> Result<Cow<'_, str>, Misfit> {
    json::text(raw).ok_or_else(|| Misfit::new("a text", raw))
}

/// An ISO text; its `Z` is no zone where the column has none.
fn iso(cells: &mut CellBuilder, raw: &str) -> Result<(), Misfit> {
    cells.push_json(raw).or_else(|misfit| match text(raw)?.strip_suffix('Z') {
        Some(local) => cells.push_text(local).map_err(|_| misfit),
        None => Err(misfit),
    })
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text: Cow<'_, str> = if text.contains(['\n', '\r']) {
        Cow::Owned(text.replace(['\n', '\r'], ""))
    } else {
        Cow::Borrowed(text)
    };
    let engines = [&STANDARD, &URL_SAFE, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
    engines.iter().find_map(|engine| engine.decode(text.as_ref()).ok())
}

fn base64_decimal(cells: &mut CellBuilder, raw: &str, scale: i32) -> Result<(), Misfit> {
    if !raw.starts_with('"') {
        return decimal_literal(cells, raw);
    }
    let bytes = decode_base64(&text(raw)?).filter(|b| !b.is_empty());
    cells.push_decimal(&bytes.ok_or_else(|| Misfit::new("a decimal as base64", raw))?, scale)
}

/// A number by its literal, unless the literal shows that it passed through a float and may have lost digits.
fn decimal_literal(cells: &mut CellBuilder, raw: &str) -> Result<(), Misfit> {
    let mantissa = raw.bytes().take_while(|b| !matches!(b, b'e' | b'E'));
    let (length, digits) = mantissa.fold((0, 0), |(l, d), b| (l + 1, d + usize::from(b.is_ascii_digit())));
    if length + 1 < raw.len() && digits > 15 {
        return Err(Misfit::new("a decimal that was never a float", raw));
    }
    cells.push_json(raw)
}

fn push_base64(cells: &mut CellBuilder, raw: &str) -> Result<(), Misfit> {
    let bytes = decode_base64(&text(raw)?).ok_or_else(|| Misfit::new("bytes as base64", raw))?;
    // A text column keeps the base64 as it stands: it holds no bytes.
    cells.push_bytes(&bytes).or_else(|_| cells.push_json(raw))
}

fn push_hex(cells: &mut CellBuilder, raw: &str) -> Result<(), Misfit> {
    let text = text(raw)?;
    let digit = |b: u8| char::from(b).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
        _ => None,
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    cells.push_bytes(&bytes.ok_or_else(|| Misfit::new("bytes as hexadecimal digits", raw))?)
}

/// A geometry's well-known binary; its reference system has no place in a column of bytes.
fn geometry(cells: &mut CellBuilder, raw: &str) -> Result<(), Misfit> {
    let mut binary = None;
    let _ = json::members(raw, |name, value| {
        if name == "wkb" {
            binary = Some(value);
        }
    });
    match binary {
        Some(value) => push_base64(cells, value),
        None => Err(Misfit::new("bytes", raw)),
    }
}

/// Little-endian bits: bytes as they are, a number, or a truth value.
fn bits(cells: &mut CellBuilder, raw: &str) -> Result<(), Misfit> {
    let bytes = decode_base64(&text(raw)?).ok_or_else(|| Misfit::new("bits as base64", raw))?;
    if cells.push_bytes(&bytes).is_ok() {
        return Ok(());
    }
    let unsigned: Vec<u8> = std::iter::once(0).chain(bytes.iter().rev().copied()).collect();
    cells.push_decimal(&unsigned, 0).or_else(|_| cells.push_bool(bytes.iter().any(|&b| b != 0)))
}

fn bit_string(cells: &mut CellBuilder, raw: &str, length: usize) -> Result<(), Misfit> {
    let bytes = decode_base64(&text(raw)?).ok_or_else(|| Misfit::new("bits as base64", raw))?;
    let bit = |i: usize| if bytes[i / 8] >> (i % 8) & 1 == 1 { '1' } else { '0' };
    let string: String = (0..length.min(bytes.len() * 8)).rev().map(bit).collect();
    cells.push_text(&string)
}

/// Whether a column of timestamps can hold these numbers as they are. All within three months of 1970 is more
/// likely a coarser unit, all after the year 9999 a finer one.
pub(super) fn plausible(least: i64, greatest: i64, unit: TimeUnit) -> bool {
    let per_second: i64 = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let (near, far) = (per_second.saturating_mul(90 * 86_400), per_second.saturating_mul(253_402_300_800));
    let all = |test: &dyn Fn(u64) -> bool| test(least.unsigned_abs()) && test(greatest.unsigned_abs());
    let coarser = unit != TimeUnit::Second && all(&|v| v < near.unsigned_abs());
    let finer = far < i64::MAX && least > far;
    !coarser && !finer
}

/// What a text in a decimal column proves about the ledger's decimal mode.
pub(super) fn decimal_mode(text: &str) -> Option<TextEncoding> {
    let number = text.trim_start_matches(['-', '+']);
    let plain = !number.is_empty()
        && number.bytes().any(|b| b.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
        && number.bytes().filter(|b| *b == b'.').count() <= 1;
    let plain =
        plain || matches!(text, "NaN" | "Infinity" | "-Infinity" | "POSITIVE_INFINITY" | "NEGATIVE_INFINITY");
    let base64 = STANDARD.decode(text).is_ok_and(|b| !b.is_empty());
    match (plain, base64) {
        (true, false) => Some(TextEncoding::Plain),
        (false, true) => Some(TextEncoding::Base64),
        _ => None,
    }
}

/// What a text in a binary column proves about the ledger's binary mode. `None`: it fits both.
pub(super) fn binary_mode(text: &str) -> Option<TextEncoding> {
    let hex = text.len().is_multiple_of(2)
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !hex {
        return decode_base64(text).map(|_| TextEncoding::Base64);
    }
    // Hexadecimal digits alone, so many of them, do not occur in base64 of anything but by intent.
    (!text.len().is_multiple_of(4) || text.len() >= 48).then_some(TextEncoding::Hex)
}

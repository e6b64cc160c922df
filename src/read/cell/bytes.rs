//! Texts and binary values.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, FixedSizeBinaryArray, LargeBinaryArray, LargeStringArray,
    NullBufferBuilder, StringArray, StringViewArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use base64::Engine as _;

use super::{BinaryText, Cells, Misfit, format_days, number};
use crate::read::json_text;

/// Bytes of variable length, one value after the other.
struct Packed {
    bytes: Vec<u8>,
    ends: Vec<i64>,
    nulls: NullBufferBuilder,
    /// How many bytes the array type can address.
    capacity: usize,
}

impl Packed {
    fn new(data_type: &DataType) -> Self {
        let narrow = matches!(data_type, DataType::Utf8 | DataType::Binary | DataType::FixedSizeBinary(_));
        let capacity = if narrow { i32::MAX as usize } else { usize::MAX >> 1 };
        Self { bytes: Vec::new(), ends: vec![0], nulls: NullBufferBuilder::new(0), capacity }
    }

    fn null(&mut self) {
        self.ends.push(self.bytes.len() as i64);
        self.nulls.append_null();
    }

    fn push(&mut self, value: &[u8]) -> Result<(), Misfit> {
        if value.len() > self.capacity - self.bytes.len() {
            return Err(Misfit::new(
                "at most 2 GiB in one batch",
                format_args!("{} bytes more", value.len()),
            ));
        }
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as i64);
        self.nulls.append_non_null();
        Ok(())
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len + 1);
        self.bytes.truncate(self.ends.last().map_or(0, |&e| e as usize));
        self.nulls.truncate(len);
    }

    fn finish(&mut self) -> (Vec<i64>, Buffer, Option<NullBuffer>) {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        (ends, Buffer::from(std::mem::take(&mut self.bytes)), self.nulls.finish())
    }
}

fn offsets32(ends: &[i64]) -> OffsetBuffer<i32> {
    // `Packed::push` keeps every end below the capacity, which is that of `i32`.
    OffsetBuffer::new(ends.iter().map(|&e| e as i32).collect())
}

fn offsets64(ends: Vec<i64>) -> OffsetBuffer<i64> {
    OffsetBuffer::new(ends.into())
}

/// Texts in any of the three layouts.
pub(super) struct Texts {
    packed: Packed,
    data_type: DataType,
}

impl Texts {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self { packed: Packed::new(data_type), data_type: data_type.clone() }
    }
}

impl Cells for Texts {
    fn null(&mut self) {
        self.packed.null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        self.packed.push(text.as_bytes())
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        match raw.as_bytes().first() {
            Some(b'{' | b'[') => self.text(&json_text::compact(raw)),
            _ => self.text(&number::scalar(raw, || "a JSON value of valid Unicode".to_owned())?.text()),
        }
    }
    fn bool(&mut self, value: bool) -> Result<(), Misfit> {
        self.text(if value { "true" } else { "false" })
    }
    fn decimal(&mut self, unscaled: &[u8], scale: i32) -> Result<(), Misfit> {
        self.text(&number::plain_text(unscaled, scale))
    }
    fn days(&mut self, days: i32) -> Result<(), Misfit> {
        self.text(&format_days(days))
    }
    fn expected(&self) -> String {
        "text (declare the column's type in the plan if it is not one)".to_owned()
    }
    fn len(&self) -> usize {
        self.packed.len()
    }
    fn truncate(&mut self, len: usize) {
        self.packed.truncate(len);
    }
    #[expect(
        clippy::expect_used,
        reason = "only whole texts are pushed, so values are UTF-8 between offsets"
    )]
    fn finish(&mut self) -> ArrayRef {
        const WHOLE: &str = "only whole texts are pushed";
        let (ends, values, nulls) = self.packed.finish();
        if self.data_type == DataType::Utf8 {
            return Arc::new(StringArray::try_new(offsets32(&ends), values, nulls).expect(WHOLE));
        }
        let large = LargeStringArray::try_new(offsets64(ends), values, nulls).expect(WHOLE);
        if self.data_type == DataType::Utf8View {
            Arc::new(StringViewArray::from(&large))
        } else {
            Arc::new(large)
        }
    }
}

/// Binary values in any of the four layouts.
pub(super) struct Binaries {
    packed: Packed,
    data_type: DataType,
    notation: BinaryText,
}

impl Binaries {
    pub(super) fn new(data_type: &DataType, notation: BinaryText) -> Self {
        Self { packed: Packed::new(data_type), data_type: data_type.clone(), notation }
    }

    fn width(&self) -> Option<usize> {
        match self.data_type {
            DataType::FixedSizeBinary(n) => usize::try_from(n).ok(),
            _ => None,
        }
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        match self.notation {
            BinaryText::Hex if self.width() == Some(16) && text.len() == 36 => hex(&text.replace('-', "")),
            BinaryText::Hex => hex(text),
            BinaryText::Base64 => base64::engine::general_purpose::STANDARD.decode(text).ok(),
            BinaryText::Utf8 => Some(text.as_bytes().to_vec()),
        }
    }
}

/// Bytes from hexadecimal digits, with or without a leading `\x` or `0x`.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = ["\\x", "0x", "0X"].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text).as_bytes();
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    if digits.len() % 2 != 0 {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

impl Cells for Binaries {
    fn null(&mut self) {
        match self.width() {
            // A fixed layout has no offsets: its nulls take their place.
            Some(width) => {
                self.packed.bytes.resize(self.packed.bytes.len() + width, 0);
                self.packed.null();
            }
            None => self.packed.null(),
        }
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        let bytes = self.decode(text).ok_or_else(|| Misfit::text(self.expected(), text))?;
        self.bytes(&bytes)
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        match number::scalar(raw, || self.expected())? {
            json_text::Scalar::Text(text) => self.text(&text),
            _ => Err(Misfit::new(self.expected(), raw)),
        }
    }
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        if self.width().is_some_and(|w| w != bytes.len()) {
            return Err(Misfit::new(self.expected(), format_args!("{} bytes", bytes.len())));
        }
        self.packed.push(bytes)
    }
    fn expected(&self) -> String {
        let notation: Cow<'_, str> = match self.notation {
            BinaryText::Hex => "hexadecimal bytes".into(),
            BinaryText::Base64 => "base64".into(),
            BinaryText::Utf8 => "bytes".into(),
        };
        match self.width() {
            Some(width) => format!("{width} bytes as {notation}"),
            None => notation.into_owned(),
        }
    }
    fn len(&self) -> usize {
        self.packed.len()
    }
    fn truncate(&mut self, len: usize) {
        self.packed.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let (ends, values, nulls) = self.packed.finish();
        let len = ends.len() - 1;
        match self.data_type {
            DataType::Binary => Arc::new(BinaryArray::new(offsets32(&ends), values, nulls)),
            DataType::LargeBinary => Arc::new(LargeBinaryArray::new(offsets64(ends), values, nulls)),
            DataType::FixedSizeBinary(width) => FixedSizeBinaryArray::try_new(width, values, nulls)
                .map_or_else(|_| new_null_array(&self.data_type, len), |a| Arc::new(a) as ArrayRef),
            _ => Arc::new(BinaryViewArray::from(&LargeBinaryArray::new(offsets64(ends), values, nulls))),
        }
    }
}

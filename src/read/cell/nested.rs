//! Lists, structs, maps and dictionaries of the other types.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, LargeListArray, ListArray, MapArray, NullBufferBuilder, StructArray,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef, Fields, TimeUnit};

use super::{CellOptions, Cells, Misfit};
use crate::read::json_text;

pub(super) fn cells(data_type: &DataType, options: &CellOptions) -> Option<Box<dyn Cells>> {
    Some(match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Box::new(Lists::new(data_type, item, options)?)
        }
        DataType::Struct(fields) => Box::new(Structs::new(fields, options)?),
        DataType::Map(entries, _) => Box::new(Maps::new(data_type, entries, options)?),
        DataType::Dictionary(_, values) => {
            Box::new(Dictionaries { values: super::cells(values, options)?, data_type: data_type.clone() })
        }
        _ => return None,
    })
}

/// Pushes a JSON value into a child, where null may be forbidden.
fn push_json(cells: &mut dyn Cells, nullable: bool, raw: &str) -> Result<(), Misfit> {
    match raw {
        "null" if nullable => {
            cells.null();
            Ok(())
        }
        "null" => Err(Misfit::new(cells.expected(), "null")),
        _ => cells.json(raw),
    }
}

/// Lists of any item type.
struct Lists {
    items: Box<dyn Cells>,
    item: FieldRef,
    ends: Vec<i64>,
    nulls: NullBufferBuilder,
    data_type: DataType,
}

impl Lists {
    fn new(data_type: &DataType, item: &FieldRef, options: &CellOptions) -> Option<Self> {
        Some(Self {
            items: super::cells(item.data_type(), options)?,
            item: Arc::clone(item),
            ends: vec![0],
            nulls: NullBufferBuilder::new(0),
            data_type: data_type.clone(),
        })
    }

    /// Ends the list whose items `push` pushes, or undoes them.
    fn list(&mut self, push: impl FnOnce(&mut Self) -> Result<(), Misfit>) -> Result<(), Misfit> {
        let start = self.items.len();
        let pushed = push(self).and_then(|()| self.check(start));
        match pushed {
            Ok(()) => {
                self.ends.push(self.items.len() as i64);
                self.nulls.append_non_null();
            }
            Err(_) => self.items.truncate(start),
        }
        pushed
    }

    fn check(&self, start: usize) -> Result<(), Misfit> {
        let count = self.items.len() - start;
        let fits = match self.data_type {
            DataType::FixedSizeList(_, n) => i32::try_from(count) == Ok(n),
            DataType::List(_) => i32::try_from(self.items.len()).is_ok(),
            _ => true,
        };
        if fits { Ok(()) } else { Err(Misfit::new(self.expected(), format_args!("{count} items"))) }
    }
}

impl Cells for Lists {
    fn null(&mut self) {
        if let DataType::FixedSizeList(_, n) = self.data_type {
            (0..n).for_each(|_| self.items.null());
        }
        self.ends.push(self.items.len() as i64);
        self.nulls.append_null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        if text.trim_start().starts_with('[') {
            return self.json(text.trim());
        }
        let Some(items) = postgres_items(text) else { return Err(Misfit::text(self.expected(), text)) };
        self.list(|lists| {
            items.into_iter().try_for_each(|item| match item {
                Some(item) => lists.items.text(&item),
                None => push_json(lists.items.as_mut(), lists.item.is_nullable(), "null"),
            })
        })
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        if raw.starts_with('"') {
            let text = json_text::unescape(raw).ok_or_else(|| Misfit::new(self.expected(), raw))?;
            return self.text(&text);
        }
        let elements = json_text::elements(raw).ok_or_else(|| Misfit::new(self.expected(), raw))?;
        self.list(|lists| {
            let nullable = lists.item.is_nullable();
            elements.into_iter().try_for_each(|e| push_json(lists.items.as_mut(), nullable, e))
        })
    }
    fn expected(&self) -> String {
        let count = match self.data_type {
            DataType::FixedSizeList(_, n) => format!("{n} items"),
            _ => "a list".to_owned(),
        };
        format!("{count} of {}", self.items.expected())
    }
    fn len(&self) -> usize {
        self.ends.len() - 1
    }
    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len + 1);
        self.items.truncate(self.ends.last().map_or(0, |&e| e as usize));
        self.nulls.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let (items, nulls, item) = (self.items.finish(), self.nulls.finish(), Arc::clone(&self.item));
        match self.data_type {
            DataType::FixedSizeList(_, n) => Arc::new(FixedSizeListArray::new(item, n, items, nulls)),
            DataType::List(_) => {
                // `check` keeps every end within `i32`.
                let offsets = OffsetBuffer::new(ends.iter().map(|&e| e as i32).collect());
                Arc::new(ListArray::new(item, offsets, items, nulls))
            }
            _ => Arc::new(LargeListArray::new(item, OffsetBuffer::new(ends.into()), items, nulls)),
        }
    }
}

/// The items of a PostgreSQL array literal: `{a,"b c",NULL}`, nested ones as their text.
/// Only ASCII blanks around items are none of their text.
fn postgres_items(text: &str) -> Option<Vec<Option<String>>> {
    // A literal may state its bounds: [0:2]={…}. Only the default ones keep the meaning of a list.
    let inner = text.trim_ascii().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut rest = inner.trim_ascii_start();
    if rest.is_empty() {
        return Some(items);
    }
    loop {
        let (item, after) = postgres_item(rest)?;
        items.push(item);
        let after = after.trim_ascii_start();
        match after.strip_prefix(',') {
            Some(next) => rest = next.trim_ascii_start(),
            None => return after.is_empty().then_some(items),
        }
    }
}

/// One item and what follows it.
fn postgres_item(text: &str) -> Option<(Option<String>, &str)> {
    if text.starts_with('{') {
        let end = balanced(text)?;
        return Some((Some(text[..end].to_owned()), &text[end..]));
    }
    let quoted = text.starts_with('"');
    let mut item = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    let mut escaped = false;
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => {
                item.push(characters.next()?.1);
                escaped = true;
            }
            '"' if quoted => return Some((Some(item), &text[at + 1..])),
            ',' if !quoted => return Some((unquoted(item, escaped)?, &text[at..])),
            '"' | '{' | '}' if !quoted => return None,
            c => item.push(c),
        }
    }
    if quoted { None } else { Some((unquoted(item, escaped)?, "")) }
}

/// An item without quotes: trimmed, not empty, and null if it is the word.
fn unquoted(item: String, escaped: bool) -> Option<Option<String>> {
    let word = item.trim_ascii_end();
    if word.is_empty() {
        return None;
    }
    let is_null = !escaped && word.eq_ignore_ascii_case("null");
    Some((!is_null).then(|| word.to_owned()))
}

/// Where the brace that opens the text is closed.
fn balanced(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (i, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Structs, stated as JSON objects. Members that are left out are null.
struct Structs {
    fields: Fields,
    columns: Vec<Box<dyn Cells>>,
    nulls: NullBufferBuilder,
    len: usize,
}

impl Structs {
    fn new(fields: &Fields, options: &CellOptions) -> Option<Self> {
        let columns = fields.iter().map(|f| super::cells(f.data_type(), options)).collect::<Option<_>>()?;
        Some(Self { fields: fields.clone(), columns, nulls: NullBufferBuilder::new(0), len: 0 })
    }

    fn members(&mut self, raw: &str) -> Result<(), Misfit> {
        let (len, expected) = (self.len, self.expected());
        json_text::members(
            raw,
            |name, value| {
                let at = self.fields.iter().position(|f| *f.name() == name);
                let at = at.ok_or_else(|| Misfit::new(&expected, format_args!("the member {name:?}")))?;
                if self.columns[at].len() > len {
                    return Err(Misfit::new(&expected, format_args!("the member {name:?} twice")));
                }
                push_json(self.columns[at].as_mut(), self.fields[at].is_nullable(), value)
            },
            |_| Misfit::new(&expected, raw),
        )?;
        for (column, field) in self.columns.iter_mut().zip(&self.fields) {
            if column.len() == len {
                push_json(column.as_mut(), field.is_nullable(), "null")?;
            }
        }
        Ok(())
    }
}

impl Cells for Structs {
    fn null(&mut self) {
        self.columns.iter_mut().for_each(|c| c.null());
        self.nulls.append_null();
        self.len += 1;
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        self.json(text.trim())
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        if raw.starts_with('"') {
            let text = json_text::unescape(raw).ok_or_else(|| Misfit::new(self.expected(), raw))?;
            let object = text.trim_start().starts_with('{');
            return if object { self.json(text.trim()) } else { Err(Misfit::new(self.expected(), raw)) };
        }
        match self.members(raw) {
            Ok(()) => {
                self.nulls.append_non_null();
                self.len += 1;
                Ok(())
            }
            Err(misfit) => {
                let len = self.len;
                self.columns.iter_mut().for_each(|c| c.truncate(len));
                Err(misfit)
            }
        }
    }
    fn expected(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(|f| f.name().as_str()).collect();
        format!("an object of {}", names.join(", "))
    }
    fn len(&self) -> usize {
        self.len
    }
    fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|c| c.truncate(len));
        self.nulls.truncate(len);
        self.len = len;
    }
    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(|c| c.finish()).collect();
        let (nulls, len) = (self.nulls.finish(), std::mem::take(&mut self.len));
        if columns.is_empty() {
            return Arc::new(StructArray::new_empty_fields(len, nulls));
        }
        Arc::new(StructArray::new(self.fields.clone(), columns, nulls))
    }
}

/// Maps, stated as JSON objects whose member names are the keys.
struct Maps {
    keys: Box<dyn Cells>,
    values: Box<dyn Cells>,
    fields: Fields,
    ends: Vec<i32>,
    nulls: NullBufferBuilder,
    data_type: DataType,
}

impl Maps {
    fn new(data_type: &DataType, entries: &FieldRef, options: &CellOptions) -> Option<Self> {
        let DataType::Struct(fields) = entries.data_type() else { return None };
        let [key, value] = fields.iter().as_slice() else { return None };
        Some(Self {
            keys: super::cells(key.data_type(), options)?,
            values: super::cells(value.data_type(), options)?,
            fields: fields.clone(),
            ends: vec![0],
            nulls: NullBufferBuilder::new(0),
            data_type: data_type.clone(),
        })
    }

    fn members(&mut self, raw: &str) -> Result<i32, Misfit> {
        let (expected, nullable) = (self.expected(), self.fields[1].is_nullable());
        let (keys, values) = (&mut self.keys, &mut self.values);
        json_text::members(
            raw,
            |name, value| keys.text(&name).and_then(|()| push_json(values.as_mut(), nullable, value)),
            |_| Misfit::new(&expected, raw),
        )?;
        i32::try_from(self.keys.len()).map_err(|_| Misfit::new("fewer entries in one batch", self.keys.len()))
    }
}

impl Cells for Maps {
    fn null(&mut self) {
        self.ends.push(self.ends.last().copied().unwrap_or(0));
        self.nulls.append_null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        self.json(text.trim())
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        if raw.starts_with('"') {
            let text = json_text::unescape(raw).ok_or_else(|| Misfit::new(self.expected(), raw))?;
            let object = text.trim_start().starts_with('{');
            return if object { self.json(text.trim()) } else { Err(Misfit::new(self.expected(), raw)) };
        }
        match self.members(raw) {
            Ok(end) => {
                self.ends.push(end);
                self.nulls.append_non_null();
                Ok(())
            }
            Err(misfit) => {
                let len = self.len();
                self.truncate(len);
                Err(misfit)
            }
        }
    }
    fn expected(&self) -> String {
        format!("an object of {}", self.values.expected())
    }
    fn len(&self) -> usize {
        self.ends.len() - 1
    }
    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len + 1);
        let entries = self.ends.last().map_or(0, |&e| e as usize);
        self.keys.truncate(entries);
        self.values.truncate(entries);
        self.nulls.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let (columns, nulls) = (vec![self.keys.finish(), self.values.finish()], self.nulls.finish());
        let DataType::Map(entries, ordered) = &self.data_type else {
            return new_null_array(&self.data_type, ends.len() - 1);
        };
        let pairs = StructArray::new(self.fields.clone(), columns, None);
        Arc::new(MapArray::new(Arc::clone(entries), OffsetBuffer::new(ends.into()), pairs, nulls, *ordered))
    }
}

/// Values built plainly and given codes at the end.
struct Dictionaries {
    values: Box<dyn Cells>,
    data_type: DataType,
}

impl Cells for Dictionaries {
    fn null(&mut self) {
        self.values.null();
    }
    fn text(&mut self, text: &str) -> Result<(), Misfit> {
        self.values.text(text)
    }
    fn json(&mut self, raw: &str) -> Result<(), Misfit> {
        self.values.json(raw)
    }
    fn bool(&mut self, value: bool) -> Result<(), Misfit> {
        self.values.bool(value)
    }
    fn decimal(&mut self, unscaled: &[u8], scale: i32) -> Result<(), Misfit> {
        self.values.decimal(unscaled, scale)
    }
    fn epoch(&mut self, value: i64, unit: TimeUnit) -> Result<(), Misfit> {
        self.values.epoch(value, unit)
    }
    fn days(&mut self, days: i32) -> Result<(), Misfit> {
        self.values.days(days)
    }
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        self.values.bytes(bytes)
    }
    fn expected(&self) -> String {
        self.values.expected()
    }
    fn len(&self) -> usize {
        self.values.len()
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let values = self.values.finish();
        arrow::compute::cast(&values, &self.data_type).unwrap_or(values)
    }
}

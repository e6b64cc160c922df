//! Columns put together from runs of rows of several arrays.
//!
//! ```text
//! pieces       array 0 (kept rows)   array 3 (an image)   array 0
//!              rows 0..212           row 17               rows 213..460
//! ```
//!
//! Most rows of a snapshot stay as they are, so that a column is a few thousand
//! copies of neighbouring cells and not one look-up per cell. Layouts that have
//! no path of their own here go through Arrow's general kernel.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, DictionaryArray,
    GenericByteArray, PrimitiveArray, make_array, new_empty_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{
    ArrowNativeType, ByteArrayType, DataType, GenericBinaryType, GenericStringType, Int32Type, i256,
};
use arrow::error::ArrowError;

/// Neighbouring rows of one array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Which array.
    pub array: u32,
    /// Its first row.
    pub start: u32,
    /// How many rows.
    pub len: u32,
}

/// Rows as pieces, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    rows: usize,
}

impl Pieces {
    /// Adds one row.
    pub(super) fn push(&mut self, array: u32, row: u32) {
        self.rows += 1;
        match self.pieces.last_mut() {
            Some(last) if last.array == array && last.start + last.len == row => last.len += 1,
            _ => self.pieces.push(Piece { array, start: row, len: 1 }),
        }
    }
}

/// Groups under way at a time need no more than this.
const RECENT_MAX: usize = 16;

/// Pieces of output groups and lanes, made once for all columns of a lane.
#[derive(Debug, Default)]
pub(super) struct RecentPieces(Mutex<VecDeque<OfLane>>);

/// Group, lane, and their pieces.
type OfLane = ((usize, usize), Arc<GroupPieces>);

/// Where the cells of an output group come from, for the columns of one lane.
#[derive(Debug, Default)]
pub(super) struct GroupPieces {
    /// All rows.
    pub all: Pieces,
    /// In a group whose rows stand where they stood: the rows that a record supplies.
    pub supplied: Pieces,
    /// The same rows as they stand in the current state.
    pub replaced: Pieces,
}

impl RecentPieces {
    /// The pieces of a group and lane, made if they are not known.
    pub(super) fn of(&self, key: (usize, usize), make: impl FnOnce() -> GroupPieces) -> Arc<GroupPieces> {
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, known)) = lock().iter().find(|(k, _)| *k == key) {
            return Arc::clone(known);
        }
        let made = Arc::new(make());
        let mut recent = lock();
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((key, Arc::clone(&made)));
        made
    }
}

/// The cells that the pieces name. All arrays have one type, which is that of the result;
/// `None` stands for an array that no piece names.
pub(super) fn gather(arrays: &[Option<&ArrayRef>], pieces: &Pieces) -> Result<ArrayRef, ArrowError> {
    let Some(data_type) = arrays.iter().flatten().next().map(|array| array.data_type()) else {
        return Err(ArrowError::InvalidArgumentError("nothing to gather from".to_owned()));
    };
    // Nothing says of which dictionary an array without rows would be.
    if pieces.rows == 0 {
        return Ok(new_empty_array(data_type));
    }
    if named(arrays.len(), pieces).iter().zip(arrays).any(|(named, array)| *named && array.is_none()) {
        return Err(ArrowError::InvalidArgumentError("a row of an array that is not there".to_owned()));
    }
    if pieces.pieces.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    match data_type {
        DataType::Boolean => Ok(booleans(arrays, pieces)),
        DataType::Utf8 => bytes::<GenericStringType<i32>>(arrays, pieces),
        DataType::LargeUtf8 => bytes::<GenericStringType<i64>>(arrays, pieces),
        DataType::Binary => bytes::<GenericBinaryType<i32>>(arrays, pieces),
        DataType::LargeBinary => bytes::<GenericBinaryType<i64>>(arrays, pieces),
        DataType::Dictionary(key, _) if **key == DataType::Int32 => dictionaries(arrays, pieces),
        fixed => match fixed.primitive_width() {
            Some(1) => numbers::<i8>(arrays, pieces, fixed),
            Some(2) => numbers::<i16>(arrays, pieces, fixed),
            Some(4) => numbers::<i32>(arrays, pieces, fixed),
            Some(8) => numbers::<i64>(arrays, pieces, fixed),
            Some(16) => numbers::<i128>(arrays, pieces, fixed),
            Some(32) => numbers::<i256>(arrays, pieces, fixed),
            _ => cell_by_cell(arrays, pieces),
        },
    }
}

/// The general kernel of Arrow, for layouts without a path here.
fn cell_by_cell(arrays: &[Option<&ArrayRef>], pieces: &Pieces) -> Result<ArrayRef, ArrowError> {
    let mut places = vec![0; arrays.len()];
    let mut named: Vec<&dyn Array> = Vec::new();
    for (place, array) in places.iter_mut().zip(arrays) {
        *place = named.len();
        named.extend(array.iter().map(|array| array.as_ref() as &dyn Array));
    }
    let cells = |piece: &Piece| {
        let array = places[piece.array as usize];
        (piece.start..piece.start + piece.len).map(move |row| (array, row as usize))
    };
    let indices: Vec<(usize, usize)> = pieces.pieces.iter().flat_map(cells).collect();
    interleave(&named, &indices)
}

/// The nulls of the result; `None` if it has none.
fn nulls(arrays: &[Option<&ArrayRef>], pieces: &Pieces) -> Option<NullBuffer> {
    let of: Vec<Option<&NullBuffer>> = arrays.iter().map(|array| array.and_then(|a| a.nulls())).collect();
    if of.iter().flatten().all(|nulls| nulls.null_count() == 0) {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(pieces.rows);
    for piece in &pieces.pieces {
        match of[piece.array as usize] {
            None => valid.append_n(piece.len as usize, true),
            Some(nulls) if piece.len == 1 => valid.append(nulls.is_valid(piece.start as usize)),
            Some(nulls) => {
                let (start, len) = (piece.start as usize, piece.len as usize);
                valid.append_buffer(&nulls.inner().slice(start, len));
            }
        }
    }
    Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0)
}

fn numbers<T: ArrowNativeType>(
    arrays: &[Option<&ArrayRef>],
    pieces: &Pieces,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    let data: Vec<Option<ArrayData>> = arrays.iter().map(|array| array.map(|a| a.to_data())).collect();
    let cells: Vec<&[T]> = data
        .iter()
        .map(|data| data.as_ref().map_or(&[] as &[T], |d| &d.buffers()[0].typed_data::<T>()[d.offset()..]))
        .collect();
    let mut out: Vec<T> = Vec::with_capacity(pieces.rows);
    for piece in &pieces.pieces {
        let from = cells[piece.array as usize];
        match piece.len {
            1 => out.push(from[piece.start as usize]),
            len => out.extend_from_slice(&from[piece.start as usize..(piece.start + len) as usize]),
        }
    }
    let built = ArrayData::builder(data_type.clone())
        .len(pieces.rows)
        .add_buffer(Buffer::from_vec(out))
        .nulls(nulls(arrays, pieces))
        .build()?;
    Ok(make_array(built))
}

fn booleans(arrays: &[Option<&ArrayRef>], pieces: &Pieces) -> ArrayRef {
    let of: Vec<Option<&BooleanArray>> = arrays.iter().map(|array| array.map(|a| a.as_boolean())).collect();
    let mut out = BooleanBufferBuilder::new(pieces.rows);
    for piece in &pieces.pieces {
        let Some(from) = of[piece.array as usize] else { continue };
        match piece.len {
            1 => out.append(from.value(piece.start as usize)),
            len => out.append_buffer(&from.values().slice(piece.start as usize, len as usize)),
        }
    }
    Arc::new(BooleanArray::new(out.finish(), nulls(arrays, pieces)))
}

fn bytes<T: ByteArrayType>(arrays: &[Option<&ArrayRef>], pieces: &Pieces) -> Result<ArrayRef, ArrowError> {
    let of: Vec<Option<&GenericByteArray<T>>> =
        arrays.iter().map(|array| array.map(|a| a.as_bytes::<T>())).collect();
    let mut offsets: Vec<T::Offset> = Vec::with_capacity(pieces.rows + 1);
    offsets.push(T::Offset::default());
    let mut last = T::Offset::default();
    // Offsets and bytes of a piece are fetched together, as both are far away in memory.
    let mut values: Vec<u8> = Vec::with_capacity(pieces.rows * usual_length(&of));
    for piece in &pieces.pieces {
        let Some(from) = of[piece.array as usize] else { continue };
        let (start, end) = (piece.start as usize, (piece.start + piece.len) as usize);
        let own = &from.value_offsets()[start..=end];
        let (base, upto) = (own[0], own[own.len() - 1]);
        values.extend_from_slice(&from.value_data()[base.as_usize()..upto.as_usize()]);
        let next =
            T::Offset::from_usize(values.len()).ok_or(ArrowError::OffsetOverflowError(values.len()))?;
        offsets.extend(own[1..].iter().map(|&offset| last + (offset - base)));
        last = next;
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(values), nulls(arrays, pieces))?;
    Ok(Arc::new(array))
}

/// The mean length of a value in the first of some arrays, rounded up.
fn usual_length<T: ByteArrayType>(of: &[Option<&GenericByteArray<T>>]) -> usize {
    let Some(first) = of.iter().flatten().find(|array| !array.is_empty()) else { return 0 };
    let (offsets, rows) = (first.value_offsets(), first.len());
    (offsets[rows].as_usize() - offsets[0].as_usize()) / rows + 1
}

/// Dictionaries are put one behind the other; entries are not compared. Where that would be more
/// entries than rows, the cells are gathered as values.
fn dictionaries(arrays: &[Option<&ArrayRef>], pieces: &Pieces) -> Result<ArrayRef, ArrowError> {
    let named = named(arrays.len(), pieces);
    let of = |number: usize| arrays[number].filter(|_| named[number]).map(|a| a.as_dictionary::<Int32Type>());
    let of: Vec<Option<&DictionaryArray<Int32Type>>> = (0..arrays.len()).map(of).collect();
    let entries: usize = of.iter().flatten().map(|d| d.values().len()).sum();
    if entries > pieces.rows.max(1) {
        return as_values(&of, pieces);
    }
    let mut bases = Vec::with_capacity(of.len());
    let mut base = 0_i32;
    for dictionary in &of {
        bases.push(base);
        base += dictionary.map_or(0, |d| d.values().len() as i32);
    }
    let values: Vec<&dyn Array> = of.iter().flatten().map(|d| d.values().as_ref()).collect();
    let mut keys: Vec<i32> = Vec::with_capacity(pieces.rows);
    for piece in &pieces.pieces {
        let Some(from) = of[piece.array as usize] else { continue };
        let from = &from.keys().values()[piece.start as usize..(piece.start + piece.len) as usize];
        let base = bases[piece.array as usize];
        keys.extend(from.iter().map(|key| key + base));
    }
    let values = if let [one] = values.as_slice() { one.slice(0, one.len()) } else { concat(&values)? };
    let keys = PrimitiveArray::<Int32Type>::new(keys.into(), nulls(arrays, pieces));
    Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
}

fn named(arrays: usize, pieces: &Pieces) -> Vec<bool> {
    let mut named = vec![false; arrays];
    pieces.pieces.iter().for_each(|piece| named[piece.array as usize] = true);
    named
}

fn as_values(of: &[Option<&DictionaryArray<Int32Type>>], pieces: &Pieces) -> Result<ArrayRef, ArrowError> {
    let value_type = |d: &&DictionaryArray<Int32Type>| d.values().data_type().clone();
    let plain: Vec<Option<ArrayRef>> = of
        .iter()
        .map(|d| d.as_ref().map(|d| arrow::compute::cast(*d, &value_type(d))).transpose())
        .collect::<Result<_, _>>()?;
    let plain: Vec<Option<&ArrayRef>> = plain.iter().map(Option::as_ref).collect();
    gather(&plain, pieces)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, FixedSizeBinaryArray, Int64Array, ListArray, StringArray};
    use arrow::compute::cast;

    use super::*;
    use crate::testing::Prng;

    /// Arrays of one type, some with nulls and one sliced.
    fn some(random: &mut Prng, make: &impl Fn(&mut Prng, usize, bool) -> ArrayRef) -> Vec<ArrayRef> {
        (0..4)
            .map(|number| {
                let rows = 5 + random.index(200);
                let array = make(random, rows, number % 2 == 0);
                if number == 3 { array.slice(2, rows - 3) } else { array }
            })
            .collect()
    }

    /// Symptom: a run ended with "concat requires input of at least one array". Cause: of a column
    /// whose cells no record of a group supplies, nothing is gathered, and no dictionary was there to be joined.
    #[test]
    fn no_rows_are_an_empty_array_of_the_type() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let packed =
            cast(&texts, &DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())).unwrap();
        for array in [&texts, &packed] {
            let found = gather(&[Some(array), None], &Pieces::default()).unwrap();
            assert_eq!((found.len(), found.data_type()), (0, array.data_type()));
        }
    }

    fn check(random: &mut Prng, make: impl Fn(&mut Prng, usize, bool) -> ArrayRef) {
        for _ in 0..20 {
            let arrays = some(random, &make);
            let mut pieces = Pieces::default();
            let mut indices = Vec::new();
            while indices.len() < 300 {
                let array = random.index(arrays.len());
                let start = random.index(arrays[array].len());
                let len = 1 + random.index((arrays[array].len() - start).min(30));
                for row in start..start + len {
                    pieces.push(array as u32, row as u32);
                    indices.push((array, row));
                }
            }
            let named: Vec<Option<&ArrayRef>> = arrays.iter().map(Some).collect();
            let gathered = gather(&named, &pieces).unwrap();
            let all: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
            let expected = interleave(&all, &indices).unwrap();
            let plain = |array: &ArrayRef| match array.data_type() {
                DataType::Dictionary(_, values) => cast(array, values).unwrap(),
                _ => Arc::clone(array),
            };
            assert_eq!(plain(&gathered).to_data(), plain(&expected).to_data());
        }
    }

    fn absent(random: &mut Prng, nullable: bool) -> bool {
        nullable && random.below(4) == 0
    }

    #[test]
    fn gathers_what_interleaving_gives() {
        let mut random = Prng::new(7);
        let text = |r: &mut Prng, n: usize, nulls: bool| -> StringArray {
            (0..n).map(|_| (!absent(r, nulls)).then(|| format!("ä{}", r.below(12)))).collect()
        };
        check(&mut random, |r, n, nulls| Arc::new(text(r, n, nulls)));
        check(&mut random, |r, n, nulls| {
            let to = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            cast(&text(r, n, nulls), &to).unwrap()
        });
        check(&mut random, |r, n, nulls| cast(&text(r, n, nulls), &DataType::LargeBinary).unwrap());
        check(&mut random, |r, n, nulls| {
            Arc::new((0..n).map(|_| (!absent(r, nulls)).then(|| r.next() as i64)).collect::<Int64Array>())
        });
        check(&mut random, |r, n, nulls| {
            let cells = (0..n).map(|_| (!absent(r, nulls)).then(|| i128::from(r.next()) << 20));
            Arc::new(cells.collect::<Decimal128Array>())
        });
        check(&mut random, |r, n, nulls| {
            Arc::new((0..n).map(|_| (!absent(r, nulls)).then(|| r.below(2) == 0)).collect::<BooleanArray>())
        });
        check(&mut random, |r, n, nulls| {
            let cells = (0..n).map(|_| (!absent(r, nulls)).then(|| r.next().to_le_bytes().to_vec()));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(cells, 8).unwrap())
        });
        check(&mut random, |r, n, nulls| {
            let cells = (0..n).map(|_| (!absent(r, nulls)).then(|| vec![Some(r.next() as i32)]));
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(cells))
        });
    }

    #[test]
    fn a_row_of_an_array_that_is_not_there_is_an_error() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let mut pieces = Pieces::default();
        pieces.push(1, 0);
        assert!(gather(&[Some(&array), None], &pieces).is_err());
    }
}

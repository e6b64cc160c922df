//! Columns put together from [`Pieces`]: kept runs are copied in one go, supplied cells written over them.
//!
//! Layouts that have no path of their own here go through Arrow's general kernel.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, DictionaryArray,
    GenericByteArray, PrimitiveArray, StringArray, make_array, new_empty_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{
    ArrowNativeType, ByteArrayType, DataType, GenericBinaryType, GenericStringType, Int32Type, i256,
};
use arrow::error::ArrowError;

use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::pieces::{Pieces, Supplied};

/// A column that is still in parts.
#[derive(Debug)]
pub struct Assembly {
    /// The arrays, all of one type; `None` stands for one that no piece names.
    pub arrays: Vec<Option<ArrayRef>>,
    /// Which row of which array each cell is.
    pub pieces: Arc<Pieces>,
}

impl Assembly {
    /// # Errors
    /// As [`Gathering::new`].
    pub fn gathering(&self) -> Result<Gathering<'_>, ArrowError> {
        Gathering::new(self.arrays.iter().map(Option::as_ref).collect(), &self.pieces)
    }
}

/// Cells of a column by the arrays that they come from.
///
/// All arrays have one type; `None` stands for an array that no piece names.
#[derive(Debug)]
pub struct Gathering<'a> {
    arrays: Vec<Option<&'a ArrayRef>>,
    pieces: &'a Pieces,
    data_type: &'a DataType,
}

impl<'a> Gathering<'a> {
    /// # Errors
    /// A piece names an array that is not there, no array is, or they differ in type.
    pub fn new(arrays: Vec<Option<&'a ArrayRef>>, pieces: &'a Pieces) -> Result<Self, ArrowError> {
        let Some(first) = arrays.iter().copied().flatten().next() else {
            return Err(ArrowError::InvalidArgumentError("nothing to gather from".to_owned()));
        };
        let data_type = first.data_type();
        let named = pieces.named(arrays.len());
        if named.iter().zip(&arrays).any(|(named, array)| *named && array.is_none()) {
            return Err(ArrowError::InvalidArgumentError("a row of an array that is not there".to_owned()));
        }
        if arrays.iter().flatten().any(|array| array.data_type() != data_type) {
            return Err(ArrowError::InvalidArgumentError(format!("arrays of other types than {data_type}")));
        }
        Ok(Self { arrays, pieces, data_type })
    }

    /// The type of the cells.
    pub fn data_type(&self) -> &'a DataType {
        self.data_type
    }

    /// How many cells.
    pub fn rows(&self) -> usize {
        self.pieces.rows()
    }

    /// Where the cells come from.
    pub fn pieces(&self) -> &'a Pieces {
        self.pieces
    }

    /// The arrays as text or bytes, if they are.
    pub fn bytes<T: ByteArrayType>(&self) -> Vec<Option<&'a GenericByteArray<T>>> {
        self.arrays.iter().map(|array| array.and_then(|a| a.as_bytes_opt::<T>())).collect()
    }

    /// The cells as an array.
    ///
    /// # Errors
    /// Text of one column does not fit the offsets of its type.
    pub fn array(&self) -> Result<ArrayRef, ArrowError> {
        if self.rows() == 0 {
            return Ok(new_empty_array(self.data_type));
        }
        match self.data_type {
            DataType::Boolean => Ok(self.booleans()),
            DataType::Utf8 => self.byte_strings::<GenericStringType<i32>>(),
            DataType::LargeUtf8 => self.byte_strings::<GenericStringType<i64>>(),
            DataType::Binary => self.byte_strings::<GenericBinaryType<i32>>(),
            DataType::LargeBinary => self.byte_strings::<GenericBinaryType<i64>>(),
            DataType::Dictionary(key, _) if **key == DataType::Int32 => self.dictionaries(),
            fixed => match fixed.primitive_width() {
                Some(1) => self.numbers::<i8>(),
                Some(2) => self.numbers::<i16>(),
                Some(4) => self.numbers::<i32>(),
                Some(8) => self.numbers::<i64>(),
                Some(16) => self.numbers::<i128>(),
                Some(32) => self.numbers::<i256>(),
                _ => self.cell_by_cell(),
            },
        }
    }

    /// Whether every supplied cell equals the one of array 0 that it stands over.
    ///
    /// The rows of array 0 must stand where they stand in the output.
    ///
    /// # Errors
    /// As [`Gathering::array`].
    pub fn is_array_0(&self) -> Result<bool, ArrowError> {
        let Some(Some(own)) = self.arrays.first() else { return Ok(false) };
        if self.pieces.rows() != own.len() {
            return Ok(false);
        }
        if self.arrays.iter().flatten().any(|array| array.null_count() > 0) && !self.same_nulls(own) {
            return Ok(false);
        }
        Ok(match self.data_type {
            DataType::Boolean => {
                let of: Vec<Option<&BooleanArray>> = self.all(|a| a.as_boolean());
                self.same(
                    own,
                    |s, array| of[array].is_some_and(|a| a.value(s.row as usize)),
                    |at| own.as_boolean().value(at),
                )
            }
            DataType::Utf8 => self.same_bytes::<GenericStringType<i32>>(own),
            DataType::LargeUtf8 => self.same_bytes::<GenericStringType<i64>>(own),
            DataType::Binary => self.same_bytes::<GenericBinaryType<i32>>(own),
            DataType::LargeBinary => self.same_bytes::<GenericBinaryType<i64>>(own),
            DataType::Dictionary(key, _) if **key == DataType::Int32 => return self.same_entries(own),
            fixed => match fixed.primitive_width() {
                Some(1) => self.same_numbers::<i8>(),
                Some(2) => self.same_numbers::<i16>(),
                Some(4) => self.same_numbers::<i32>(),
                Some(8) => self.same_numbers::<i64>(),
                Some(16) => self.same_numbers::<i128>(),
                Some(32) => self.same_numbers::<i256>(),
                _ => return Ok(self.cell_by_cell()?.to_data() == own.to_data()),
            },
        })
    }

    fn all<T>(&self, of: impl Fn(&'a ArrayRef) -> T) -> Vec<Option<T>> {
        self.arrays.iter().map(|array| array.map(&of)).collect()
    }

    /// Whether supplied cells equal those beneath, null cells aside.
    fn same<V: PartialEq>(
        &self,
        own: &ArrayRef,
        supplied: impl Fn(&Supplied, usize) -> V,
        beneath: impl Fn(usize) -> V,
    ) -> bool {
        let nulls = own.nulls().filter(|nulls| nulls.null_count() > 0);
        let cells = self.pieces.supplied();
        cells.iter().all(|cell| {
            nulls.is_some_and(|nulls| nulls.is_null(cell.at as usize))
                || supplied(cell, cell.array as usize) == beneath(cell.at as usize)
        })
    }

    fn same_nulls(&self, own: &ArrayRef) -> bool {
        let of = self.all(|a| a.nulls());
        let is_null =
            |array: usize, row: u32| of[array].flatten().is_some_and(|nulls| nulls.is_null(row as usize));
        let own = own.nulls();
        let beneath = |at: u32| own.is_some_and(|nulls| nulls.is_null(at as usize));
        self.pieces.supplied().iter().all(|c| is_null(c.array as usize, c.row) == beneath(c.at))
    }

    fn same_numbers<T: ArrowNativeType>(&self) -> bool {
        let data: Vec<Option<ArrayData>> = self.all(|a| a.to_data());
        let cells = native::<T>(&data);
        let (Some(own), Some(Some(array))) = (cells.first(), self.arrays.first()) else { return false };
        self.same(array, |s, array| cells[array][s.row as usize], |at| own[at])
    }

    fn same_bytes<T: ByteArrayType>(&self, own: &ArrayRef) -> bool {
        let of = self.bytes::<T>();
        let beneath = own.as_bytes::<T>();
        let value = |array: &'a GenericByteArray<T>, row: usize| -> &'a [u8] { array.value(row).as_ref() };
        let nothing: &[u8] = &[];
        let supplied = |s: &Supplied, array: usize| of[array].map_or(nothing, |a| value(a, s.row as usize));
        self.same(own, supplied, |at| beneath.value(at).as_ref())
    }

    /// Dictionaries by the texts of their entries.
    fn same_entries(&self, own: &ArrayRef) -> Result<bool, ArrowError> {
        let of: Vec<Option<&DictionaryArray<Int32Type>>> = self.all(|a| a.as_dictionary::<Int32Type>());
        let entries: Vec<&dyn Array> = of.iter().flatten().map(|d| d.values().as_ref()).collect();
        // Small groups take single cells from many dictionaries.
        if entries.iter().map(|entries| entries.len()).sum::<usize>() > self.pieces.supplied().len()
            && let Some(same) = self.same_texts(own, &of)
        {
            return Ok(same);
        }
        let bases = bases(&of);
        // Equal entries get one number, so that cells are compared as numbers.
        let Some(numbers) = numbered(&concat(&entries)?) else {
            return Ok(self.cell_by_cell()?.to_data() == own.to_data());
        };
        let number = |(keys, base): &(&[i32], i32), row: usize| numbers[(keys[row] + base) as usize];
        let keys =
            |d: &Option<&'a DictionaryArray<Int32Type>>| d.map_or(&[] as &[i32], |d| d.keys().values());
        let of: Vec<(&[i32], i32)> = of.iter().map(keys).zip(bases).collect();
        Ok(self.same(own, |s, array| number(&of[array], s.row as usize), |at| number(&of[0], at)))
    }

    /// Dictionaries of texts cell by cell; `None` if they are of something else.
    fn same_texts(&self, own: &ArrayRef, of: &[Option<&DictionaryArray<Int32Type>>]) -> Option<bool> {
        let texts = |d: &DictionaryArray<Int32Type>| {
            d.values().as_string_opt::<i32>().filter(|texts| texts.null_count() == 0).cloned()
        };
        let of =
            of.iter().map(|d| d.map_or(Some(None), |d| Some(Some((d.keys().values().clone(), texts(d)?)))));
        let of: Vec<Option<(ScalarBuffer<i32>, StringArray)>> = of.collect::<Option<_>>()?;
        let text = |array: usize, row: usize| {
            of[array].as_ref().map_or("", |(keys, texts)| texts.value(keys[row] as usize))
        };
        Some(self.same(own, |s, array| text(array, s.row as usize), |at| text(0, at)))
    }

    /// The general kernel of Arrow, for layouts without a path here.
    fn cell_by_cell(&self) -> Result<ArrayRef, ArrowError> {
        let mut places = vec![0; self.arrays.len()];
        let mut named: Vec<&dyn Array> = Vec::new();
        for (place, array) in places.iter_mut().zip(&self.arrays) {
            *place = named.len();
            named.extend(array.iter().map(|array| array.as_ref() as &dyn Array));
        }
        let mut indices: Vec<(usize, usize)> = Vec::with_capacity(self.rows());
        for run in self.pieces.in_order() {
            let array = places[run.array as usize];
            indices.extend((run.from..run.from + run.len).map(|row| (array, row as usize)));
        }
        interleave(&named, &indices)
    }

    /// The nulls of the cells; `None` if there are none.
    pub fn nulls(&self) -> Option<NullBuffer> {
        let of = self.all(|a| a.nulls().filter(|nulls| nulls.null_count() > 0));
        if of.iter().all(|nulls| nulls.flatten().is_none()) {
            return None;
        }
        let mut valid = BooleanBufferBuilder::new(self.rows());
        let own = of.first().copied().flatten().flatten();
        for run in self.pieces.kept() {
            valid.append_n(run.at as usize - valid.len(), true);
            match own {
                None => valid.append_n(run.len as usize, true),
                Some(nulls) => {
                    valid.append_buffer(&nulls.inner().slice(run.from as usize, run.len as usize));
                }
            }
        }
        valid.append_n(self.rows() - valid.len(), true);
        for cell in self.pieces.supplied() {
            let nulls = of[cell.array as usize].flatten();
            valid.set_bit(cell.at as usize, nulls.is_none_or(|nulls| nulls.is_valid(cell.row as usize)));
        }
        Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0)
    }

    fn numbers<T: ArrowNativeType>(&self) -> Result<ArrayRef, ArrowError> {
        let data: Vec<Option<ArrayData>> = self.all(|a| a.to_data());
        let out = self.spread(&native::<T>(&data), |_, cell| cell);
        let built = ArrayData::builder(self.data_type.clone())
            .len(self.rows())
            .add_buffer(Buffer::from_vec(out))
            .nulls(self.nulls())
            .build()?;
        Ok(make_array(built))
    }

    /// Cells of fixed width: kept runs, then the supplied ones, each told its array.
    fn spread<T: Copy + Default>(&self, cells: &[&[T]], of: impl Fn(usize, T) -> T) -> Vec<T> {
        let mut out = Vec::with_capacity(self.rows());
        let own = cells.first().copied().unwrap_or_default();
        for run in self.pieces.kept() {
            out.resize(run.at as usize, T::default());
            out.extend_from_slice(&own[run.from as usize..(run.from + run.len) as usize]);
        }
        out.resize(self.rows(), T::default());
        for cell in self.pieces.supplied() {
            out[cell.at as usize] = of(cell.array as usize, cells[cell.array as usize][cell.row as usize]);
        }
        out
    }

    fn booleans(&self) -> ArrayRef {
        let of: Vec<Option<&BooleanArray>> = self.all(|a| a.as_boolean());
        let mut out = BooleanBufferBuilder::new(self.rows());
        for run in self.pieces.kept() {
            out.append_n(run.at as usize - out.len(), false);
            if let Some(Some(own)) = of.first() {
                out.append_buffer(&own.values().slice(run.from as usize, run.len as usize));
            }
        }
        out.append_n(self.rows() - out.len(), false);
        for cell in self.pieces.supplied() {
            let from = of[cell.array as usize];
            out.set_bit(cell.at as usize, from.is_some_and(|from| from.value(cell.row as usize)));
        }
        Arc::new(BooleanArray::new(out.finish(), self.nulls()))
    }

    fn byte_strings<T: ByteArrayType>(&self) -> Result<ArrayRef, ArrowError> {
        let of = self.bytes::<T>();
        let mut offsets: Vec<T::Offset> = Vec::with_capacity(self.rows() + 1);
        offsets.push(T::Offset::default());
        let mut last = T::Offset::default();
        let mut values: Vec<u8> = Vec::with_capacity(self.rows() * usual_length(&of));
        for run in self.pieces.in_order() {
            let Some(from) = of[run.array as usize] else { continue };
            let (start, end) = (run.from as usize, (run.from + run.len) as usize);
            let own = &from.value_offsets()[start..=end];
            let (base, upto) = (own[0], own[own.len() - 1]);
            values.extend_from_slice(&from.value_data()[base.as_usize()..upto.as_usize()]);
            let next =
                T::Offset::from_usize(values.len()).ok_or(ArrowError::OffsetOverflowError(values.len()))?;
            offsets.extend(own[1..].iter().map(|&offset| last + (offset - base)));
            last = next;
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let array = GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(values), self.nulls())?;
        Ok(Arc::new(array))
    }

    /// Dictionaries are put one behind the other; entries are not compared. Where that would be more
    /// entries than rows, the cells are gathered as values.
    fn dictionaries(&self) -> Result<ArrayRef, ArrowError> {
        let named = self.pieces.named(self.arrays.len());
        let of = |number: usize| {
            self.arrays[number].filter(|_| named[number]).map(|a| a.as_dictionary::<Int32Type>())
        };
        let of: Vec<Option<&DictionaryArray<Int32Type>>> = (0..self.arrays.len()).map(of).collect();
        let entries: usize = of.iter().flatten().map(|d| d.values().len()).sum();
        if entries > self.rows().max(1) {
            return self.as_values(&of);
        }
        let bases = bases(&of);
        let values: Vec<&dyn Array> = of.iter().flatten().map(|d| d.values().as_ref()).collect();
        let keys: Vec<&[i32]> =
            of.iter().map(|d| d.map_or(&[] as &[i32], |d| d.keys().values().as_ref())).collect();
        // Array 0 has base 0, so that kept runs are copied as they are.
        let keys = self.spread(&keys, |array, key| key.wrapping_add(bases[array]));
        let values = if let [one] = values.as_slice() { one.slice(0, one.len()) } else { concat(&values)? };
        let keys = PrimitiveArray::<Int32Type>::new(keys.into(), self.nulls());
        Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
    }

    fn as_values(&self, of: &[Option<&DictionaryArray<Int32Type>>]) -> Result<ArrayRef, ArrowError> {
        let value_type = |d: &&DictionaryArray<Int32Type>| d.values().data_type().clone();
        let plain: Vec<Option<ArrayRef>> = of
            .iter()
            .map(|d| d.as_ref().map(|d| arrow::compute::cast(*d, &value_type(d))).transpose())
            .collect::<Result<_, _>>()?;
        Gathering::new(plain.iter().map(Option::as_ref).collect(), self.pieces)?.array()
    }
}

/// The cells of arrays of fixed width; none of those that are not there.
fn native<T: ArrowNativeType>(data: &[Option<ArrayData>]) -> Vec<&[T]> {
    data.iter()
        .map(|data| match data {
            Some(data) => &data.buffers()[0].typed_data::<T>()[data.offset()..],
            None => &[],
        })
        .collect()
}

/// The mean length of a value in the first of some arrays, rounded up.
fn usual_length<T: ByteArrayType>(of: &[Option<&GenericByteArray<T>>]) -> usize {
    let Some(first) = of.iter().flatten().find(|array| !array.is_empty()) else { return 0 };
    let (offsets, rows) = (first.value_offsets(), first.len());
    (offsets[rows].as_usize() - offsets[0].as_usize()) / rows + 1
}

/// Where the entries of each dictionary begin when they are put one behind the other.
fn bases(of: &[Option<&DictionaryArray<Int32Type>>]) -> Vec<i32> {
    let mut next = 0;
    let mut base = |entries: usize| {
        next += entries as i32;
        next - entries as i32
    };
    of.iter().map(|d| base(d.map_or(0, |d| d.values().len()))).collect()
}

/// A number per entry, the same for equal ones; `None` if entries are neither text nor bytes.
fn numbered(entries: &ArrayRef) -> Option<Vec<u32>> {
    let texts: Vec<Option<&[u8]>> = match entries.data_type() {
        DataType::Utf8 => entries.as_string::<i32>().iter().map(|entry| entry.map(str::as_bytes)).collect(),
        DataType::Binary => entries.as_binary::<i32>().iter().collect(),
        _ => return None,
    };
    let mut known = HashMap::with_capacity_and_hasher(texts.len(), Xxh3DefaultBuilder);
    let mut numbers = Vec::with_capacity(texts.len());
    for text in texts {
        let next = known.len() as u32;
        numbers.push(*known.entry(text).or_insert(next));
    }
    Some(numbers)
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
            let none = Pieces::default();
            let found = Gathering::new(vec![Some(array), None], &none).unwrap().array().unwrap();
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
                    pieces.supply(array as u32, row as u32);
                    indices.push((array, row));
                }
            }
            let named: Vec<Option<&ArrayRef>> = arrays.iter().map(Some).collect();
            let gathered = Gathering::new(named, &pieces).unwrap().array().unwrap();
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
    fn a_row_of_an_array_that_is_not_there_or_of_another_type_is_an_error() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let mut pieces = Pieces::default();
        pieces.supply(1, 0);
        assert!(Gathering::new(vec![Some(&array), None], &pieces).is_err());
        let text: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
        assert!(Gathering::new(vec![Some(&array), Some(&text)], &pieces).is_err());
    }

    /// Cells of array 1 over rows of array 0, which it repeats but for `differing`.
    fn repeats(own: &ArrayRef, differing: Option<&ArrayRef>) -> bool {
        let mut pieces = Pieces::default();
        for row in 0..own.len() as u32 {
            pieces.supply(u32::from(row % 3 == 1), row);
        }
        let other = differing.unwrap_or(own);
        let whole = Gathering::new(vec![Some(own), Some(other)], &pieces).unwrap().is_array_0().unwrap();
        let (rows, alone) = pieces.singled_out();
        let own = arrow::compute::take(own.as_ref(), &arrow::array::UInt32Array::from(rows), None).unwrap();
        let alone = Gathering::new(vec![Some(&own), Some(other)], &alone).unwrap().is_array_0().unwrap();
        assert_eq!(whole, alone, "of the rows that cells are supplied for");
        whole
    }

    #[test]
    fn what_repeats_the_rows_beneath_is_told_from_what_does_not() {
        let texts: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), Some("b"), None, Some("b"), None, Some("")]));
        let to = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let kinds = [texts.data_type().clone(), DataType::LargeBinary, to];
        let numbers: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4), None, Some(0)]));
        let booleans: ArrayRef = cast(&numbers, &DataType::Boolean).unwrap();
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
            (0..6).map(|n| (n != 4).then(|| vec![Some(n)])),
        ));
        let mut arrays: Vec<ArrayRef> = kinds.iter().map(|kind| cast(&texts, kind).unwrap()).collect();
        arrays.extend([cast(&numbers, &DataType::Decimal128(20, 2)).unwrap(), numbers, booleans, lists]);
        for own in arrays {
            assert!(repeats(&own, None), "{own:?}");
            // Row 1 becomes another value, then row 4 one where there was none.
            for take in [[0, 5, 2, 3, 4, 5], [0, 1, 2, 3, 1, 5]] {
                let indices = arrow::array::UInt32Array::from(take.to_vec());
                let other = arrow::compute::take(own.as_ref(), &indices, None).unwrap();
                assert!(!repeats(&own, Some(&other)), "{own:?} {other:?}");
            }
        }
    }

    #[test]
    fn dictionaries_of_fewer_entries_than_cells_are_told_apart_too() {
        let to = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let of = |changed: usize| -> ArrayRef {
            let text = |row: usize| if row == changed { "other" } else { ["a", "b", ""][row % 3] };
            let texts: StringArray = (0..90).map(|row| (row % 7 > 0).then(|| text(row))).collect();
            cast(&texts, &to).unwrap()
        };
        let own = of(usize::MAX);
        assert!(repeats(&own, None));
        // Of rows 1, 4, 7 and so on single cells are supplied; row 7 is null.
        for (changed, is_same) in [(1, false), (7, true), (8, true), (88, false)] {
            assert_eq!(repeats(&own, Some(&of(changed))), is_same, "{changed}");
        }
    }
}

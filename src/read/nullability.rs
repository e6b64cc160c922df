//! Which parts of nested columns may be null, where files of one table say it differently.
//!
//! Writers mark a list's items or a struct's fields as never null by what they
//! happen to know of one file, so files of one table differ in it and are of one
//! type all the same.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

/// A field of the first's type where everything may be null that may be null in either.
pub(crate) fn union(a: &FieldRef, b: &FieldRef) -> FieldRef {
    merge(a, b, &|a, b| a || b)
}

/// A field of the first's type where everything may be null that may be null in the second.
pub(crate) fn as_in(a: &FieldRef, b: &FieldRef) -> FieldRef {
    merge(a, b, &|_, b| b)
}

fn merge(a: &FieldRef, b: &FieldRef, nullable: &impl Fn(bool, bool) -> bool) -> FieldRef {
    use DataType as D;
    let of = |a: &FieldRef, b: &FieldRef| merge(a, b, nullable);
    let data_type = match (a.data_type(), b.data_type()) {
        (D::List(x), D::List(y) | D::LargeList(y)) => D::List(of(x, y)),
        (D::LargeList(x), D::List(y) | D::LargeList(y)) => D::LargeList(of(x, y)),
        (D::FixedSizeList(x, n), D::FixedSizeList(y, _)) => D::FixedSizeList(of(x, y), *n),
        (D::Map(x, sorted), D::Map(y, _)) => D::Map(of(x, y), *sorted),
        (D::Struct(x), D::Struct(y)) if x.len() == y.len() => {
            D::Struct(x.iter().zip(y).map(|(x, y)| of(x, y)).collect())
        }
        (own, _) => own.clone(),
    };
    let nullable = nullable(a.is_nullable(), b.is_nullable());
    if data_type == *a.data_type() && nullable == a.is_nullable() {
        return Arc::clone(a);
    }
    Arc::new(Field::clone(a).with_data_type(data_type).with_nullable(nullable))
}

/// The same values under a type that differs in nested nullability alone.
///
/// # Errors
/// The types differ in more.
pub(crate) fn relabelled(array: ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == data_type {
        return Ok(array);
    }
    relabel(array.to_data(), data_type).map(make_array)
}

fn relabel(data: ArrayData, to: &DataType) -> Result<ArrayData, ArrowError> {
    use DataType as D;
    let children: Vec<&DataType> = match to {
        D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) | D::Map(item, _) => {
            vec![item.data_type()]
        }
        D::Struct(fields) => fields.iter().map(|f| f.data_type()).collect(),
        _ => return Ok(data),
    };
    let parts = data.child_data().iter().cloned().zip(children);
    let children = parts.map(|(part, to)| relabel(part, to)).collect::<Result<_, _>>()?;
    data.into_builder().data_type(to.clone()).child_data(children).build()
}

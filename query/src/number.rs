//! `number_in(text, 'took {} ms')`: the number that stands in a text where `{}` is; null if there is none.
//!
//! Compared with a literal it is a question to the store, which answers it from the columns of log templates.

use std::ops::Bound;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use siltstone_store::text::TextPattern;
use siltstone_store::text::number::{NumberPattern, NumberPlace};

use crate::error::external;

/// Name of the function.
pub(crate) const NAME: &str = "number_in";

/// The function.
pub(crate) fn function() -> ScalarUDF {
    ScalarUDF::from(NumberIn {
        signature: Signature::any(2, Volatility::Immutable),
    })
}

/// What a text has if its number compares with `number` like this; more than one where any of them will do.
pub(crate) fn patterns(words: &str, op: Operator, number: f64) -> Option<Vec<TextPattern>> {
    use Bound::{Excluded, Included, Unbounded};
    if number.is_nan() {
        return None;
    }
    let bounds = match op {
        Operator::Gt => vec![(Excluded(number), Unbounded)],
        Operator::GtEq => vec![(Included(number), Unbounded)],
        Operator::Lt => vec![(Unbounded, Excluded(number))],
        Operator::LtEq => vec![(Unbounded, Included(number))],
        Operator::Eq => vec![(Included(number), Included(number))],
        Operator::NotEq => vec![(Unbounded, Excluded(number)), (Excluded(number), Unbounded)],
        _ => return None,
    };
    let place = NumberPlace::parse(words).ok()?;
    let pattern = |(low, high)| TextPattern::Number(NumberPattern::new(place.clone(), low, high));
    Some(bounds.into_iter().map(pattern).collect())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NumberIn {
    signature: Signature,
}

impl ScalarUDFImpl for NumberIn {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let is_text = |ty: &DataType| ty.is_string() || ty.is_binary() || ty.is_null();
        match arguments {
            [text, words] if is_text(text) && (words.is_string() || words.is_null()) => Ok(DataType::Float64),
            _ => plan_err!("{NAME} takes a text and words around one {{}}: {NAME}(message, 'took {{}} ms')"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, ColumnarValue::Scalar(words)] = arguments.args.as_slice() else {
            return exec_err!("the words of {NAME} are a literal");
        };
        let place = match words.try_as_str() {
            Some(Some(words)) => NumberPlace::parse(words).map_err(external)?,
            _ => return Ok(ColumnarValue::Scalar(ScalarValue::Float64(None))),
        };
        let text = text.to_array(arguments.number_rows)?;
        let number = |bytes: Option<&[u8]>| place.number(bytes?);
        let numbers: Float64Array = match text.data_type() {
            DataType::Utf8 => strings(text.as_string::<i32>().iter(), number),
            DataType::LargeUtf8 => strings(text.as_string::<i64>().iter(), number),
            DataType::Utf8View => strings(text.as_string_view().iter(), number),
            DataType::Binary => text.as_binary::<i32>().iter().map(number).collect(),
            DataType::LargeBinary => text.as_binary::<i64>().iter().map(number).collect(),
            DataType::BinaryView => text.as_binary_view().iter().map(number).collect(),
            _ => Float64Array::new_null(text.len()),
        };
        Ok(ColumnarValue::Array(Arc::new(numbers) as ArrayRef))
    }
}

fn strings<'a>(
    texts: impl Iterator<Item = Option<&'a str>>,
    number: impl Fn(Option<&[u8]>) -> Option<f64>,
) -> Float64Array {
    texts.map(|text| number(text.map(str::as_bytes))).collect()
}

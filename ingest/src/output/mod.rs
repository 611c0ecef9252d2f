//! Rows as text: a table for people, CSV or JSON lines for programs.
//!
//! Times are RFC 3339 in UTC. Floats are written with as few digits as give the same float back. In CSV a null is an
//! empty field and an empty text is `""`; bytes are hexadecimal. In JSON a float that is no number is the string `"NaN"`,
//! `"inf"` or `"-inf"`.

use std::io::Write;

use siltstone_store::batch::{Batch, BatchColumn};
use siltstone_store::schema::{ColumnType, Schema};
use siltstone_store::value::Value;

use crate::clock::write_time;
use crate::failure::Outcome;

pub mod table;

use table::{Align, Table};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RowFormat {
    /// Columns that line up, for reading
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON object a line
    Jsonl,
}

/// Rows that a table looks at before it fixes its widths.
const TABLE_ROWS: usize = 1_000;
/// Characters of the widest cell of a table.
const CELL_WIDTH: usize = 120;

/// Prints batches of one shape.
#[derive(Debug)]
pub struct RowWriter<W: Write> {
    out: W,
    format: RowFormat,
    header_written: bool,
    names: Vec<String>,
    types: Vec<ColumnType>,
    table: Option<Table>,
    line: String,
}

impl<W: Write> RowWriter<W> {
    /// A writer of rows of shape `schema` (the time first, then its columns) to `out`.
    pub fn new(out: W, format: RowFormat, schema: &Schema) -> Self {
        let time = ColumnType::Timestamp(schema.time_unit());
        let mut names = vec![schema.time_name().to_owned()];
        names.extend(schema.columns().iter().map(|column| column.name.clone()));
        let types: Vec<ColumnType> = std::iter::once(time)
            .chain(schema.columns().iter().map(|c| c.ty))
            .collect();
        RowWriter {
            out,
            format,
            header_written: false,
            names,
            types,
            table: None,
            line: String::new(),
        }
    }

    /// Prints the first `limit` rows of `batch`.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn write(&mut self, batch: &Batch, limit: usize) -> Outcome<()> {
        self.write_header()?;
        for row in 0..batch.len().min(limit) {
            match self.format {
                RowFormat::Table => self.table_row(batch, row)?,
                RowFormat::Csv => self.csv_row(batch, row),
                RowFormat::Jsonl => self.jsonl_row(batch, row),
            }
            if self.line.len() > 64 << 10 {
                self.flush_line()?;
            }
        }
        self.flush_line()
    }

    /// Prints what is still held back.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn finish(mut self) -> Outcome<()> {
        self.write_header()?;
        if let Some(mut table) = self.table.take() {
            table.write_to(&mut self.out)?;
        }
        self.flush_line()?;
        Ok(self.out.flush()?)
    }

    fn flush_line(&mut self) -> Outcome<()> {
        self.out.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }

    fn write_header(&mut self) -> Outcome<()> {
        if std::mem::replace(&mut self.header_written, true) {
            return Ok(());
        }
        match self.format {
            RowFormat::Table => {
                let columns = self.names.iter().zip(&self.types);
                self.table = Some(Table::new(
                    columns.map(|(name, ty)| (name.clone(), Align::of(*ty))),
                ));
            }
            RowFormat::Csv => {
                for (index, name) in self.names.iter().enumerate() {
                    if index > 0 {
                        self.line.push(',');
                    }
                    push_csv_text(&mut self.line, name);
                }
                self.line.push('\n');
            }
            RowFormat::Jsonl => {}
        }
        Ok(())
    }

    fn table_row(&mut self, batch: &Batch, row: usize) -> Outcome<()> {
        let Some(table) = &mut self.table else {
            return Ok(());
        };
        let mut cells = Vec::with_capacity(self.types.len());
        for (index, ty) in self.types.iter().enumerate() {
            let mut cell = String::new();
            push_value(&mut cell, *ty, &value(batch, index, *ty, row));
            if cell.chars().nth(CELL_WIDTH).is_some() {
                cell = cell.chars().take(CELL_WIDTH - 3).chain("...".chars()).collect();
            }
            cells.push(cell);
        }
        table.push(cells);
        if table.rows() >= TABLE_ROWS {
            table.write_to(&mut self.out)?;
        }
        Ok(())
    }

    fn csv_row(&mut self, batch: &Batch, row: usize) {
        for (index, ty) in self.types.iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            match value(batch, index, *ty, row) {
                Value::Text(text) => push_csv_text(&mut self.line, &text),
                other => push_value(&mut self.line, *ty, &other),
            }
        }
        self.line.push('\n');
    }

    fn jsonl_row(&mut self, batch: &Batch, row: usize) {
        self.line.push('{');
        for (index, (name, ty)) in self.names.iter().zip(&self.types).enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            push_json_text(&mut self.line, name);
            self.line.push(':');
            let value = value(batch, index, *ty, row);
            match &value {
                Value::Null => self.line.push_str("null"),
                Value::Text(text) => push_json_text(&mut self.line, text),
                Value::F32(v) if v.is_finite() => push_value(&mut self.line, *ty, &value),
                Value::F64(v) if v.is_finite() => push_value(&mut self.line, *ty, &value),
                Value::Bool(_) | Value::I64(_) | Value::U64(_) => push_value(&mut self.line, *ty, &value),
                _ => {
                    self.line.push('"');
                    push_value(&mut self.line, *ty, &value);
                    self.line.push('"');
                }
            }
        }
        self.line.push_str("}\n");
    }
}

fn value(batch: &Batch, index: usize, ty: ColumnType, row: usize) -> Value {
    match index.checked_sub(1) {
        None => batch
            .times
            .get(row)
            .map_or(Value::Null, |&time| Value::Timestamp(time)),
        Some(column) => batch
            .columns
            .get(column)
            .map_or(Value::Null, |c: &BatchColumn| c.value(ty, row)),
    }
}

/// Appends a value of type `ty` as plain text; nothing for null.
pub fn push_value(out: &mut String, ty: ColumnType, value: &Value) {
    use std::fmt::Write as _;
    // Writing to a string cannot fail.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Bool(v) => write!(out, "{v}"),
        Value::I64(v) => write!(out, "{v}"),
        Value::U64(v) => write!(out, "{v}"),
        // The debug form is the shortest that reads back, with an exponent where that is shorter.
        Value::F32(v) => write!(out, "{v:?}"),
        Value::F64(v) => write!(out, "{v:?}"),
        Value::Timestamp(v) => match ty {
            ColumnType::Timestamp(unit) => {
                write_time(*v, unit, out);
                Ok(())
            }
            _ => write!(out, "{v}"),
        },
        Value::Text(text) => write!(out, "{text}"),
        Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
    };
}

fn push_csv_text(out: &mut String, text: &str) {
    if !text.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        out.push_str(text);
        return;
    }
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

fn push_json_text(out: &mut String, text: &str) {
    // A string always serializes.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use siltstone_store::schema::TimeUnit;
    use std::sync::Arc;

    #[test]
    fn three_forms_of_the_same_rows() {
        let schema = Schema::new("ts", TimeUnit::Millisecond)
            .with_key("node", ColumnType::Text)
            .and_then(|s| s.with_channel("x", ColumnType::F64, ""))
            .and_then(|s| s.with_channel("on", ColumnType::Bool, ""));
        let mut batch = Batch::new(Arc::new(schema.unwrap()));
        let text = |t: &str| Value::Text(t.to_owned());
        batch
            .push_row(0, &[text("a,\"b"), Value::F64(0.1), Value::Null])
            .unwrap();
        batch
            .push_row(1500, &[text(""), Value::F64(f64::NAN), Value::Bool(true)])
            .unwrap();
        batch
            .push_row(-1, &[Value::Null, Value::F64(-1e300), Value::Bool(false)])
            .unwrap();
        let print = |format| {
            let mut out = Vec::new();
            let mut writer = RowWriter::new(&mut out, format, batch.schema());
            writer.write(&batch, 10).unwrap();
            writer.finish().unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            print(RowFormat::Csv),
            "ts,node,x,on\n1970-01-01T00:00:00Z,\"a,\"\"b\",0.1,\n1970-01-01T00:00:01.500Z,\"\",NaN,true\n1969-12-31T23:59:59.999Z,,-1e300,false\n"
        );
        assert_eq!(
            print(RowFormat::Jsonl).lines().nth(1).unwrap(),
            "{\"ts\":\"1970-01-01T00:00:01.500Z\",\"node\":\"\",\"x\":\"NaN\",\"on\":true}"
        );
        let table = print(RowFormat::Table);
        assert_eq!(table.lines().count(), 5);
        assert_eq!(
            table.lines().next().unwrap().trim_end(),
            "ts                        node       x  on"
        );
    }
}

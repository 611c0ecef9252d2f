//! Rows that are durable in the log but in no segment yet; part of every answer.
//!
//! A tail keeps what a snapshot last saw as one sorted batch, and rows appended since then as they came. The next
//! snapshot sorts only the new rows and merges them in.

use std::sync::Arc;

use crate::batch::{Batch, BatchColumn};
use crate::schema::SharedSchema;
use values::Orders;

pub mod order;
pub mod values;

/// Rows of one stream that are in no segment yet.
#[derive(Debug)]
pub struct Tail {
    schema: SharedSchema,
    sorted: Option<Arc<Batch>>,
    /// Orders of the values of `sorted`.
    orders: Arc<Orders>,
    fresh: Batch,
    newest: Option<i64>,
}

impl Tail {
    /// No rows.
    pub fn new(schema: SharedSchema) -> Self {
        Tail {
            fresh: Batch::new(schema.clone()),
            sorted: None,
            orders: Arc::default(),
            newest: None,
            schema,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.fresh.len() + self.sorted.as_ref().map_or(0, |sorted| sorted.len())
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.fresh.memory_bytes() + self.sorted.as_ref().map_or(0, |sorted| sorted.memory_bytes())
    }

    /// Adds rows, which are of this stream's shape.
    pub fn append(&mut self, batch: &Batch) {
        order::append(&mut self.fresh, batch, 0..batch.len());
        self.newest = self.newest.max(batch.times.iter().max().copied());
    }

    /// The latest time of a row.
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Goes over to a schema with more channels at its end; rows already there have null in them.
    pub fn widen(&mut self, schema: SharedSchema) {
        let sorted = self
            .sorted
            .take()
            .map(|sorted| Arc::new(widened(&sorted, &schema)));
        self.fresh = widened(&self.fresh, &schema);
        self.sorted = sorted;
        self.orders = Arc::new(Orders::new(schema.columns().len()));
        self.schema = schema;
    }

    /// All rows sorted by (keys, time), equal rows as they came; `None` if there are no rows.
    pub fn view(&mut self) -> Option<Arc<Batch>> {
        if !self.fresh.is_empty() {
            let fresh = std::mem::replace(&mut self.fresh, Batch::new(self.schema.clone()));
            let fresh = order::sort(fresh);
            let merged = match self.sorted.take() {
                None => fresh,
                Some(sorted) => add(sorted, &fresh),
            };
            self.sorted = Some(Arc::new(merged));
            self.orders = Arc::new(Orders::new(self.schema.columns().len()));
        }
        self.sorted.clone()
    }

    /// Orders of the values of what [`Tail::view`] gave last.
    pub fn orders(&self) -> Arc<Orders> {
        Arc::clone(&self.orders)
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.newest = None;
        self.sorted = None;
        self.orders = Arc::default();
        self.fresh = Batch::new(self.schema.clone());
    }
}

/// Merges `fresh` into `sorted`, in place if nobody else holds it and all of `fresh` comes after it.
fn add(sorted: Arc<Batch>, fresh: &Batch) -> Batch {
    let last = sorted.len().checked_sub(1);
    let behind = last.is_none_or(|last| order::compare_rows(&sorted, last, fresh, 0).is_le());
    match Arc::try_unwrap(sorted) {
        Ok(mut sorted) if behind => {
            order::append(&mut sorted, fresh, 0..fresh.len());
            sorted
        }
        Ok(sorted) => order::merge(&sorted, fresh),
        Err(sorted) => order::merge(&sorted, fresh),
    }
}

fn widened(batch: &Batch, schema: &SharedSchema) -> Batch {
    let mut out = Batch::new(schema.clone());
    out.times = batch.times.clone();
    for (position, column) in out.columns.iter_mut().enumerate() {
        match batch.columns.get(position) {
            Some(source) => *column = source.clone(),
            None => {
                let mut nulls = BatchColumn::new(schema.columns()[position].ty);
                (0..batch.len()).for_each(|_| nulls.push_null());
                *column = nulls;
            }
        }
    }
    out
}

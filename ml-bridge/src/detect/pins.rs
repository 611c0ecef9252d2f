//! Rows near an alarm, pinned by its time and key: they go last when the store's budget is full.

use siltstone_store::error::Result;
use siltstone_store::schema::SharedSchema;
use siltstone_store::store::{Pin, Store};
use siltstone_store::value::Value;

use super::Request;
use crate::window::Span;

/// Alarms gathered before they are pinned: each time the manifest is written.
const GATHERED: usize = 256;

/// Pins on their way into the store.
#[derive(Debug)]
pub(super) struct Pins<'a> {
    store: &'a Store,
    stream: &'a str,
    schema: &'a SharedSchema,
    near: Option<i64>,
    pins: Vec<Pin>,
}

impl<'a> Pins<'a> {
    pub(super) fn new(store: &'a Store, request: &'a Request, schema: &'a SharedSchema) -> Self {
        Pins {
            store,
            stream: &request.stream,
            schema,
            near: request.pin_near,
            pins: Vec::new(),
        }
    }

    /// A window of `key` in alarm; `goes_on` if the alarm began before it.
    pub(super) fn note(&mut self, key: &[Value], span: Span, goes_on: bool) -> Result<()> {
        let Some(near) = self.near else { return Ok(()) };
        let end = span.end.saturating_add(near).saturating_add(1);
        match self.pins.last_mut().filter(|_| goes_on) {
            Some(pin) => pin.times.end = end.max(pin.times.end),
            None => {
                if self.pins.len() == GATHERED {
                    self.flush()?;
                }
                let names = self.schema.keys().iter().map(|key| key.name.clone());
                self.pins.push(Pin {
                    times: span.start.saturating_sub(near)..end,
                    keys: names.zip(key.iter().cloned()).collect(),
                });
            }
        }
        Ok(())
    }

    /// Pins what was gathered.
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.pins.is_empty() {
            self.store.pin(self.stream, &self.pins)?;
            self.pins.clear();
        }
        Ok(())
    }
}

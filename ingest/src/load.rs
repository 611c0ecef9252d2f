//! From a source into a store: records become batches here, and a second thread appends them.
//!
//! Three threads work at once: one reads and unpacks ([`crate::source::input`]), one parses (the caller's), one appends
//! and seals. The channels between them are short, so memory stays bounded and the slowest sets the pace.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use siltstone_store::batch::Batch;
use siltstone_store::schema::SharedSchema;
use siltstone_store::store::{Layouts, Retention, Store};

use crate::acknowledge::Acknowledge;
use crate::failure::{Failure, Outcome};
use crate::plan::{Plan, PlanOptions, decide};
use crate::ram;
use crate::reject::Rejects;
use crate::source::{BatchLimit, Pause, Source};

/// Batches that may wait for the appending thread; one where memory is little, since a batch holds a row at least.
fn batches_ahead() -> usize {
    if ram::is_tight() { 1 } else { 2 }
}

/// How often the appending thread looks after the store when no rows come.
const UPKEEP: Duration = Duration::from_millis(100);
/// How often it does so when rows keep coming.
const BUSY_UPKEEP: Duration = Duration::from_secs(1);

/// What was loaded, counted while it is.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rows appended.
    pub rows: AtomicU64,
    /// Bytes of text that they came as.
    pub text_bytes: AtomicU64,
    /// Sequence number of the last row.
    pub sequence: AtomicU64,
}

/// Where rows go and what is known about them.
#[derive(Debug)]
pub struct Loader<'a> {
    /// The store, open for writing.
    pub store: &'a Store,
    /// The stream; created from the first input if it is not there.
    pub stream: &'a str,
    /// What the user said about the columns.
    pub options: &'a PlanOptions,
    /// How columns should be stored from now on, if the user said so.
    pub layouts: Option<&'a Layouts>,
    /// What may become of rows from now on, if the user said so.
    pub retention: Option<&'a Retention>,
    /// Largest batch.
    pub limit: BatchLimit,
    /// Counts, kept up to date.
    pub counts: &'a Counts,
    /// Hears of rows that are safe, if anybody wants to know.
    pub acknowledge: Option<&'a Acknowledge>,
}

enum Message {
    Rows(Batch, u64),
    /// Answer when everything before this is appended.
    Sync(SyncSender<()>),
}

impl Loader<'_> {
    /// Appends all records of `source`. `tick` is called now and then; `note` gets what the user should know.
    ///
    /// Rows read before an error are appended even so.
    ///
    /// # Errors
    /// When the input cannot be read, does not fit the stream, or the store refuses rows.
    pub fn load(
        &self,
        source: &mut dyn Source,
        rejects: &mut Rejects<'_>,
        note: &mut dyn FnMut(String),
        tick: &mut dyn FnMut(),
    ) -> Outcome<()> {
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(batches_ahead());
            let writer = scope.spawn(move || self.append_all(&receiver));
            let read = self.read_all(source, rejects, note, tick, &sender);
            drop(sender);
            let written = writer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // If appending failed, reading failed only because of that.
            written.and(read)
        })
    }

    fn append_all(&self, receiver: &Receiver<Message>) -> Outcome<()> {
        let mut kept_up = Instant::now();
        loop {
            // A store with a budget keeps what is pinned only if it is looked after in time, and little memory makes
            // small segments, which are merged before there are many.
            let is_urgent = || ram::is_tight() || self.store.usage().budget.is_some();
            if kept_up.elapsed() > BUSY_UPKEEP && is_urgent() {
                self.store.maintain()?;
                kept_up = Instant::now();
            }
            match receiver.recv_timeout(UPKEEP) {
                Ok(Message::Rows(batch, text_bytes)) => {
                    let receipt = self.store.append(self.stream, &batch)?;
                    self.counts.rows.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    self.counts.text_bytes.fetch_add(text_bytes, Ordering::Relaxed);
                    self.counts.sequence.store(receipt.sequence, Ordering::Relaxed);
                    if let Some(acknowledge) = self.acknowledge {
                        acknowledge.appended(self.store, batch.len(), receipt)?;
                    }
                }
                Ok(Message::Sync(answer)) => {
                    // The asker may have given up; that is its own affair.
                    let _ = answer.send(());
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.store.maintain()?;
                    if let Some(acknowledge) = self.acknowledge {
                        acknowledge.tell(self.store.durable())?;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn read_all(
        &self,
        source: &mut dyn Source,
        rejects: &mut Rejects<'_>,
        note: &mut dyn FnMut(String),
        tick: &mut dyn FnMut(),
        sender: &SyncSender<Message>,
    ) -> Outcome<()> {
        let input = source.name().to_owned();
        let mut plan = self.plan(source, note)?;
        loop {
            let mut batch = Batch::new(SharedSchema::clone(plan.schema()));
            let mut text_bytes = 0;
            let pause = source.next_batch(
                &mut plan,
                &mut batch,
                self.limit,
                &mut text_bytes,
                &mut |refusal| rejects.add(&input, &refusal),
            );
            if !batch.is_empty() {
                send(sender, Message::Rows(batch, text_bytes))?;
            }
            tick();
            match pause? {
                Pause::Full => {}
                Pause::Idle => rejects.flush()?,
                Pause::NewField => {
                    let (answer, answered) = sync_channel(1);
                    send(sender, Message::Sync(answer))?;
                    // An error here means the appending thread has failed; its own error says why.
                    answered.recv().map_err(|_| gone())?;
                    plan = self.plan(source, note)?;
                }
                Pause::End => break,
            }
        }
        let names = source.field_names();
        let empty: Vec<&str> = plan
            .undecided()
            .filter_map(|i| names.get(i))
            .map(String::as_str)
            .collect();
        if !empty.is_empty() {
            note(format!(
                "no values in {}; no channel was made for it",
                empty.join(", ")
            ));
        }
        rejects.flush()
    }

    /// Looks ahead, then creates the stream or adds channels as the input needs.
    fn plan(&self, source: &mut dyn Source, note: &mut dyn FnMut(String)) -> Outcome<Plan> {
        let sample = source.sample(&self.options.null_tokens, self.options.decimal_comma)?;
        let names = source.field_names();
        let existing = match self.store.streams().iter().any(|name| name == self.stream) {
            true => Some(self.store.schema(self.stream)?),
            false => None,
        };
        let nothing_known = names.is_empty() || (existing.is_none() && self.options.time.is_none());
        if sample.rows == 0 && nothing_known {
            let name = source.name();
            return Err(Failure::refused(format!("{name} holds no row that can be read")));
        }
        let mut decision = decide(names, &sample, self.options, existing.as_ref())?;
        decision.notes.drain(..).for_each(&mut *note);
        let schema = match (decision.create.take(), existing) {
            (Some(schema), _) => self.store.create_stream(self.stream, schema)?,
            (None, Some(schema)) if decision.add.is_empty() => schema,
            _ => {
                let names: Vec<&str> = decision.add.iter().map(|(name, ..)| name.as_str()).collect();
                note(format!("new channels: {}", names.join(", ")));
                self.store.add_channels(self.stream, &decision.add)?
            }
        };
        if let Some(layouts) = self.layouts {
            self.store.set_layouts(self.stream, layouts)?;
        }
        if let Some(retention) = self.retention {
            self.store.set_retention(self.stream, retention)?;
        }
        Ok(Plan::new(schema, names, &decision, self.options))
    }
}

fn send(sender: &SyncSender<Message>, message: Message) -> Outcome<()> {
    sender.send(message).map_err(|_| gone())
}

fn gone() -> Failure {
    Failure::System("the appending thread has stopped".to_owned())
}

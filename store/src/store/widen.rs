//! Text indexes in larger blocks: what a process with little memory wrote, written again by one with more.

use std::sync::atomic::Ordering;

use super::relayout::Due;
use super::{Store, Writer, locked};
use crate::error::{Error, Result};
use crate::keep::Rung;

impl Store {
    /// Writes segments again that have a text index in several blocks, if this process may make blocks at least twice as
    /// large. Each block is asked by itself, and repeats what others have learned of the text.
    ///
    /// Looked for once an opening, since what this process writes is in blocks of its own size.
    pub(super) fn widen_all(&self) -> Result<()> {
        let writer = self.writer()?;
        if writer.widened.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let streams = self.state().manifest.streams.clone();
        for (index, stream) in streams.iter().enumerate() {
            if !stream
                .schema
                .channels()
                .iter()
                .any(|channel| channel.ty.is_binary())
            {
                continue;
            }
            for segment in &stream.segments {
                let _turn = locked(&writer.turn);
                match self.widen(writer, index, &segment.file) {
                    // What is damaged stays for `Store::repair`.
                    Ok(()) | Err(Error::Corrupt { .. } | Error::UnsupportedVersion { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Writes the segment again if that makes its blocks larger. The caller has the turn.
    fn widen(&self, writer: &Writer, index: usize, file: &str) -> Result<()> {
        let (stream, segment) = {
            let mut state = self.state();
            let stream = state.manifest.streams[index].clone();
            let at = stream.segments.iter().position(|segment| segment.file == file);
            let Some(at) = at.filter(|&at| stream.segments[at].rung < Rung::Downsampled) else {
                return Ok(());
            };
            let segment = state.open_segment(index, at, &*self.storage)?;
            ((stream, at), segment)
        };
        let (stream, at) = stream;
        let block_bytes = self.options.memory().text_block();
        let mut is_cut = false;
        for channel in stream
            .schema
            .channels()
            .iter()
            .filter(|channel| channel.ty.is_binary())
        {
            if let Some(position) = segment.position(channel.id) {
                is_cut |= segment
                    .column(position)?
                    .is_some_and(|column| column.is_cut(block_bytes));
            }
        }
        if !is_cut || !self.has_room_beside(writer, stream.segments[at].bytes) {
            return Ok(());
        }
        let wishes = stream.segments[at].wishes.clone();
        let due = Due {
            index,
            at,
            left: 0,
            stream,
            wishes,
        };
        self.relayout_one(writer, &due).map(|_| ())
    }
}

//! Rows of a column to the parts that a segment keeps of it.

use std::borrow::Cow;

use super::numeric::Encoded;
use super::{Column, Hints, Part, PartKind, numeric, validity};
use crate::batch::{BatchColumn, ByteColumn, ColumnData};
use crate::domain::bounded::{self, Precision};
use crate::domain::wrong_type;
use crate::error::{Error, Result};
use crate::schema::ColumnType;
use crate::text::fm::FmOptions;
use crate::text::{self, TextKind};

impl Column {
    /// Encodes the rows of a column.
    ///
    /// # Errors
    /// `InvalidArgument` if text is too long for an index, or the data is not of type `ty`.
    pub fn encode(ty: ColumnType, rows: &BatchColumn, hints: &Hints) -> Result<Vec<Part<Vec<u8>>>> {
        let mut parts = Vec::new();
        let nulls = rows.null_count();
        if nulls > 0 {
            let mask = rows
                .validity
                .as_ref()
                .ok_or_else(|| Error::invalid("nulls without a validity mask"))?;
            let (codec, body) = validity::encode(mask)?;
            parts.push(Part {
                kind: PartKind::Validity,
                codec,
                body,
            });
        }
        if nulls == rows.len() {
            return Ok(parts);
        }
        match &rows.data {
            ColumnData::Keys(keys) if !ty.is_binary() => {
                let valid: Cow<'_, [u64]> = match &rows.validity {
                    Some(mask) if nulls > 0 => mask
                        .iter_ones()
                        .filter_map(|row| keys.get(row).copied())
                        .collect(),
                    _ => Cow::Borrowed(keys),
                };
                let (encoded, precision) = encode_numbers(ty, &valid, hints)?;
                parts.push(Part {
                    kind: PartKind::Domain,
                    codec: encoded.kind as u16,
                    body: encoded.domain,
                });
                parts.push(Part {
                    kind: PartKind::Codes,
                    codec: encoded.codes_kind as u16,
                    body: encoded.codes,
                });
                parts.push(Part {
                    kind: PartKind::Statistics,
                    codec: 0,
                    body: encoded.statistics,
                });
                if let Some(precision) = precision {
                    parts.push(Part {
                        kind: PartKind::Precision,
                        codec: precision.codec(),
                        body: precision.write(),
                    });
                }
            }
            ColumnData::Binary(strings) if ty.is_binary() => {
                let valid: Cow<'_, ByteColumn> = match &rows.validity {
                    Some(mask) if nulls > 0 => {
                        let mut valid = ByteColumn::default();
                        mask.iter_ones().for_each(|row| valid.push(strings.get(row)));
                        Cow::Owned(valid)
                    }
                    _ => Cow::Borrowed(strings),
                };
                let kind = text::choose::choose(&valid, hints.layout, hints.text_block_bytes)?.kind;
                let body = match (kind, hints.text_block_bytes) {
                    (TextKind::Fm, Some(block_bytes)) => {
                        let options = FmOptions {
                            block_bytes,
                            ..FmOptions::of(hints.layout)
                        };
                        text::fm::encode_with(&valid, &options)?
                    }
                    (TextKind::Small, block_bytes) => {
                        text::small::encode(&valid, text::choose::packed_block(block_bytes))?
                    }
                    (TextKind::Cold, block_bytes) => {
                        text::cold::encode(&valid, text::choose::packed_block(block_bytes))?
                    }
                    (TextKind::Both, block_bytes) => text::both::encode(&valid, block_bytes)?,
                    _ => text::encode_with(kind, &valid, hints.layout)?,
                };
                parts.push(Part {
                    kind: PartKind::Text,
                    codec: kind as u16,
                    body,
                });
            }
            _ => return Err(wrong_type(ty)),
        }
        Ok(parts)
    }
}

/// Encodes `keys`, moved as far as the hints allow, and says how exact they are then.
fn encode_numbers(ty: ColumnType, keys: &[u64], hints: &Hints) -> Result<(Encoded, Option<Precision>)> {
    if let Some(wanted) = hints.tolerance {
        let room = Precision::room(hints.carried, wanted);
        if let Some(moved) = room.and_then(|room| bounded::moved(ty, keys, room)) {
            let encoded = numeric::encode_coded(ty, &moved.keys, moved.coded, hints)?;
            let precision = Precision::after(hints.carried, wanted, moved.largest);
            return Ok((encoded, Some(precision)));
        }
    }
    Ok((numeric::encode(ty, keys, hints)?, hints.carried))
}

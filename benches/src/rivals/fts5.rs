//! SQLite's FTS5 with its trigram tokenizer: rows and index in one file, exact case.

use std::path::Path;

use rusqlite::{Connection, Statement};
use siltstone_store::batch::ByteColumn;

use crate::Fallible;

/// A file with one row of text for each row that is valid UTF-8 without NUL.
#[derive(Debug)]
pub struct Fts5 {
    connection: Connection,
}

impl Fts5 {
    /// Writes the rows to a new file at `path`, and merges the index into one tree.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn write(path: &Path, rows: &ByteColumn) -> Fallible<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA mmap_size = 2147483647;
             CREATE VIRTUAL TABLE logs USING fts5(message, tokenize = 'trigram case_sensitive 1');
             BEGIN;",
        )?;
        let mut insert = connection.prepare("INSERT INTO logs(rowid, message) VALUES (?1, ?2)")?;
        for row in 0..rows.len() {
            if let Some(text) = plain(rows.get(row)) {
                insert.execute((i64::try_from(row)?, text))?;
            }
        }
        drop(insert);
        connection.execute_batch("INSERT INTO logs(logs) VALUES ('optimize'); COMMIT; VACUUM;")?;
        Ok(Self { connection })
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn bytes(&self) -> Fallible<u64> {
        let pages: i64 = self
            .connection
            .query_row("PRAGMA page_count", (), |row| row.get(0))?;
        let size: i64 = self
            .connection
            .query_row("PRAGMA page_size", (), |row| row.get(0))?;
        Ok(u64::try_from(pages * size)?)
    }

    /// The question that counts rows with a phrase, prepared once.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn counter(&self) -> Fallible<Statement<'_>> {
        Ok(self
            .connection
            .prepare("SELECT count(*) FROM logs WHERE logs MATCH ?1")?)
    }

    /// The question that lists rows with a phrase, prepared once.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn finder(&self) -> Fallible<Statement<'_>> {
        Ok(self
            .connection
            .prepare("SELECT rowid FROM logs WHERE logs MATCH ?1")?)
    }
}

/// Rows (of [`Fts5::counter`]) with these bytes.
///
/// # Errors
/// What SQLite says.
pub fn count(counter: &mut Statement<'_>, needle: &str) -> Fallible<u64> {
    Ok(u64::try_from(
        counter.query_row([phrase(needle)], |row| row.get::<_, i64>(0))?,
    )?)
}

/// Numbers of the rows (of [`Fts5::finder`]) with these bytes.
///
/// # Errors
/// What SQLite says.
pub fn find(finder: &mut Statement<'_>, needle: &str) -> Fallible<Vec<i64>> {
    let rows = finder.query_map([phrase(needle)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// These bytes, if FTS5 can look for them: text without NUL.
pub fn plain(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

fn phrase(needle: &str) -> String {
    format!("\"{}\"", needle.replace('"', "\"\""))
}

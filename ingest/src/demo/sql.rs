//! A question in SQL, in builds that have it.

use std::io::Write;
use std::sync::Arc;

use siltstone_store::store::Store;

use crate::failure::Outcome;

/// Prints a question, its answer and the time it took; nothing in a build without SQL.
///
/// # Errors
/// When the question fails, or the output is closed.
#[cfg(not(feature = "sql"))]
pub fn ask(_: &Arc<Store>, _: &[&str], _: &mut dyn Write) -> Outcome<()> {
    Ok(())
}

/// Prints a question, its answer and the time it took.
///
/// # Errors
/// When the question fails, or the output is closed.
#[cfg(feature = "sql")]
pub fn ask(store: &Arc<Store>, lines: &[&str], out: &mut dyn Write) -> Outcome<()> {
    let started = std::time::Instant::now();
    let answer = Shared::default();
    let context = siltstone_query::context(store);
    let format = siltstone_query::export::Format::Table;
    siltstone_query::export::run(&context, &lines.join(" "), format, answer.clone())
        .map_err(|error| crate::failure::Failure::refused(error.to_string()))?;
    writeln!(out, "\n   SQL  {}", lines.join("\n        "))?;
    let bytes = answer
        .0
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    for line in String::from_utf8_lossy(&bytes).lines() {
        writeln!(out, "        {line}")?;
    }
    writeln!(out, "        ({} ms)", started.elapsed().as_millis())?;
    Ok(())
}

/// Bytes that several hands write to.
#[cfg(feature = "sql")]
#[derive(Debug, Clone, Default)]
struct Shared(Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(feature = "sql")]
impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! The one error type of this crate. DataFusion's own error stays inside.

use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between SQL and the store.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The store could not answer.
    Store(siltstone_store::Error),
    /// The query is wrong, or failed while running.
    Query {
        /// One sentence.
        what: String,
    },
    /// The output refused the answer.
    Io(std::io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Store(error) => error.fmt(f),
            Error::Query { what } => f.write_str(what),
            Error::Io(error) => write!(f, "cannot write the answer: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Store(error) => Some(error),
            Error::Query { .. } => None,
            Error::Io(error) => Some(error),
        }
    }
}

impl From<siltstone_store::Error> for Error {
    fn from(error: siltstone_store::Error) -> Self {
        Error::Store(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Io(error)
    }
}

impl From<DataFusionError> for Error {
    /// Takes the store's and the system's own errors out of DataFusion's wrapping.
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<siltstone_store::Error>() {
                Ok(error) => Error::Store(*error),
                Err(inner) => Error::Query {
                    what: inner.to_string(),
                },
            },
            DataFusionError::Context(_, inner) => (*inner).into(),
            DataFusionError::IoError(error) => Error::Io(error),
            DataFusionError::ArrowError(error, _) => (*error).into(),
            other => Error::Query {
                what: with_remedy(other.strip_backtrace()),
            },
        }
    }
}

/// The engine's message, with what to write instead where it leaves people puzzled.
fn with_remedy(what: String) -> String {
    let remedy = [
        (
            "No field named",
            "Text stands in single quotes, names with odd characters in double quotes.",
        ),
        (
            "error parsing time",
            "A time has hours, minutes and seconds: '2025-03-31 12:00:00'.",
        ),
        (
            "' doesn't exist.",
            "SQL takes only tables away that it made; rows of streams go by retention (silt maintain).",
        ),
        (
            "not supported for Base table",
            "Rows of streams are added and never changed; they go by retention (silt maintain).",
        ),
        (
            "Cannot cast timezone to different timezone",
            "AT TIME ZONE takes a time without a zone for one of that zone, and this one is skipped there when summer time \
             begins. Streams hold UTC: (ts AT TIME ZONE 'UTC') AT TIME ZONE 'Europe/Berlin' is the local time of ts.",
        ),
    ];
    match remedy.iter().find(|(sign, _)| what.contains(sign)) {
        Some((_, remedy)) => format!("{what}\n{remedy}"),
        None => what,
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => Error::Io(error),
            ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
                Ok(error) => (*error).into(),
                Err(inner) => Error::Query {
                    what: inner.to_string(),
                },
            },
            other => Error::Query {
                what: with_remedy(other.to_string()),
            },
        }
    }
}

/// A store's error on its way through DataFusion.
pub(crate) fn external(error: siltstone_store::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

//! Why a command failed, and the exit code that says so.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the answer is "no" (`verify` found damage) |
//! | 2 | wrong usage: unknown option, stream or column, a question that cannot be asked |
//! | 3 | input or data was refused: bad lines, a damaged file |
//! | 4 | the system refused: no such file, no space, locked |

use std::fmt;
use std::path::Path;

use siltstone_store::Error;

/// What a command that ran to its end has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done (exit code 0).
    Done,
    /// The answer is "no" (exit code 1).
    No,
    /// Done, but part of the input was refused (exit code 3).
    PartlyRefused,
}

impl Answer {
    /// Exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Answer::Done => 0,
            Answer::No => 1,
            Answer::PartlyRefused => 3,
        }
    }
}

/// Result of a command.
pub type Outcome<T = Answer> = Result<T, Failure>;

/// Why a command failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The command or question makes no sense (exit code 2).
    Usage(String),
    /// Input or stored data cannot be used (exit code 3).
    Refused(String),
    /// The system refused an operation (exit code 4).
    System(String),
    /// Whoever reads our standard output has gone (exit code 0, silently).
    OutputClosed,
}

impl Failure {
    /// A [`Failure::Usage`].
    pub fn usage(what: impl Into<String>) -> Self {
        Failure::Usage(what.into())
    }

    /// A [`Failure::Refused`].
    pub fn refused(what: impl Into<String>) -> Self {
        Failure::Refused(what.into())
    }

    /// A [`Failure::System`] for doing `action` to `path`.
    pub fn io(action: &str, path: &Path, source: &std::io::Error) -> Self {
        Failure::System(format!("cannot {action} {}: {source}", path.display()))
    }

    /// Exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Refused(_) => 3,
            Failure::System(_) => 4,
            Failure::OutputClosed => 0,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(what) | Failure::Refused(what) | Failure::System(what) => f.write_str(what),
            Failure::OutputClosed => f.write_str("the reader of the output has gone"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let what = error.to_string();
        match error {
            Error::InvalidArgument { .. } | Error::OutOfRange { .. } => Failure::Usage(what),
            Error::Corrupt { .. } | Error::UnsupportedVersion { .. } => Failure::Refused(what),
            _ => Failure::System(what),
        }
    }
}

impl From<std::io::Error> for Failure {
    /// An error without a path: reading standard input or writing standard output.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::System(format!("cannot read or write: {error}")),
        }
    }
}

#[cfg(feature = "sql")]
impl From<siltstone_query::Error> for Failure {
    fn from(error: siltstone_query::Error) -> Self {
        match error {
            siltstone_query::Error::Store(error) => error.into(),
            siltstone_query::Error::Io(error) => error.into(),
            other => Failure::Usage(other.to_string()),
        }
    }
}

//! The one error type of this library.

use std::fmt;
use std::path::PathBuf;

/// Result with this library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, each with the place and, in its sentence, the remedy.
///
/// Match on the variant: the text is for people and may change.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done, as "cannot {action}".
        action: &'static str,
        /// The system's own word.
        source: std::io::Error,
    },
    /// Bytes of a file are not what they must be.
    Corrupt {
        /// File name, or the name of an in-memory buffer.
        file: String,
        /// Section inside the file ("footer", "codes of column 3").
        section: String,
        /// Byte offset inside the section.
        offset: u64,
        /// What was expected and what was found.
        what: String,
    },
    /// A file was written by a newer, unknown version of the format.
    UnsupportedVersion {
        /// The file.
        file: String,
        /// Its version, major.minor.
        found: (u16, u16),
        /// Newest version that this library reads.
        supported: (u16, u16),
    },
    /// The caller asked for something that makes no sense for this store.
    InvalidArgument {
        /// One sentence: what is wrong, and what would be right.
        what: String,
    },
    /// A row or byte position lies outside what exists.
    OutOfRange {
        /// What was indexed.
        what: &'static str,
        /// The position asked for.
        position: u64,
        /// The first position that does not exist.
        end: u64,
    },
    /// Another process has the store open for writing.
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as written in the lock file.
        owner: String,
    },
    /// The store would take more than its budget, and its policies let nothing more go. Nothing was written.
    BudgetFull {
        /// Bytes that the store may take.
        budget: u64,
        /// Bytes that it takes.
        used: u64,
        /// Bytes that were to come.
        needed: u64,
    },
    /// A failed sync left this handle unable to promise anything; reopen the store.
    Poisoned {
        /// What failed first.
        what: String,
    },
}

impl Error {
    /// An [`Error::InvalidArgument`].
    pub fn invalid(what: impl Into<String>) -> Self {
        Error::InvalidArgument { what: what.into() }
    }

    /// An [`Error::Io`] for `path` while doing `action`.
    pub fn io(path: impl Into<PathBuf>, action: &'static str, source: std::io::Error) -> Self {
        Error::Io {
            path: path.into(),
            action,
            source,
        }
    }

    /// An [`Error::Corrupt`].
    pub fn corrupt(
        file: impl Into<String>,
        section: impl Into<String>,
        offset: u64,
        what: impl Into<String>,
    ) -> Self {
        Error::Corrupt {
            file: file.into(),
            section: section.into(),
            offset,
            what: what.into(),
        }
    }

    /// The same damage once more, for a second listener. Only damage has a copy; anything else becomes damage in words.
    pub(crate) fn same(&self) -> Self {
        match self {
            Error::Corrupt {
                file,
                section,
                offset,
                what,
            } => Error::corrupt(file, section, *offset, what),
            Error::UnsupportedVersion {
                file,
                found,
                supported,
            } => Error::UnsupportedVersion {
                file: file.clone(),
                found: *found,
                supported: *supported,
            },
            other => Error::corrupt("log", "file", 0, other.to_string()),
        }
    }

    /// Whether this is damage in a file (as opposed to a wrong question or a refusing system).
    pub fn is_corruption(&self) -> bool {
        matches!(self, Error::Corrupt { .. } | Error::UnsupportedVersion { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, action, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Error::Corrupt {
                file,
                section,
                offset,
                what,
            } => write!(
                f,
                "{file} is damaged in its {section} at byte {offset}: {what}; run `silt verify` to see what else is"
            ),
            Error::UnsupportedVersion {
                file,
                found,
                supported,
            } => write!(
                f,
                "{file} has format version {}.{}, and this build reads up to {}.{}; use a newer build",
                found.0, found.1, supported.0, supported.1
            ),
            Error::InvalidArgument { what } => f.write_str(what),
            Error::OutOfRange { what, position, end } => {
                write!(f, "{what} {position} does not exist: there are {end}")
            }
            Error::Locked { path, owner } => write!(
                f,
                "the store is being written by {owner} ({}); close that writer, or open the store for reading",
                path.display()
            ),
            Error::BudgetFull { budget, used, needed } => write!(
                f,
                "{needed} bytes more do not fit into the store's budget of {budget} bytes ({used} are taken, some are \
                 kept free): raise the budget, let a stream's oldest rows go (silt maintain --retention drop=full), or \
                 delete models"
            ),
            Error::Poisoned { what } => {
                write!(
                    f,
                    "an earlier failure ({what}) means nothing more can be promised; reopen the store"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

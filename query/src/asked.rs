//! What plans ask: which rows of which stream.

use siltstone_store::predicate::Predicate;
use siltstone_store::snapshot::Snapshot;

/// What is asked, shared between the plans that answer it.
#[derive(Debug)]
pub(crate) struct Question {
    pub snapshot: Snapshot,
    pub stream: String,
    pub predicate: Predicate,
}

//! A directory whose power fails when a test says so: being built.

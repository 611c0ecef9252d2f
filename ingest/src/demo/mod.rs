//! The demonstration: a machine whose bearing starts to fail, from raw signal to alarm.

pub mod machine;

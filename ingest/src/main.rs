//! The silt command.

use std::process::ExitCode;

fn main() -> ExitCode {
    siltstone_ingest::command::run(std::env::args_os())
}

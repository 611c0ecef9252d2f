//! The command, run in a folder.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests, each of which uses some of this"
)]

pub mod place;

use std::path::Path;
use std::process::Command;

/// Exit code, what was printed, what was said.
pub fn silt(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_silt"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What was printed, and said, by a command that worked.
pub fn ok(folder: &Path, args: &[&str]) -> (String, String) {
    let (code, out, err) = silt(folder, args);
    assert_eq!(code, 0, "{args:?}: {err}");
    (out, err)
}

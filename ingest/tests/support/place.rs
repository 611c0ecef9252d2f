//! The command in a folder of its own.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder that the command runs in.
pub struct Place {
    pub folder: tempfile::TempDir,
}

/// What the command said.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn silt(&self, args: &[&str]) -> Answer {
        self.silt_with_input(args, b"")
    }

    pub fn silt_with_input(&self, args: &[&str], input: &[u8]) -> Answer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_silt"))
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads no input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input);
        answer(child.wait_with_output().unwrap())
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let answer = self.silt(args);
        assert_eq!(answer.code, 0, "{args:?}: {}", answer.err);
        answer.out
    }
}

/// What a command that has ended said.
pub fn answer(output: Output) -> Answer {
    Answer {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Line numbers and reasons of a reject file.
pub fn rejects(path: &Path) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let entry = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        (
            value["line"].as_u64().unwrap(),
            value["reason"].as_str().unwrap().to_owned(),
        )
    };
    text.lines().map(entry).collect()
}

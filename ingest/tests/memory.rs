//! `--ram 16M` holds: rows come in, are sealed and merged, and every question without SQL is answered within it.
//!
//! Where a memory cgroup (version 1) can be made, each command runs in one whose hard limit is the number, and a little
//! for what is not the program's own: pages of files, which the system takes back, and its tables. A command that needs
//! more is killed. Where none can be made, and besides, the anonymous memory that the system tells of is looked at.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the commands are told.
const RAM: &str = "16M";
/// What relocated addresses of the program take before it does anything, beyond what a program without SQL has.
const RELOCATED_MIB: u64 = if cfg!(feature = "sql") { 8 } else { 0 };
/// Anonymous memory that a command may have.
const LIMIT: u64 = (16 + RELOCATED_MIB) << 20;
/// Pages of files, and of the system, in the hard limit.
const BESIDE: u64 = 8 << 20;
const ROWS: u64 = 160_000;

/// A memory cgroup of this test, removed at its end.
struct Cgroup(PathBuf);

impl Cgroup {
    /// A group with a hard limit; or why there can be none.
    fn new(limit: u64) -> Result<Cgroup, String> {
        let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let is_memory = |line: &&str| {
            line.split(':')
                .nth(1)
                .is_some_and(|names| names.split(',').any(|name| name == "memory"))
        };
        let line = own
            .lines()
            .find(is_memory)
            .ok_or("there is no memory cgroup of version 1")?;
        let path = line.splitn(3, ':').nth(2).unwrap_or("/").trim_start_matches('/');
        let root = Path::new("/sys/fs/cgroup/memory");
        // In a container the path is often one that is not visible.
        let parents = [root.join(path), root.to_owned()];
        let name = format!("silt-test-{}", std::process::id());
        let mut why = String::new();
        for parent in parents
            .iter()
            .filter(|parent| parent.join("memory.limit_in_bytes").exists())
        {
            let group = Cgroup(parent.join(&name));
            let made = std::fs::create_dir(&group.0)
                .and_then(|()| std::fs::write(group.0.join("memory.limit_in_bytes"), limit.to_string()));
            match made {
                Ok(()) => return Ok(group),
                Err(error) => why = format!("{}: {error}", group.0.display()),
            }
        }
        Err(why)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process may not be gone for the system yet.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Runs a command in the group, if there is one; gives what it printed and its largest anonymous memory.
fn run(folder: &Path, group: Option<&Cgroup>, args: &[&str]) -> (String, u64) {
    let silt = env!("CARGO_BIN_EXE_silt");
    let mut command = match group {
        None => Command::new(silt),
        Some(group) => {
            // The shell goes into the group, and becomes the command.
            let mut shell = Command::new("sh");
            let enter = "echo $$ > \"$0\" && exec \"$@\"";
            shell
                .args(["-c", enter])
                .arg(group.0.join("cgroup.procs"))
                .arg(silt);
            shell
        }
    };
    command.args(["--ram", RAM]).args(args).current_dir(folder);
    let output = folder.join("output");
    command.stdout(std::fs::File::create(&output).unwrap());
    command.stderr(std::fs::File::create(folder.join("errors")).unwrap());
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let status = loop {
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let errors = std::fs::read_to_string(folder.join("errors")).unwrap();
    assert!(status.success(), "{args:?}: {status}: {errors}");
    assert!(most <= LIMIT, "{args:?}: {most} bytes of anonymous memory");
    (std::fs::read_to_string(output).unwrap(), most)
}

fn rows() -> String {
    let mut text = "time,device,temp,flow,count,state,note\n".to_owned();
    let mut noise = 1u64;
    for i in 0..ROWS {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let note = match noise >> 33 {
            odd if odd % 20 == 0 => format!("valve {} closed after {} ms", odd % 97, odd % 100_003),
            _ => String::new(),
        };
        let (temp, flow) = (2_000 + (i / 7) % 300 + (noise >> 60), (noise >> 20) % 100_000);
        let state = ["run", "idle", "stop"][usize::try_from(i / 5_000 % 3).unwrap()];
        writeln!(
            text,
            "{},d{},{}.{:02},{}.{:03},{},{state},{note}",
            1_000_000 + i,
            i % 8,
            temp / 100,
            temp % 100,
            flow / 1_000,
            flow % 1_000,
            noise >> 54,
        )
        .unwrap();
    }
    text
}

#[test]
fn sixteen_megabytes_are_enough_without_sql() {
    let group = match Cgroup::new(LIMIT + BESIDE) {
        Ok(group) => Some(group),
        Err(why) => {
            eprintln!("no memory cgroup can be made here ({why}); only anonymous memory is looked at");
            None
        }
    };
    let group = group.as_ref();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    std::fs::write(folder.join("rows.csv"), rows()).unwrap();
    let ok = |args: &[&str]| run(folder, group, args);
    let ingest = [
        "ingest",
        "store",
        "s",
        "rows.csv",
        "--time-unit",
        "ms",
        "--key",
        "device",
    ];
    let (_, most) = ok(&ingest);
    assert!(most > 1 << 20, "memory was looked at while rows came in: {most}");
    let segments = |store: &str| {
        let entries = std::fs::read_dir(folder.join(store)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("segment-")).count()
    };
    assert!(segments("store") > 2, "pieces are small");
    ok(&["maintain", "store"]);
    let count = |condition: &str| -> u64 {
        let (answer, _) = ok(&["count", "store", "s", "--where", condition]);
        answer.trim().parse().unwrap()
    };
    assert_eq!(ok(&["count", "store", "s"]).0.trim(), ROWS.to_string());
    assert_eq!(count("device = 'd3'"), ROWS / 8);
    let in_window = count("time >= '1970-01-01T00:17:00Z' AND flow > 10");
    assert!((1..ROWS).contains(&in_window));
    assert!(count("flow > 50 AND temp < 21 OR count = 7") > 0);
    assert!(count("note LIKE '%valve 77 %' AND note ~ 'after [0-9]+ ms'") > 0);
    assert!(ok(&["search", "store", "s", "valve 77"]).0.contains("valve 77"));
    let stat = ok(&["stat", "store"]).0;
    assert!(stat.contains("memory    16.0 MiB at most (--ram)"), "{stat}");
    ok(&["stat", "store", "s", "--parts", "--explain"]);
    ok(&["verify", "store"]);
    let exported = ok(&["export", "store", "s", "--format", "csv"]).0;
    assert_eq!(exported.lines().count() as u64, ROWS + 1);
    ok(&["maintain", "store", "--relayout", "small"]);
    ok(&["repair", "store", "--to", "saved"]);
    assert_eq!(ok(&["count", "saved", "s"]).0.trim(), ROWS.to_string());
    if let Some(group) = group {
        let killed = group.read("memory.oom_control");
        assert!(
            !killed
                .lines()
                .any(|line| line.starts_with("oom_kill ") && line != "oom_kill 0"),
            "{killed}"
        );
        let most: u64 = group.read("memory.max_usage_in_bytes").trim().parse().unwrap();
        assert!(most <= LIMIT + BESIDE, "{most}");
    }
}

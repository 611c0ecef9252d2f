//! Rivals behind their own Python clients (`scripts/rivals.py`): the same rows and questions go over in files, figures
//! and answers come back, and the answers are compared here.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Fallible;
use crate::data::Column;
use crate::questions::Plan;
use crate::rivals::plain;
use crate::subject::{Form, middle};
use crate::table::{Row, figures_of};

/// Windows of 10 and 100 % that are checked and asked; these engines take milliseconds for each.
const WINDOWS: usize = 5;

/// Asks the rivals of `script` through the interpreter `python`.
pub fn rows(
    python: &str,
    script: &Path,
    column: &Column,
    plan: &Plan,
    dir: &Path,
    budget: f64,
) -> Fallible<Vec<Row>> {
    let form = plan.form();
    if form == Form::Codes && column.codes.iter().any(|&code| code > i64::MAX as u64) {
        return Ok(Vec::new());
    }
    let Some(bytes) = plain::bytes(column, form) else {
        return Ok(Vec::new());
    };
    std::fs::write(dir.join("rows.bin"), bytes)?;
    let (rows, windows) = (plan.places(), plan.windows());
    let pairs = |windows: &[std::ops::Range<u64>]| {
        windows
            .iter()
            .map(|w| json!([w.start, w.end]))
            .collect::<Vec<_>>()
    };
    let (low, high) = plan.interval();
    let questions = json!({
        "type": if form == Form::Codes { "i64" } else { "f64" },
        "budget": budget,
        "dir": dir,
        "get": rows[..200],
        "interval": [form.number(low), form.number(high)],
        "windows": {"1": pairs(&windows[0][..WINDOWS]), "10": pairs(&windows[1][..WINDOWS]), "100": pairs(&windows[2][..1])},
        "buckets": pairs(plan.buckets()),
    });
    std::fs::write(dir.join("questions.json"), questions.to_string())?;
    let done = Command::new(python)
        .arg(script)
        .arg(dir.join("questions.json"))
        .output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned().into());
    }
    let answers: Vec<Value> = serde_json::from_slice(&done.stdout)?;
    answers.iter().map(|answer| row(answer, plan)).collect()
}

fn row(answer: &Value, plan: &Plan) -> Fallible<Row> {
    let name = answer["subject"].as_str().ok_or("a rival without a name")?;
    let (rows, windows) = (plan.places(), plan.windows());
    let keys = plan.keys();
    let form = plan.form();
    let same = |what: &str, found: &Value, wanted: Vec<f64>| {
        let found: Vec<f64> = found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        assert!(found == wanted, "{name}: {what}: {found:?}, not {wanted:?}");
    };
    let answers = &answer["answers"];
    same(
        "get",
        &answers["get"],
        rows[..200]
            .iter()
            .map(|&row| form.number(keys[row as usize]))
            .collect(),
    );
    let (low, high) = plan.interval();
    for (share, at, count) in [("1", 0, WINDOWS), ("10", 1, WINDOWS), ("100", 2, 1)] {
        let windows = &windows[at][..count];
        let part = |w: &std::ops::Range<u64>| &keys[w.start as usize..w.end as usize];
        let inside = |w| part(w).iter().filter(|&&key| key >= low && key <= high).count() as f64;
        same(
            &format!("cnt{share}"),
            &answers["cnt"][share],
            windows.iter().map(inside).collect(),
        );
        let median = |w| form.number(*part(w).to_vec().select_nth_unstable(middle(w) as usize).1);
        same(
            &format!("med{share}"),
            &answers["med"][share],
            windows.iter().map(median).collect(),
        );
    }
    Ok(Row {
        name: name.into(),
        ours: false,
        figures: figures_of(&answer["figures"]),
    })
}

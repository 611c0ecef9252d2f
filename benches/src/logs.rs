//! Log files as columns of rows.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use siltstone_store::batch::ByteColumn;

use crate::Fallible;
use crate::data::Random;

/// Calls `work` with the name and the rows of each log in `directory` whose name contains `only`: a file (plain or
/// .gz) is one log, a sub-directory one log of its files joined. Empty lines and those that begin with # are left out.
///
/// With `cut_time` a leading timestamp is taken off each row, as a stream's clock would.
///
/// # Errors
/// What reading a file, or `work`, says.
pub fn each(
    directory: &Path,
    only: &str,
    cut_time: bool,
    mut work: impl FnMut(&str, ByteColumn) -> Fallible<()>,
) -> Fallible<()> {
    for entry in entries(directory)? {
        let name = entry
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.contains(only) {
            continue;
        }
        let mut rows = ByteColumn::default();
        if entry.is_dir() {
            for file in entries(&entry)? {
                read(&file, cut_time, &mut rows)?;
            }
        } else {
            read(&entry, cut_time, &mut rows)?;
        }
        work(&name, rows)?;
    }
    Ok(())
}

fn entries(directory: &Path) -> Fallible<Vec<PathBuf>> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Fallible<_>>()?;
    entries.sort();
    Ok(entries)
}

fn read(path: &Path, cut_time: bool, rows: &mut ByteColumn) -> Fallible<()> {
    let file = File::open(path)?;
    let mut lines: Box<dyn BufRead> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let row = line.strip_suffix(b"\n").unwrap_or(&line);
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        if !row.is_empty() && row[0] != b'#' {
            rows.push(if cut_time { message(row) } else { row });
        }
        line.clear();
    }
    Ok(())
}

/// The row without a leading timestamp: tokens of digits and their punctuation, and names of days and months.
fn message(row: &[u8]) -> &[u8] {
    const NAMES: &str = "MonTueWedThuFriSatSunJanFebMarAprMayJunJulAugSepOctNovDec";
    let mut rest = row;
    loop {
        let end = rest
            .iter()
            .position(|b| b" \t]|".contains(b))
            .unwrap_or(rest.len());
        let token = rest[..end].strip_prefix(b"[").unwrap_or(&rest[..end]);
        let time = token.len() >= 2
            && token
                .iter()
                .all(|b| b.is_ascii_digit() || b":./,-TZ+".contains(b))
            && token[0].is_ascii_digit();
        let name = token.len() == 3 && std::str::from_utf8(token).is_ok_and(|t| NAMES.contains(t));
        if (!time && !name && !token.is_empty()) || end == rest.len() {
            return if rest.len() == row.len() { row } else { rest };
        }
        rest = &rest[end + 1..];
        if time && token.iter().filter(|b| b.is_ascii_digit()).count() >= 10 {
            return rest;
        }
    }
}

/// Places of numbers inside rows, picked at random: up to eight bytes before one, and the number.
#[must_use]
pub fn numbers(rows: &ByteColumn, random: &mut Random, count: usize) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    for _ in 0..count * 200 {
        if found.len() == count {
            break;
        }
        let row = rows.get(usize::try_from(random.below(rows.len() as u64)).unwrap_or(0));
        let digit = |at: &usize| row.get(*at).is_some_and(u8::is_ascii_digit);
        let from = usize::try_from(random.below(row.len() as u64 + 1)).unwrap_or(0);
        let Some(start) = (from..row.len()).find(digit) else {
            continue;
        };
        let before = row.get(start.saturating_sub(8)..start).unwrap_or_default();
        let end = (start..row.len()).find(|at| !digit(at)).unwrap_or(row.len());
        let number = row
            .get(start..end)
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !b"{}'\\%_".contains(byte);
        if let (Ok(before), Some(number)) = (std::str::from_utf8(before), number)
            && before.len() >= 3
            && before.bytes().all(|byte| plain(&byte))
            && !before.ends_with(|c: char| c.is_ascii_digit() || c == '.' || c == '-')
        {
            found.push((before.to_string(), number));
        }
    }
    found
}

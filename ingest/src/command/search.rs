//! `silt search`: rows whose text contains a pattern, or matches a regular expression.

use std::io::Write;
use std::path::PathBuf;

use siltstone_store::predicate::Predicate;
use siltstone_store::schema::Schema;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::text::TextPattern;
use siltstone_store::text::regex::{RegexOptions, RegexPattern};

use super::common::{self, Reading};
use super::count::Condition;
use crate::failure::{Failure, Outcome};
use crate::filter;
use crate::output::{RowFormat, RowWriter};

/// Arguments of `silt search`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The pattern is taken letter by letter. With --regex it is a regular expression: what every match must contain is looked
up in the index, and only rows that have it are read. Wildcards are for --where \"c LIKE '...'\".

Examples:
  silt search store log over-temperature
  silt search store log 'bearing' --column message --where \"ts >= '2026-01-01'\" --limit 20
  silt search store log --regex 'job \\d+ (failed|stopped)' --limit 20
  silt search store dns wrccdc --count")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// Stream to search
    pub stream: String,
    /// Text to look for
    pub pattern: String,
    /// Only this column (default: every text column)
    #[arg(long, value_name = "COL")]
    pub column: Vec<String>,
    /// The pattern is a regular expression (syntax of the Rust crate regex)
    #[arg(long, short = 'e')]
    pub regex: bool,
    /// Take upper and lower case as equal (of ASCII letters; of all letters with --regex)
    #[arg(long, short)]
    pub ignore_case: bool,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Print only the number of rows
    #[arg(long)]
    pub count: bool,
    /// Print all columns (default: time, keys, and the text columns searched; in a table, those with the pattern)
    #[arg(long, short)]
    pub all: bool,
    /// Which rows
    #[command(flatten)]
    pub condition: Condition,
    /// How to print rows
    #[arg(long, value_enum, default_value = "table")]
    pub format: RowFormat,
    /// How to read
    #[command(flatten)]
    pub reading: Reading,
}

/// Prints the rows, or their number.
///
/// # Errors
/// When the store or the condition cannot be read, or a column is no text.
pub fn run(args: &Args) -> Outcome {
    let store = args.reading.open(&args.store)?;
    let (snapshot, answer) = args.reading.snapshot(&store, &args.stream)?;
    let schema = snapshot.schema();
    let searched = searched_columns(schema, &args.column)?;
    let needle = args.pattern.as_bytes().to_vec();
    let pattern = match (args.regex, args.ignore_case) {
        (true, ignore_case) => {
            let options = RegexOptions {
                ignore_case,
                bytes: true,
            };
            let regex = RegexPattern::new(&args.pattern, options)
                .map_err(|error| Failure::usage(error.to_string()))?;
            TextPattern::Regex(regex)
        }
        (false, true) => TextPattern::ContainsIgnoreAsciiCase(needle),
        (false, false) => TextPattern::Contains(needle),
    };
    let found = searched
        .iter()
        .map(|name| Predicate::text(name.clone(), pattern.clone()))
        .collect();
    let condition = filter::parse_optional(args.condition.expression.as_deref(), schema)?;
    let predicate = Predicate::Or(found).and(condition);
    if args.count {
        let count = snapshot.count(&predicate)?;
        super::print(&format!("{count}\n"))?;
        return Ok(answer);
    }
    let keys = schema.keys().iter().map(|key| key.name.as_str());
    let mut shown: Vec<&str> = keys.collect();
    shown.extend(
        searched
            .iter()
            .map(String::as_str)
            .filter(|name| schema.keys().iter().all(|key| key.name != *name)),
    );
    if args.all {
        shown = common::column_names(schema);
    }
    if args.format == RowFormat::Table && !args.all && args.column.is_empty() {
        shown = columns_with_hits(&snapshot, &shown, &pattern, &predicate)?;
    }
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut printed = 0;
    let scan = snapshot.scan(&shown, &predicate)?;
    let mut writer: Option<RowWriter<Box<dyn Write + Send>>> = None;
    for batch in scan {
        let batch = batch?;
        let writer =
            writer.get_or_insert_with(|| RowWriter::new(super::stdout(), args.format, batch.schema()));
        writer.write(&batch, left)?;
        printed += batch.len().min(left);
        left -= batch.len().min(left);
        if left == 0 {
            break;
        }
    }
    match writer {
        Some(writer) => writer.finish()?,
        None => RowWriter::new(super::stdout(), args.format, &common::projected(schema, &shown)?).finish()?,
    }
    let more = if left == 0 {
        " (there may be more; --limit stopped here)"
    } else {
        ""
    };
    eprintln!("silt: {printed} rows{more}");
    Ok(answer)
}

/// Keys, and the text columns in which one of the first rows found has the pattern: what a reader wants to see.
fn columns_with_hits<'a>(
    snapshot: &Snapshot,
    names: &[&'a str],
    pattern: &TextPattern,
    predicate: &Predicate,
) -> Outcome<Vec<&'a str>> {
    let Some(first) = snapshot.scan(names, predicate)?.next().transpose()? else {
        return Ok(names.to_vec());
    };
    let keys = snapshot.schema().keys();
    let shown = names.iter().zip(&first.columns).filter(|(name, column)| {
        let hit = |row| column.bytes(row).is_some_and(|text| pattern.matches(text));
        keys.iter().any(|key| key.name == **name) || (0..first.len()).any(hit)
    });
    Ok(shown.map(|(name, _)| *name).collect())
}

fn searched_columns(schema: &Schema, asked: &[String]) -> Outcome<Vec<String>> {
    let mut out = Vec::new();
    for name in asked {
        match schema.column(name) {
            Some(column) if column.ty.is_binary() => out.push(name.clone()),
            Some(column) => {
                return Err(Failure::usage(format!(
                    "column {name} is of type {}; only text can be searched",
                    column.ty
                )));
            }
            None => {
                let names = common::column_names(schema).join(", ");
                return Err(Failure::usage(format!(
                    "there is no column {name:?}; there are {names}"
                )));
            }
        }
    }
    if asked.is_empty() {
        out.extend(
            schema
                .columns()
                .iter()
                .filter(|column| column.ty.is_binary())
                .map(|column| column.name.clone()),
        );
        if out.is_empty() {
            return Err(Failure::usage("the stream has no text column to search"));
        }
    }
    Ok(out)
}

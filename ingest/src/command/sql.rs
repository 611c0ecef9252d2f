//! `silt sql`: questions in SQL, one from the command line or many in a shell.

use std::path::PathBuf;

use crate::failure::Outcome;

/// Arguments of `silt sql`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each stream is a table. The time column is a timestamp in UTC. Names with capitals or odd characters stand in double
quotes, text and times in single quotes.

Rows that were downsampled (silt maintain --retention downsample=...) are one row for each bucket of time to SELECT x, and as
many as they stand for to count, sum, avg, min, max, median and other aggregates, with or without GROUP BY; what cannot be
weighed is refused. The hidden column _precision says how exact a row is (raw, eps=0.05, 60s): WHERE _precision = 'raw'
leaves the others out. count_bounds(*), sum_bounds(x), avg_bounds(x) and quantile_bounds(x, 0.9) give (low, value, high)
that the truth lies in, grouped by keys at most.

Examples:
  silt sql store \"SELECT node, avg(temp_c), median(rh_pct) FROM climate GROUP BY node\"
  silt sql store \"SELECT date_bin(INTERVAL '1 hour', ts) AS hour, max(x) FROM vibration GROUP BY hour ORDER BY hour\"
  silt sql store \"SELECT date_trunc('day', (ts AT TIME ZONE 'UTC') AT TIME ZONE 'Europe/Berlin') AS day, max(x)
                  FROM vibration GROUP BY day ORDER BY day\"                           days of a place, not of UTC
  silt sql store \"EXPLAIN SELECT count(*) FROM log WHERE message LIKE '%error%'\"
  silt sql store \"SELECT _precision, count(*), min(ts), max(ts) FROM climate GROUP BY _precision\"
  silt sql store \"SELECT avg_bounds(temp_c) FROM climate WHERE ts < '2016-01-01'\"
  silt sql store \"SELECT * FROM climate\" --format parquet --output climate.parquet
  silt sql store < questions.sql
  silt sql store                                           a shell; .help tells what it knows")]
pub struct Args {
    /// Directory of the store
    pub store: PathBuf,
    /// The question, or several with semicolons between; without it, statements come from standard input
    pub query: Option<String>,
    /// How to print the answer
    #[arg(long, value_enum, default_value = "table")]
    pub format: SqlFormat,
    /// File to write the answer to (default: standard output)
    #[arg(long, short, value_name = "FILE", requires = "query")]
    pub output: Option<PathBuf>,
    /// Open the store for writing, for INSERT
    #[arg(long, conflicts_with_all = ["allow_partial", "no_map"])]
    pub write: bool,
    /// How to read
    #[command(flatten)]
    pub reading: super::common::Reading,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SqlFormat {
    /// A table for reading
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON object a line
    Jsonl,
    /// Apache Arrow IPC stream
    Arrow,
    /// Apache Parquet
    Parquet,
}

/// Says that this build cannot.
///
/// # Errors
/// Always.
#[cfg(not(feature = "sql"))]
pub fn run(_: &Args) -> Outcome {
    Err(crate::failure::Failure::usage(
        "this build has no SQL; silt count, search and export take --where, or build with the default features",
    ))
}

/// Answers the question, or every statement that comes in.
///
/// # Errors
/// When a question is wrong or the store cannot be read. In a shell, errors are printed and it goes on.
#[cfg(feature = "sql")]
pub fn run(args: &Args) -> Outcome {
    shell::run(args)
}

#[cfg(feature = "sql")]
mod shell {
    use std::fs::File;
    use std::io::{BufWriter, IsTerminal, Read, Write};
    use std::sync::Arc;
    use std::time::Instant;

    use rustyline::error::ReadlineError;
    use siltstone_query::Settings;
    use siltstone_query::export::{self, Format};
    use siltstone_store::store::Store;

    use super::{Args, SqlFormat};
    use crate::command::{common, stdout};
    use crate::failure::{Answer, Failure, Outcome};
    use crate::progress::grouped;
    use crate::ram;

    const HELP: &str = "\
Statements end with a semicolon and may take several lines.
  .tables          the streams
  .schema STREAM   its columns
  .help            this
  .quit            leave (also Ctrl-D)";

    pub fn run(args: &Args) -> Outcome {
        common::open_read(&args.store)?;
        let writes = args.write || args.query.as_deref().is_some_and(is_insert);
        let store = if writes {
            Store::open(&args.store, crate::ram::options())?
        } else {
            args.reading.open(&args.store)?
        };
        let mut answer = Answer::Done;
        if args.reading.allow_partial && !writes {
            // A query may ask any of them, and says nothing of what it did not see.
            for stream in store.streams() {
                if common::note_left_out(&stream, &store.snapshot(&stream)?) != Answer::Done {
                    answer = Answer::PartlyRefused;
                }
            }
        }
        let context = siltstone_query::context_with(&Arc::new(store), settings())?;
        let ask = Box::new(move |sql: &str, format, out| Ok(export::run(&context, sql, format, out)?));
        let session = Session {
            ask,
            format: format_of(args.format),
        };
        match &args.query {
            Some(query) => match &args.output {
                Some(path) => {
                    let file = File::create(path).map_err(|e| Failure::io("create", path, &e))?;
                    (session.ask)(query, session.format, Box::new(BufWriter::new(file)))?;
                }
                None => session.ask_all(query)?,
            },
            None if std::io::stdin().is_terminal() => session.talk()?,
            None => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                session.ask_all(&text)?;
            }
        }
        Ok(answer)
    }

    /// How queries run within the limit: half of it is for what they sort, join and group, the rest for the plan, the
    /// engine's own tables and rows on their way.
    fn settings() -> Settings {
        let tight = ram::is_tight();
        Settings {
            memory_limit: ram::limit() / 2,
            partitions: usize::from(tight),
            batch_rows: if tight { 1024 } else { 0 },
        }
    }

    fn is_insert(query: &str) -> bool {
        query
            .trim_start()
            .get(..6)
            .is_some_and(|word| word.eq_ignore_ascii_case("insert"))
    }

    fn format_of(format: SqlFormat) -> Format {
        match format {
            SqlFormat::Table => Format::Table,
            SqlFormat::Csv => Format::Csv,
            SqlFormat::Jsonl => Format::JsonLines,
            SqlFormat::Arrow => Format::Arrow,
            SqlFormat::Parquet => Format::Parquet,
        }
    }

    /// Runs a statement and writes its rows; gives their number.
    type Ask = dyn Fn(&str, Format, Box<dyn Write + Send>) -> Outcome<u64>;

    struct Session {
        ask: Box<Ask>,
        format: Format,
    }

    impl Session {
        /// Answers the statements of `text` one after the other; the last needs no semicolon.
        fn ask_all(&self, text: &str) -> Outcome<()> {
            let (mut all, last) = statements(text);
            if !last.trim().is_empty() {
                all.push(last);
            }
            for statement in all {
                (self.ask)(&statement, self.format, self.stdout()?)?;
            }
            Ok(())
        }

        fn stdout(&self) -> Outcome<Box<dyn Write + Send>> {
            if matches!(self.format, Format::Arrow | Format::Parquet) && std::io::stdout().is_terminal() {
                return Err(Failure::usage(
                    "Parquet and Arrow are not for a terminal; name a file with --output",
                ));
            }
            Ok(stdout())
        }

        /// Reads statements from a person until they leave.
        fn talk(&self) -> Outcome<()> {
            let failed =
                |error: ReadlineError| Failure::System(format!("cannot read from the terminal: {error}"));
            let mut editor = rustyline::DefaultEditor::new().map_err(failed)?;
            eprintln!("Statements end with a semicolon; .help tells more.");
            let mut pending = String::new();
            loop {
                let line = match editor.readline(if pending.is_empty() { "silt> " } else { "  ... " }) {
                    Ok(line) => line,
                    Err(ReadlineError::Interrupted) => {
                        pending.clear();
                        continue;
                    }
                    Err(ReadlineError::Eof) => return Ok(()),
                    Err(error) => return Err(failed(error)),
                };
                if pending.is_empty() && line.trim_start().starts_with('.') {
                    // History is a comfort; a line that does not fit it is still run.
                    let _ = editor.add_history_entry(line.trim());
                    match self.command(line.trim()) {
                        Ok(true) => return Ok(()),
                        Ok(false) => {}
                        Err(failure) => eprintln!("silt: {failure}"),
                    }
                    continue;
                }
                pending.push_str(&line);
                pending.push('\n');
                let (ready, rest) = statements(&pending);
                if !ready.is_empty() && rest.trim().is_empty() {
                    let _ = editor.add_history_entry(pending.trim());
                }
                for statement in &ready {
                    self.answer(statement);
                }
                pending = if rest.trim().is_empty() {
                    String::new()
                } else {
                    rest
                };
            }
        }

        fn answer(&self, statement: &str) {
            let started = Instant::now();
            let result = self
                .stdout()
                .and_then(|out| (self.ask)(statement, self.format, out));
            match result {
                Ok(rows) => eprintln!(
                    "{} rows in {:.3} s",
                    grouped(rows),
                    started.elapsed().as_secs_f64()
                ),
                Err(failure) => eprintln!("silt: {failure}"),
            }
        }

        /// Does a command of the shell; true to leave.
        fn command(&self, line: &str) -> Outcome<bool> {
            let query = match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                [".quit" | ".exit" | ".q"] => return Ok(true),
                [".help"] => {
                    eprintln!("{HELP}");
                    return Ok(false);
                }
                [".tables"] => "SHOW TABLES".to_owned(),
                [".schema", stream] => format!("SHOW COLUMNS FROM \"{}\"", stream.replace('"', "\"\"")),
                _ => {
                    return Err(Failure::usage(format!(
                        "{line} is no command; .help tells which there are"
                    )));
                }
            };
            (self.ask)(&query, Format::Table, stdout())?;
            Ok(false)
        }
    }

    /// Statements that end with a semicolon, and the rest. Semicolons in quotes and comments do not count.
    fn statements(text: &str) -> (Vec<String>, String) {
        let (mut done, mut start) = (Vec::new(), 0);
        let mut inside: Option<char> = None;
        let mut before = ' ';
        for (at, c) in text.char_indices() {
            match (inside, c) {
                (Some('\n'), '\n') => inside = None,
                (Some('\n'), _) => {}
                (Some(quote), c) if c == quote => inside = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => inside = Some(c),
                (None, '-') if before == '-' => inside = Some('\n'),
                (None, ';') => {
                    done.push(text.get(start..at).unwrap_or_default().trim().to_owned());
                    start = at + 1;
                }
                _ => {}
            }
            before = c;
        }
        let rest = text.get(start..).unwrap_or_default().to_owned();
        done.retain(|statement| !statement.is_empty());
        (done, rest)
    }

    #[cfg(test)]
    mod tests {
        use super::statements;

        #[test]
        fn semicolons_in_quotes_and_comments_do_not_count() {
            let (done, rest) = statements("SELECT ';', \";\" -- no; end\n;; SELECT 2;\nSELECT 3");
            assert_eq!(done, ["SELECT ';', \";\" -- no; end", "SELECT 2"]);
            assert_eq!(rest.trim(), "SELECT 3");
        }
    }
}

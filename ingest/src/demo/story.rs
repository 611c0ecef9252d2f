//! Tells the demonstration, section by section, as it happens.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use siltstone_ml_bridge::detect;
use siltstone_ml_bridge::train;
use siltstone_ml_bridge::window::{FrontEnd, WindowSpec};
use siltstone_store::predicate::Predicate;
use siltstone_store::schema::TimeUnit;
use siltstone_store::snapshot::Snapshot;
use siltstone_store::store::{Options, SegmentStat, Store};
use siltstone_store::value::Value;

use super::events::events;
use super::load::{Loaded, load};
use super::machine::{BEARINGS, BURST_ROWS, FAILING, Machine, RATE_HZ, Scenario, TRIP_C};
use super::plot::{Buckets, bars, days, marks};
use super::verdict::Verdict;
use super::words::{kilobytes, moment, peak_memory, rounded, seconds, span, timed};
use crate::clock::time_text;
use crate::failure::Outcome;
use crate::output::table::{Align, Table};
use crate::progress::grouped;

const DAY_US: i64 = 86_400_000_000;
/// Width of the words before a row of bars.
const LABEL: usize = 26;

/// Tells the whole story, and leaves a store at `directory`, which must not exist or be empty.
///
/// # Errors
/// What the store refuses, and an output that is closed.
pub fn tell(directory: &Path, scenario: Scenario, out: &mut dyn Write) -> Outcome<()> {
    let started = Instant::now();
    let options = Options {
        memory_limit: 64 << 20,
        rows_per_segment: 1 << 18,
        ..Options::default()
    };
    let mut story = Story {
        store: Arc::new(Store::create(directory, options)?),
        machine: Machine::new(scenario),
        scenario,
        path: directory.display().to_string(),
        out,
    };
    writeln!(
        story.out,
        "A pump motor, {} days, two bearings. One of them starts to fail.\n\
         Everything here is simulated (seed {}): the simulation knows the truth, the detector does not.",
        scenario.days, scenario.seed
    )?;
    let (loaded, levels) = story.signal()?;
    story.stored(&loaded)?;
    story.asked()?;
    story.learned()?;
    story.watched(&levels)?;
    story.next(started.elapsed())?;
    Ok(())
}

/// Root mean square of a burst's first axis in g, and when.
type Levels = Vec<(i64, f64)>;

struct Story<'a> {
    store: Arc<Store>,
    machine: Machine,
    scenario: Scenario,
    path: String,
    out: &'a mut dyn Write,
}

impl Story<'_> {
    fn heading(&mut self, number: usize, title: &str) -> Outcome<()> {
        writeln!(self.out, "\n{number}. {title}\n")?;
        Ok(self.out.flush()?)
    }

    /// What was measured. Returns the vibration levels of the failing bearing by time.
    fn signal(&mut self) -> Outcome<(Loaded, Levels)> {
        self.heading(1, "The signal")?;
        let log = events(&self.machine, self.scenario.seed);
        let start_us = self.machine.truth().start_us;
        let mut levels = Levels::new();
        let loaded = load(&self.store, &self.machine, &log, &mut |bearing, burst| {
            let square = burst.axes[0].iter().map(|g| g * g).sum::<f64>() / BURST_ROWS as f64;
            if bearing == FAILING {
                levels.push((burst.times_us[0], square.sqrt()));
            }
        })?;
        let what = [
            (
                "vibration",
                format!("3 axes at {RATE_HZ} Hz, a fifth of a second every 20 minutes, both bearings"),
            ),
            ("machine", "speed, load and temperature, every minute".to_owned()),
            ("events", "what operators and the controller wrote".to_owned()),
        ];
        for ((stream, words), rows) in what.iter().zip(loaded.rows) {
            writeln!(self.out, "   {stream:<10}{:>10} rows   {words}", grouped(rows))?;
        }
        let mut level = Buckets::new(start_us, self.scenario.days);
        for &(time, rms) in &levels {
            level.add(time, rms);
        }
        let mut warmth = Buckets::new(start_us, self.scenario.days);
        for minute in self.machine.minutes() {
            warmth.add(minute.time_us, minute.temperature_c);
        }
        writeln!(self.out)?;
        self.row("vibration level, drive end", &bars(&level.means(), 0.0, 0.5))?;
        self.row("temperature, drive end", &bars(&warmth.means(), 15.0, 80.0))?;
        self.row("day", &days(self.scenario.days))?;
        Ok((loaded, levels))
    }

    fn row(&mut self, label: &str, bars: &str) -> Outcome<()> {
        Ok(writeln!(self.out, "   {label:<LABEL$} {}", bars.trim_end())?)
    }

    /// What it takes on disk.
    fn stored(&mut self, loaded: &Loaded) -> Outcome<()> {
        self.heading(2, "Stored")?;
        let mut table = Table::new([
            ("stream".to_owned(), Align::Left),
            ("column".to_owned(), Align::Left),
            ("plain binary".to_owned(), Align::Right),
            ("stored".to_owned(), Align::Right),
            ("bits a value".to_owned(), Align::Right),
            ("smaller".to_owned(), Align::Right),
        ]);
        let mut on_disk = 0;
        for stream in ["vibration", "machine", "events"] {
            let segments = self.store.segments(stream)?;
            on_disk += segments.iter().map(|segment| segment.bytes).sum::<u64>();
            for cost in column_costs(&segments) {
                let bits = cost.stored_bits as f64;
                table.push(vec![
                    stream.to_owned(),
                    cost.name,
                    kilobytes(cost.plain_bytes as f64),
                    kilobytes(bits / 8.0),
                    format!("{:.2}", bits / cost.values.max(1) as f64),
                    format!("{:.1}x", cost.plain_bytes as f64 * 8.0 / bits.max(1.0)),
                ]);
            }
        }
        self.table(&mut table)?;
        let rows: u64 = loaded.rows.iter().sum();
        writeln!(
            self.out,
            "\n   {} rows, {} as CSV text, take {} on disk: {:.1} times smaller,\n   \
             logged, sorted and compressed in {} ({} rows a second).",
            grouped(rows),
            kilobytes(loaded.csv_bytes as f64),
            kilobytes(on_disk as f64),
            loaded.csv_bytes as f64 / on_disk.max(1) as f64,
            seconds(loaded.storing),
            grouped(rounded(rows as f64 / loaded.storing.as_secs_f64().max(1e-9))),
        )?;
        Ok(())
    }

    fn table(&mut self, table: &mut Table) -> Outcome<()> {
        let mut text = Vec::new();
        table.write_to(&mut text)?;
        for line in String::from_utf8_lossy(&text).lines() {
            writeln!(self.out, "   {line}")?;
        }
        Ok(())
    }

    /// Questions, answered on the compressed files.
    fn asked(&mut self) -> Outcome<()> {
        self.heading(3, "Asked, without unpacking it")?;
        let truth = self.machine.truth();
        let vibration = self.store.snapshot("vibration")?;
        let from = truth.start_us + 3 * DAY_US / 2;
        let days = Predicate::between(
            "time",
            Value::Timestamp(from),
            Value::Timestamp(from + 3 * DAY_US),
        )
        .and(Predicate::eq("bearing", BEARINGS[FAILING]));
        let (rows, _) = timed(|| vibration.count(&days))?;
        let (median, took) = timed(|| vibration.median("x", &days))?;
        self.answer(
            &format!("exact median of x over {} rows, days 2.5 to 5.5", grouped(rows)),
            &format!("{:.4} g", median.unwrap_or(f64::NAN)),
            took,
        )?;
        let (top, took) = timed(|| vibration.quantile("x", 0.9999, &days))?;
        let top = top.and_then(|value| siltstone_ml_bridge::normalize::number(&value));
        self.answer(
            "exact 99.99 % quantile of the same",
            &format!("{:.3} g", top.unwrap_or(f64::NAN)),
            took,
        )?;
        let loud = Predicate::gt("x", 1.0).or(Predicate::lt("x", -1.0));
        let (count, took) = timed(|| vibration.count(&loud))?;
        self.answer("rows with more than 1 g on x", &grouped(count), took)?;
        let events = self.store.snapshot("events")?;
        let noise = Predicate::contains("message", "noise");
        let (count, took) = timed(|| events.count(&noise))?;
        self.answer("log lines that contain \"noise\"", &grouped(count), took)?;
        for (time, message) in lines(&events, &noise, 3)? {
            writeln!(self.out, "      {}  {message}", moment(time))?;
        }
        let query = [
            "SELECT date_bin(INTERVAL '7 days', time) AS week, bearing, count(*) AS rows, max(x) AS peak_g",
            "FROM vibration GROUP BY week, bearing ORDER BY week, bearing",
        ];
        super::sql::ask(&self.store, &query, self.out)
    }

    fn answer(&mut self, question: &str, answer: &str, took: Duration) -> Outcome<()> {
        Ok(writeln!(
            self.out,
            "   {question:<56} {answer:>12}  {:>10}",
            seconds(took)
        )?)
    }

    /// Training on the first days.
    fn learned(&mut self) -> Outcome<()> {
        self.heading(4, "Learning what healthy sounds like")?;
        let spec = WindowSpec {
            max_gap: Some(10_000),
            ..WindowSpec::new(&["x", "y", "z"], BURST_ROWS, BURST_ROWS)
        };
        let until = self.trained_until();
        let mut request =
            train::Request::new("bearing", "vibration", spec, FrontEnd::spectrum(BURST_ROWS, 16)?);
        request.predicate = Predicate::lt("time", Value::Timestamp(until));
        request.rows = format!("time < '{}'", time_text(until, TimeUnit::Microsecond));
        let (report, took) = timed(|| train::train_model(&self.store, &request, &mut |_| true))?;
        let sizes: Vec<String> = report.layers.iter().map(ToString::to_string).collect();
        let [trained, stop, held_out] = report.recipe.window_counts;
        writeln!(
            self.out,
            "   The first {} days are taken as healthy: {} bursts of {BURST_ROWS} rows, both bearings. Each becomes\n   \
             {} numbers (energy in 16 bands and spikiness, for 3 axes), and a small network learns to\n   \
             give them back through a narrow middle. What it cannot give back is out of the ordinary.\n",
            self.healthy_days(),
            grouped(trained + stop + held_out),
            report.recipe.width(),
        )?;
        let facts = [
            (
                "network",
                format!(
                    "{}, as 8-bit integers, {}",
                    sizes.join("-"),
                    kilobytes(report.bytes as f64)
                ),
            ),
            (
                "trained",
                format!(
                    "on {trained} bursts, {} passes, until {stop} others got no better: {}",
                    report.epochs,
                    seconds(took)
                ),
            ),
            (
                "error",
                format!("{:.2} before, {:.2} after", report.losses.0, report.losses.1),
            ),
            (
                "threshold",
                format!(
                    "{:.2}: the {:.0} % quantile of {held_out} healthy scores it had not seen",
                    report.recipe.threshold,
                    report.recipe.threshold_quantile * 100.0
                ),
            ),
        ];
        for (name, fact) in facts {
            writeln!(self.out, "   {name:<12}{fact}")?;
        }
        Ok(())
    }

    /// Detection over all days, and the comparison with the truth.
    fn watched(&mut self, levels: &[(i64, f64)]) -> Outcome<()> {
        self.heading(5, "Watching")?;
        let truth = self.machine.truth();
        let request = detect::Request::new("bearing", "vibration");
        let (report, took) = timed(|| detect::detect(&self.store, &request, &mut |_| true))?;
        let snapshot = self.store.snapshot(&report.output)?;
        let verdict = Verdict::read(
            &snapshot,
            &truth,
            self.trained_until(),
            report.threshold,
            self.scenario.days,
        )?;
        let columns = verdict.scores[0].len();
        for (bearing, name) in BEARINGS.iter().enumerate() {
            // Bars are on a logarithmic scale: the lowest up to the threshold, the highest at 64 times that.
            let peaks: Vec<f64> = verdict.scores[bearing]
                .peaks()
                .iter()
                .map(|score| (score / report.threshold).log2())
                .collect();
            self.row(&format!("score, {name}"), &bars(&peaks, 0.0, 6.0))?;
        }
        let column = |time: i64| verdict.scores[0].column(time);
        let mut places = vec![(column(truth.bump_us), 'b'), (column(truth.onset_us), 'o')];
        places.extend(verdict.alarm_us.map(|time| (column(time), 'A')));
        self.row("", &marks(columns, &places))?;
        self.row("day", &days(self.scenario.days))?;
        writeln!(self.out)?;
        writeln!(
            self.out,
            "   b  a fork lift bumps the frame        {}",
            moment(truth.bump_us)
        )?;
        writeln!(
            self.out,
            "   o  a flaw begins on the {:<13} {}",
            BEARINGS[FAILING],
            moment(truth.onset_us)
        )?;
        match verdict.alarm_us {
            Some(time) => writeln!(
                self.out,
                "   A  the alarm, for the {:<15} {}   {} after the flaw began",
                BEARINGS[FAILING],
                moment(time),
                span(time - truth.onset_us)
            )?,
            None => writeln!(self.out, "   A  the alarm never came")?,
        }
        writeln!(self.out)?;
        self.rivals(levels, &verdict)?;
        writeln!(
            self.out,
            "\n   {} windows scored in {}. False alarms before the flaw: {} in {} windows, {} of them on days that\n   \
             training never saw. {} lone windows were above the threshold, the bump among them: an alarm\n   \
             takes 3 of the last 5.",
            grouped(report.windows),
            seconds(took),
            verdict.false_alarms,
            grouped(verdict.healthy),
            grouped(verdict.healthy_unseen),
            verdict.healthy_high,
        )?;
        let query = [
            "SELECT d.bearing, min(d.time) AS since, count(*) AS windows, avg(m.load) AS load, avg(m.temperature) AS temperature",
            "FROM vibration_detections d JOIN machine m ON m.time = d.time WHERE d.alarm GROUP BY d.bearing",
        ];
        super::sql::ask(&self.store, &query, self.out)
    }

    /// End of the days that are taken as healthy.
    fn trained_until(&self) -> i64 {
        self.machine.truth().start_us + self.healthy_days() * DAY_US
    }

    /// Days at the start that the model learns from: six of fourteen.
    fn healthy_days(&self) -> i64 {
        i64::try_from(self.scenario.days * 3 / 7).unwrap_or(1)
    }

    /// When simpler watching would have spoken.
    fn rivals(&mut self, levels: &[(i64, f64)], verdict: &Verdict) -> Outcome<()> {
        let healthy: Vec<f64> = (levels.iter())
            .filter(|(time, _)| *time < self.trained_until())
            .map(|&(_, level)| level)
            .collect();
        let usual = healthy.iter().sum::<f64>() / healthy.len().max(1) as f64;
        let doubled = levels
            .windows(3)
            .find(|three| three.iter().all(|&(_, level)| level > 2.0 * usual));
        let words = "a limit on the level (twice the usual)";
        let later = |time: i64| {
            verdict
                .alarm_us
                .map_or(String::new(), |alarm| format!("{} later", span(time - alarm)))
        };
        match doubled {
            Some(three) => {
                writeln!(
                    self.out,
                    "   {words:<40} {}   {}",
                    moment(three[2].0),
                    later(three[2].0)
                )?;
            }
            None => writeln!(self.out, "   {words:<40} never")?,
        }
        let hot = self
            .machine
            .minutes()
            .iter()
            .find(|minute| minute.temperature_c > TRIP_C);
        let words = format!("a limit on temperature ({} °C)", TRIP_C);
        match hot {
            Some(minute) => {
                writeln!(
                    self.out,
                    "   {words:<40} {}   {}",
                    moment(minute.time_us),
                    later(minute.time_us)
                )?;
            }
            None => writeln!(self.out, "   {words:<40} never")?,
        }
        Ok(())
    }

    fn next(&mut self, took: Duration) -> Outcome<()> {
        self.heading(6, "Yours to try")?;
        let path = &self.path;
        let memory = peak_memory().map_or(String::new(), |bytes| {
            format!(", in {} of memory", kilobytes(bytes))
        });
        writeln!(
            self.out,
            "   All this took {}{memory}. The store stays in {path}:\n",
            seconds(took)
        )?;
        let mut tries = vec![
            format!("silt stat {path} vibration"),
            format!("silt search {path} events \"fork lift\""),
            format!("silt count {path} vibration --where \"bearing = 'drive end' AND x > 2\""),
            format!("silt model show {path} bearing"),
            format!("silt export {path} vibration_detections --format csv"),
        ];
        if cfg!(feature = "sql") {
            tries.insert(
                2,
                format!(
                    "silt sql {path} \"SELECT bearing, min(time) AS since, count(*) AS windows, max(score) AS peak\n            \
                     FROM vibration_detections WHERE alarm GROUP BY bearing\""
                ),
            );
        }
        for command in tries {
            writeln!(self.out, "      {command}")?;
        }
        writeln!(
            self.out,
            "\n   Your own data: silt ingest my-store my-stream readings.csv"
        )?;
        Ok(self.out.flush()?)
    }
}

/// What one column costs in all segments.
struct Cost {
    name: String,
    values: u64,
    plain_bytes: u64,
    stored_bits: u64,
}

fn column_costs(segments: &[SegmentStat]) -> Vec<Cost> {
    let mut costs: Vec<Cost> = Vec::new();
    for column in segments.iter().flat_map(|segment| &segment.columns) {
        let bits: u64 = column.parts.iter().map(|(_, bits)| bits).sum();
        match costs.iter_mut().find(|cost| cost.name == column.name) {
            Some(cost) => {
                cost.values += column.values;
                cost.plain_bytes += column.plain_bytes;
                cost.stored_bits += bits;
            }
            None => costs.push(Cost {
                name: column.name.clone(),
                values: column.values,
                plain_bytes: column.plain_bytes,
                stored_bits: bits,
            }),
        }
    }
    costs
}

/// Time and message of the last `limit` log lines that meet the predicate.
fn lines(events: &Snapshot, predicate: &Predicate, limit: usize) -> Outcome<Vec<(i64, String)>> {
    let mut found = Vec::new();
    for batch in events.scan(&["message"], predicate)? {
        let batch = batch?;
        for (row, &time) in batch.times.iter().enumerate() {
            let message = batch.columns[0].bytes(row).unwrap_or_default();
            found.push((time, String::from_utf8_lossy(message).into_owned()));
        }
    }
    let first = found.len().saturating_sub(limit);
    Ok(found.split_off(first))
}

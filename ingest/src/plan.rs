//! How the fields of an input map to the columns of a stream: decided from a sample, then applied to every record.

use siltstone_store::schema::{ColumnType, Schema, SharedSchema, TimeUnit};

use crate::clock::{self, ClockProblem};
use crate::failure::{Failure, Outcome};
use crate::field::{self, Cell, Field, FieldProblem, MAX_NUMBER_BYTES};
use crate::infer::Sample;
use crate::time_format::TimeFormat;

mod time;

use time::{find_time, find_time_of_day, time_names, time_units};

/// Rows of a followed input that say little of what is to come.
const FEW_ROWS: usize = 1_000;

/// What the user said about the columns.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// Field that holds the time; or the field of the day and that of the time of day, with a comma between.
    pub time: Option<String>,
    /// How times are written, if the user spells it out.
    pub time_format: Option<TimeFormat>,
    /// Unit of times that are counts, and of the clock of a new stream.
    pub time_unit: Option<TimeUnit>,
    /// Key columns, in order.
    pub keys: Vec<String>,
    /// Physical units by column name.
    pub units: Vec<(String, String)>,
    /// Types by column name.
    pub types: Vec<(String, ColumnType)>,
    /// Bare fields that stand for null, besides empty ones.
    pub null_tokens: Vec<Vec<u8>>,
    /// Whether numbers have a comma where others have a point.
    pub decimal_comma: bool,
    /// Seconds that times which name no zone are ahead of UTC.
    pub utc_offset_s: i64,
}

/// What has to happen before records of an input can be taken.
#[derive(Debug)]
pub struct Decision {
    /// Schema of the stream, if it has to be created.
    pub create: Option<Schema>,
    /// Channels to add to a stream that is there: name, type, physical unit.
    pub add: Vec<(String, ColumnType, String)>,
    /// Name of the field that holds the time.
    pub time_field: String,
    /// Name of the field that holds the time of day, if that one holds only the day.
    pub time_of_day_field: Option<String>,
    /// Unit of that field where it holds counts, if the user, its name or the stream says it.
    pub count_unit: Option<TimeUnit>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Decides about the fields `names`, of which `sample` was seen, for a new stream or the `existing` one.
///
/// # Errors
/// When the options contradict the input or the stream, or no field looks like a time.
pub fn decide(
    names: &[String],
    sample: &Sample,
    options: &PlanOptions,
    existing: Option<&SharedSchema>,
) -> Outcome<Decision> {
    check_names(names, options, existing)?;
    let time_index = find_time(names, sample, options, existing)?;
    let time_field = names[time_index].clone();
    let mut notes = Vec::new();
    let time_of_day_index = find_time_of_day(names, time_index, sample, options, existing, &mut notes);
    let (count_unit, stream_unit) =
        time_units(&time_field, time_index, sample, options, existing, &mut notes)?;
    let mut decision = Decision {
        create: None,
        add: Vec::new(),
        time_field,
        time_of_day_field: time_of_day_index.map(|index| names[index].clone()),
        count_unit,
        notes,
    };
    let unit_of = |name: &str| {
        options
            .units
            .iter()
            .find(|(column, _)| column == name)
            .map(|(_, unit)| unit.clone())
            .unwrap_or_default()
    };
    let type_of = |index: usize, name: &str| {
        let forced = options
            .types
            .iter()
            .find(|(column, _)| column == name)
            .map(|(_, ty)| *ty);
        forced.or_else(|| sample.columns.get(index).and_then(|column| column.column_type()))
    };
    let mut new_channels = Vec::new();
    let mut whole = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let known = existing.is_some_and(|schema| schema.column(name).is_some());
        if index == time_index || time_of_day_index == Some(index) || known || options.keys.contains(name) {
            continue;
        }
        if let Some(ty) = type_of(index, name) {
            note_odd_text(index, name, ty, sample, options, &mut decision.notes);
            if ty == ColumnType::I64 && options.types.iter().all(|(column, _)| column != name) {
                whole.push(name.as_str());
            }
            new_channels.push((name.clone(), ty, unit_of(name)));
        }
    }
    if sample.paused && sample.rows < FEW_ROWS && !whole.is_empty() {
        decision.notes.push(format!(
            "after {} rows, {} seem to hold whole numbers; if decimals may come, start afresh with --type {}=f64",
            sample.rows,
            whole.join(", "),
            whole.first().unwrap_or(&"x")
        ));
    }
    if existing.is_some() {
        decision.add = new_channels;
        return Ok(decision);
    }
    let mut schema = Schema::new(decision.time_field.clone(), stream_unit);
    for key in &options.keys {
        let ty = names
            .iter()
            .position(|name| name == key)
            .and_then(|index| type_of(index, key));
        schema = schema.with_key(key.clone(), ty.unwrap_or(ColumnType::Text))?;
    }
    for (name, ty, unit) in new_channels {
        schema = schema.with_channel(name, ty, unit)?;
    }
    decision.create = Some(schema);
    Ok(decision)
}

fn check_names(names: &[String], options: &PlanOptions, existing: Option<&SharedSchema>) -> Outcome<()> {
    let (time, time_of_day) = time_names(names, options);
    let asked = (time.iter().chain(&time_of_day).map(|name| ("--time", name)))
        .chain(options.keys.iter().map(|name| ("--key", name)))
        .chain(options.units.iter().map(|(name, _)| ("--unit", name)))
        .chain(options.types.iter().map(|(name, _)| ("--type", name)));
    for (option, name) in asked {
        let in_stream = existing.is_some_and(|schema| schema.column(name).is_some());
        if !names.contains(name) && !in_stream {
            let columns = names.join(", ");
            return Err(Failure::usage(format!(
                "{option} names {name}, which is not a column of the input ({columns})"
            )));
        }
    }
    let Some(schema) = existing else { return Ok(()) };
    let keys: Vec<&str> = schema.keys().iter().map(|key| key.name.as_str()).collect();
    if !options.keys.is_empty() && options.keys != keys {
        return Err(Failure::usage(format!(
            "the stream was created with the keys ({}), which cannot change; leave out --key",
            keys.join(", ")
        )));
    }
    for (name, ty) in &options.types {
        if let Some(column) = schema.column(name).filter(|column| column.ty != *ty) {
            return Err(Failure::usage(format!(
                "column {name} of the stream is of type {}, not {ty}",
                column.ty
            )));
        }
    }
    Ok(())
}

fn note_odd_text(
    index: usize,
    name: &str,
    ty: ColumnType,
    sample: &Sample,
    options: &PlanOptions,
    notes: &mut Vec<String>,
) {
    let forced = options.types.iter().any(|(column, _)| column == name);
    if ty == ColumnType::Text
        && !forced
        && sample
            .columns
            .get(index)
            .is_some_and(|column| column.has_commas())
    {
        notes.push(format!(
            "{name} is text, though it looks like numbers with a decimal comma; --decimal , takes them for numbers"
        ));
        return;
    }
    let odd = sample.columns.get(index).and_then(|column| column.odd_text());
    if let (ColumnType::Text, false, Some((line, text))) = (ty, forced, odd) {
        notes.push(format!(
            "{name} is text because of {text:?} on line {line}; if that means null, start afresh with --null {text:?}, \
             else with --type {name}=f64 to refuse such lines"
        ));
    }
}

/// Where a field goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// It is the time, or its day.
    Time,
    /// It is the time of day.
    TimeOfDay,
    /// Column at this position of the schema.
    Column(usize),
    /// Nowhere yet: no value was seen in it, so its type is not known.
    Undecided,
    /// Nowhere.
    Skip,
}

/// A value of the row under construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Nothing.
    Null,
    /// Key of a fixed-width value.
    Key(u64),
    /// The text of this field.
    Field(usize),
}

/// The mapping, and the row under construction.
#[derive(Debug)]
pub struct Plan {
    schema: SharedSchema,
    types: Vec<ColumnType>,
    targets: Vec<Target>,
    count_unit: Option<TimeUnit>,
    utc_offset_s: i64,
    decimal_comma: bool,
    null_tokens: Vec<Vec<u8>>,
    time_format: Option<TimeFormat>,
    time: Option<i64>,
    /// Day and time of day of the row, where they are two fields.
    halves: Option<[Vec<u8>; 2]>,
    row: Vec<Slot>,
}

impl Plan {
    /// Maps the fields `names` to the columns of `schema` by name.
    pub fn new(schema: SharedSchema, names: &[String], decision: &Decision, options: &PlanOptions) -> Plan {
        let target = |name: &String| match schema.position(name) {
            _ if *name == decision.time_field => Target::Time,
            _ if decision.time_of_day_field.as_ref() == Some(name) => Target::TimeOfDay,
            Some(position) => Target::Column(position),
            // A field named like the clock cannot become a channel beside it.
            None if name == schema.time_name() => Target::Skip,
            None => Target::Undecided,
        };
        let types: Vec<ColumnType> = schema.columns().iter().map(|column| column.ty).collect();
        Plan {
            targets: names.iter().map(target).collect(),
            count_unit: decision.count_unit,
            time_format: options.time_format.clone(),
            halves: decision.time_of_day_field.as_ref().map(|_| Default::default()),
            utc_offset_s: options.utc_offset_s,
            decimal_comma: options.decimal_comma,
            null_tokens: options.null_tokens.clone(),
            time: None,
            row: vec![Slot::Null; types.len()],
            types,
            schema,
        }
    }

    /// Shape of the rows.
    pub fn schema(&self) -> &SharedSchema {
        &self.schema
    }

    /// Bare fields that stand for null, besides empty ones.
    pub fn null_tokens(&self) -> &[Vec<u8>] {
        &self.null_tokens
    }

    /// Where field `index` goes.
    #[inline]
    pub fn target(&self, index: usize) -> Target {
        self.targets.get(index).copied().unwrap_or(Target::Undecided)
    }

    /// Positions of fields that have gone nowhere because no value was seen in them.
    pub fn undecided(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.targets.len()).filter(|&index| self.targets[index] == Target::Undecided)
    }

    pub(crate) fn begin_row(&mut self) {
        self.time = None;
        self.halves.iter_mut().flatten().for_each(Vec::clear);
        self.row.fill(Slot::Null);
    }

    /// Sets the time of the row.
    #[inline]
    pub(crate) fn set_time(&mut self, field: Field<'_>) -> Result<(), String> {
        if field.is_null(&self.null_tokens) || field.text.is_empty() {
            return Ok(());
        }
        if let Some([day, _]) = &mut self.halves {
            day.extend_from_slice(field.text);
            return Ok(());
        }
        self.time = Some(self.parse_time(field.text)?);
        Ok(())
    }

    /// Sets the time of day of the row.
    pub(crate) fn set_time_of_day(&mut self, field: Field<'_>) {
        if let (Some([_, time_of_day]), false) = (&mut self.halves, field.is_null(&self.null_tokens)) {
            time_of_day.extend_from_slice(field.text);
        }
    }

    #[inline]
    fn parse_time(&self, text: &[u8]) -> Result<i64, String> {
        let unit = self.schema.time_unit();
        let result = match &self.time_format {
            None => field::parse_time(text, self.count_unit, unit, self.utc_offset_s),
            Some(format) => format
                .parse(text, self.utc_offset_s)
                .and_then(|moment| moment.ticks(unit))
                .map_err(|problem| FieldProblem::Clock(problem, unit)),
        };
        result.map_err(|problem| self.describe_time(&problem, text))
    }

    #[cold]
    fn describe_time(&self, problem: &FieldProblem, text: &[u8]) -> String {
        let name = self.schema.time_name();
        if let (Some(_), FieldProblem::Clock(ClockProblem::NotATime, _)) = (&self.time_format, problem) {
            return format!(
                "column {name}: {:?} is not as --time-format says",
                field::shorten(text)
            );
        }
        problem.describe(name, ColumnType::Timestamp(self.schema.time_unit()), text)
    }

    /// The time of a row whose day and time of day are two fields.
    fn joined_time(&self, [day, time_of_day]: &[Vec<u8>; 2]) -> Result<i64, String> {
        if self.time_format.is_some() {
            return self.parse_time(&[day, b" ".as_slice(), time_of_day].concat());
        }
        let unit = self.schema.time_unit();
        let joined = clock::parse_time_of_day(time_of_day).and_then(|nanos| {
            let midnight = clock::parse_calendar_in(day, self.utc_offset_s)?;
            clock::Moment(midnight.0 + i128::from(nanos)).ticks(unit)
        });
        joined.map_err(|problem| {
            let text = [day, b" ".as_slice(), time_of_day].concat();
            self.describe_time(&FieldProblem::Clock(problem, unit), &text)
        })
    }

    /// Sets the value of the column at `position` from field `index`.
    #[inline]
    pub(crate) fn set_cell(&mut self, position: usize, index: usize, field: Field<'_>) -> Result<(), String> {
        if field.is_null(&self.null_tokens) {
            return Ok(());
        }
        let mut pointed = [0; MAX_NUMBER_BYTES];
        let ty = self.types[position];
        let read = if self.decimal_comma && !ty.is_binary() {
            field.with_point(&mut pointed)
        } else {
            field
        };
        // Only text is taken from the field itself, and that was not rewritten.
        self.row[position] = match field::parse_cell(ty, read) {
            Ok(Cell::Null) => Slot::Null,
            Ok(Cell::Key(key)) => Slot::Key(key),
            Ok(Cell::Bytes(_)) => Slot::Field(index),
            Err(problem) => return Err(self.describe(position, &problem, field)),
        };
        Ok(())
    }

    #[cold]
    fn describe(&self, position: usize, problem: &FieldProblem, field: Field<'_>) -> String {
        problem.describe(
            &self.schema.columns()[position].name,
            self.types[position],
            field.text,
        )
    }

    /// Time of the row.
    pub(crate) fn time(&self) -> Result<i64, String> {
        if let Some(halves) = self
            .halves
            .as_ref()
            .filter(|halves| halves.iter().all(|half| !half.is_empty()))
        {
            return self.joined_time(halves);
        }
        self.time
            .ok_or_else(|| format!("no time (column {} is empty)", self.schema.time_name()))
    }

    /// Value of the column at `position`.
    #[inline]
    pub(crate) fn cell(&self, position: usize) -> Slot {
        self.row[position]
    }
}

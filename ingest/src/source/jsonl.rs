//! JSON lines: one object a line.
//!
//! Members of nested objects get names with a dot (`"a": {"b": 1}` is the field `a.b`); arrays stay JSON text. Numbers
//! keep the digits they were written with until their column's type is known. A name may come up first in any line.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use memchr::memchr;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::failure::Outcome;
use crate::field::{Field, Form};
use crate::source::input::{Input, More};
use crate::source::{Advance, MAX_RECORD_BYTES, Source};

/// Objects nested deeper than this stay JSON text.
const MAX_DEPTH: usize = 8;
/// A line that would bring more names than this is refused.
const MAX_FIELDS: usize = 4_096;

/// Records of JSON lines.
#[derive(Debug)]
pub struct JsonlSource {
    input: Input,
    names: Vec<String>,
    index_of: HashMap<String, usize>,
    line: u64,
    /// Bytes of the present record with its line end, and without.
    record_bytes: usize,
    text_bytes: usize,
    scanned: usize,
    skipping: bool,
    fields: Vec<Option<(usize, usize, Form)>>,
    values: Vec<u8>,
    problem: Option<String>,
    mark: (usize, u64),
}

impl JsonlSource {
    /// Records of `input`.
    pub fn new(input: Input) -> JsonlSource {
        JsonlSource {
            input,
            names: Vec::new(),
            index_of: HashMap::new(),
            line: 1,
            record_bytes: 0,
            text_bytes: 0,
            scanned: 0,
            skipping: false,
            fields: Vec::new(),
            values: Vec::new(),
            problem: None,
            mark: (0, 1),
        }
    }

    fn consume_record(&mut self) {
        if self.record_bytes > 0 {
            self.input.consume(self.record_bytes);
            self.line += u64::from(!self.skipping);
        }
        (self.record_bytes, self.text_bytes) = (0, 0);
    }

    /// Finds the next line; sets its extent.
    fn find_line(&mut self) -> Outcome<Advance> {
        loop {
            let bytes = self.input.bytes();
            let found = bytes
                .get(self.scanned..)
                .and_then(|rest| memchr(b'\n', rest))
                .map(|at| self.scanned + at);
            self.scanned = bytes.len();
            if let Some(end) = found.filter(|&end| end <= MAX_RECORD_BYTES) {
                (self.text_bytes, self.record_bytes, self.scanned) = (end, end + 1, 0);
                return Ok(Advance::Record);
            }
            if bytes.len() > MAX_RECORD_BYTES {
                (self.text_bytes, self.record_bytes, self.scanned) = (MAX_RECORD_BYTES, MAX_RECORD_BYTES, 0);
                self.skipping = true;
                self.problem = Some(format!("the line is longer than {} MiB", MAX_RECORD_BYTES >> 20));
                return Ok(Advance::Record);
            }
            match self.input.more()? {
                More::Data => {}
                More::Idle => return Ok(Advance::Idle),
                More::End => {
                    let len = self.input.bytes().len();
                    (self.text_bytes, self.record_bytes, self.scanned) = (len, len, 0);
                    return Ok(if len == 0 { Advance::End } else { Advance::Record });
                }
            }
        }
    }

    /// Consumes the rest of a line that was refused for its length.
    fn skip_line(&mut self) -> Outcome<bool> {
        match self.find_line()? {
            Advance::Idle => return Ok(false),
            // Another stretch of the same endless line.
            Advance::Record if self.problem.take().is_some() => {
                self.input.consume(self.record_bytes);
                (self.record_bytes, self.text_bytes) = (0, 0);
                return self.skip_line();
            }
            _ => {}
        }
        self.skipping = false;
        self.consume_record();
        Ok(true)
    }

    fn parse_record(&mut self) {
        self.values.clear();
        self.fields.clear();
        self.fields.resize(self.names.len(), None);
        let text = self
            .input
            .bytes()
            .get(..self.text_bytes)
            .unwrap_or_default()
            .to_vec();
        let Ok(text) = std::str::from_utf8(&text) else {
            self.problem = Some("not valid UTF-8".to_owned());
            return;
        };
        if let Err(problem) = self.add_object(text, "", 0) {
            self.problem = Some(problem);
        }
    }

    fn add_object(&mut self, text: &str, prefix: &str, depth: usize) -> Result<(), String> {
        let Members(members) = serde_json::from_str(text).map_err(|error| {
            if text.trim_start().starts_with('{') {
                // Line 1 of this text is the line that the refusal names.
                format!(
                    "not valid JSON: {}",
                    error.to_string().replace(" at line 1 column", " at column")
                )
            } else {
                "not a JSON object".to_owned()
            }
        })?;
        for (name, value) in members {
            let name = if prefix.is_empty() {
                name
            } else {
                Cow::Owned(format!("{prefix}.{name}"))
            };
            let raw = value.get();
            match raw.as_bytes().first() {
                Some(b'{') if depth < MAX_DEPTH => self.add_object(raw, &name, depth + 1)?,
                Some(b'n') => {
                    // A null still names a field.
                    self.add_field(&name, "", Form::Missing)?;
                }
                Some(b'"') => {
                    let inner = raw.get(1..raw.len() - 1).unwrap_or_default();
                    if inner.contains('\\') {
                        let unescaped: String =
                            serde_json::from_str(raw).map_err(|e| format!("not valid JSON: {e}"))?;
                        self.add_field(&name, &unescaped, Form::Quoted)?;
                    } else {
                        self.add_field(&name, inner, Form::Quoted)?;
                    }
                }
                Some(b'{' | b'[') => self.add_field(&name, raw, Form::Quoted)?,
                _ => self.add_field(&name, raw, Form::Plain)?,
            }
        }
        Ok(())
    }

    fn add_field(&mut self, name: &str, value: &str, form: Form) -> Result<(), String> {
        let index = match self.index_of.get(name) {
            Some(&index) => index,
            None if self.names.len() >= MAX_FIELDS => {
                return Err(format!(
                    "the field {name:?} would be number {}: too many names",
                    MAX_FIELDS + 1
                ));
            }
            None => {
                let index = self.names.len();
                self.names.push(name.to_owned());
                self.index_of.insert(name.to_owned(), index);
                self.fields.push(None);
                index
            }
        };
        let start = self.values.len();
        self.values.extend_from_slice(value.as_bytes());
        if let Some(field) = self.fields.get_mut(index) {
            *field = Some((start, self.values.len(), form));
        }
        Ok(())
    }
}

/// Members of an object in the order in which they are written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A name, borrowed from the text unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

impl Source for JsonlSource {
    fn name(&self) -> &str {
        self.input.name()
    }

    fn field_names(&self) -> &[String] {
        &self.names
    }

    fn quotes_mean_text(&self) -> bool {
        true
    }

    fn advance(&mut self) -> Outcome<Advance> {
        self.consume_record();
        self.problem = None;
        if self.skipping && !self.skip_line()? {
            return Ok(Advance::Idle);
        }
        loop {
            match self.find_line()? {
                Advance::Record => {}
                other => return Ok(other),
            }
            if self.text().trim_ascii().is_empty() {
                self.consume_record();
                continue;
            }
            if self.problem.is_none() {
                self.parse_record();
            }
            return Ok(Advance::Record);
        }
    }

    #[inline]
    fn field(&self, index: usize) -> Field<'_> {
        match self.fields.get(index) {
            Some(&Some((start, end, form))) => Field {
                text: self.values.get(start..end).unwrap_or_default(),
                form,
            },
            _ => Field::MISSING,
        }
    }

    fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn text(&self) -> &[u8] {
        self.input
            .bytes()
            .get(..self.text_bytes)
            .unwrap_or_default()
            .trim_ascii_end()
    }

    fn put_back(&mut self) {
        (self.record_bytes, self.text_bytes) = (0, 0);
        self.skipping = false;
    }

    fn mark(&mut self) {
        self.consume_record();
        self.mark = (self.input.mark(), self.line);
    }

    fn rewind(&mut self) {
        self.input.rewind(self.mark.0);
        self.line = self.mark.1;
        (self.record_bytes, self.text_bytes, self.scanned) = (0, 0, 0);
        self.skipping = false;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn objects_become_fields_by_name() {
        let text = b"{\"t\":1,\"x\":{\"y\":-0.10,\"z\":\"a\\\"b\"}}\n\n[1]\n{\"t\":2,\"n\":null,\"l\":[1, 2]}\r\n{\"t\":\n{\"b\":true}";
        let mut source = JsonlSource::new(Input::from_bytes("test", text));
        let mut rows = Vec::new();
        while source.advance().unwrap() == Advance::Record {
            let fields: Vec<String> = (0..source.field_names().len())
                .filter(|&i| source.field(i).form != Form::Missing)
                .map(|i| {
                    format!(
                        "{}={}",
                        source.names[i],
                        String::from_utf8_lossy(source.field(i).text)
                    )
                })
                .collect();
            rows.push((source.line(), source.problem().is_some(), fields.join(" ")));
        }
        assert_eq!(rows[0], (1, false, "t=1 x.y=-0.10 x.z=a\"b".into()));
        assert_eq!((rows[1].0, rows[1].1), (3, true));
        assert_eq!(rows[2], (4, false, "t=2 l=[1, 2]".into()));
        assert_eq!((rows[3].0, rows[3].1), (5, true));
        assert_eq!(rows[4], (6, false, "b=true".into()));
        assert_eq!(source.field_names(), ["t", "x.y", "x.z", "n", "l", "b"]);
    }
}

//! Columns that line up: names, a rule, rows. Numbers to the right, text to the left.

use std::io::Write;

use siltstone_store::schema::ColumnType;

use crate::failure::Outcome;

/// Which side the cells of a column line up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl Align {
    /// The side for values of a type.
    pub fn of(ty: ColumnType) -> Align {
        if ty.is_float() || ty.is_integer() {
            Align::Right
        } else {
            Align::Left
        }
    }
}

/// A table under construction.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
    header_written: bool,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: impl IntoIterator<Item = (String, Align)>) -> Table {
        let columns: Vec<(String, Align)> = columns.into_iter().collect();
        let widths = columns.iter().map(|(name, _)| width(name)).collect();
        Table {
            columns,
            widths,
            rows: Vec::new(),
            header_written: false,
        }
    }

    /// Adds a row; it should have a cell for each column. Line ends and tabs inside cells are shown as escapes.
    pub fn push(&mut self, cells: Vec<String>) {
        let clean = |cell: String| match cell.contains(char::is_control) {
            true => cell
                .chars()
                .flat_map(|c| {
                    if c.is_control() {
                        c.escape_debug().collect()
                    } else {
                        vec![c]
                    }
                })
                .collect(),
            false => cell,
        };
        let cells: Vec<String> = cells.into_iter().map(clean).collect();
        if !self.header_written {
            for (seen, cell) in self.widths.iter_mut().zip(&cells) {
                *seen = (*seen).max(width(cell));
            }
        }
        self.rows.push(cells);
    }

    /// Rows that are held back.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Prints the rows held back, below the header the first time. From then on widths do not change.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn write_to(&mut self, out: &mut dyn Write) -> Outcome<()> {
        let mut text = String::new();
        if !std::mem::replace(&mut self.header_written, true) {
            let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
            self.push_line(&mut text, &names);
            let rules: Vec<String> = self.widths.iter().map(|&n| "-".repeat(n)).collect();
            let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
            self.push_line(&mut text, &rules);
        }
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            self.push_line(&mut text, &cells);
        }
        self.rows.clear();
        Ok(out.write_all(text.as_bytes())?)
    }

    fn push_line(&self, text: &mut String, cells: &[&str]) {
        let start = text.len();
        for (index, ((cell, (_, align)), &wanted)) in
            cells.iter().zip(&self.columns).zip(&self.widths).enumerate()
        {
            if index > 0 {
                text.push_str("  ");
            }
            let padding = wanted.saturating_sub(width(cell));
            if *align == Align::Right {
                text.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(cell);
            if *align == Align::Left {
                text.extend(std::iter::repeat_n(' ', padding));
            }
        }
        let end = text.trim_end_matches(' ').len().max(start);
        text.truncate(end);
        text.push('\n');
    }
}

/// Columns of a terminal that a text takes: one a character (wide scripts will not line up).
fn width(text: &str) -> usize {
    text.chars().count()
}

//! Lined-up tables, what we lose in them, and the same as JSON.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::Fallible;
use crate::questions::Figures;

/// One subject of a table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name.
    pub name: String,
    /// Whether it is ours.
    pub ours: bool,
    /// Figures by name.
    pub figures: Figures,
}

/// One table: subjects on one column.
#[derive(Debug)]
pub struct Table {
    /// Which kind: `codes`, `values`, `times`, `segments`, `stores`.
    pub kind: String,
    /// The column, and its rows.
    pub title: String,
    /// Names of the figures, in order.
    pub columns: Vec<&'static str>,
    /// The subjects.
    pub rows: Vec<Row>,
}

/// Whether more is better.
fn more_is_better(name: &str) -> bool {
    name.ends_with("MBs") || name.ends_with("GBs")
}

fn show(figure: f64) -> String {
    match figure.abs() {
        size if !size.is_finite() => "-".into(),
        size if size >= 999_500.0 => format!("{:.2}M", figure / 1e6),
        size if size >= 99.95 => format!("{figure:.0}"),
        size if size >= 9.995 => format!("{figure:.1}"),
        size if size >= 0.0995 => format!("{figure:.2}"),
        0.0 => "0".into(),
        _ => format!("{figure:.4}"),
    }
}

impl Table {
    /// Prints the table; the best of each figure has a star.
    pub fn print(&self) {
        println!("\n{}: {}", self.kind, self.title);
        let best: Vec<Option<f64>> = self
            .columns
            .iter()
            .map(|name| self.best(name, |_| true).map(|b| b.1))
            .collect();
        let mut lines = vec![vec![String::new()]];
        lines[0].extend(self.columns.iter().map(|name| (*name).to_owned()));
        for row in &self.rows {
            let mut line = vec![format!("{}{}", if row.ours { "+ " } else { "  " }, row.name)];
            for (name, best) in self.columns.iter().zip(&best) {
                line.push(match row.figures.get(*name) {
                    Some(&figure) if Some(figure) == *best && self.rows.len() > 1 => {
                        format!("*{}", show(figure))
                    }
                    Some(&figure) => show(figure),
                    None => String::new(),
                });
            }
            lines.push(line);
        }
        let used: Vec<usize> = (0..lines[0].len())
            .filter(|&c| c == 0 || lines[1..].iter().any(|line| !line[c].is_empty()))
            .collect();
        let width = |c: usize| {
            lines
                .iter()
                .map(|line| line[c].chars().count())
                .max()
                .unwrap_or(0)
        };
        for line in &lines {
            let cells = used.iter().map(|&c| match c {
                0 => format!("{:<width$}", line[c], width = width(c)),
                _ => format!("{:>width$}", line[c], width = width(c)),
            });
            println!("{}", cells.collect::<Vec<_>>().join("  "));
        }
    }

    /// Best subject of one figure.
    fn best(&self, name: &str, wanted: impl Fn(&Row) -> bool) -> Option<(&Row, f64)> {
        let rows = self.rows.iter().filter(|row| wanted(row));
        let figures = rows.filter_map(|row| Some((row, *row.figures.get(name)?)));
        figures.filter(|(_, figure)| figure.is_finite()).min_by(|a, b| {
            if more_is_better(name) {
                b.1.total_cmp(&a.1)
            } else {
                a.1.total_cmp(&b.1)
            }
        })
    }

    /// Prints, for each row of ours, the figures where a rival that compresses is better, and how many times.
    pub fn print_lost(&self) {
        for row in self.rows.iter().filter(|row| row.ours) {
            let lost = self
                .columns
                .iter()
                .filter(|name| !name.ends_with("KB") && **name != "ratio")
                .filter_map(|name| {
                    let ours = *row.figures.get(*name)?;
                    let (rival, theirs) = self.best(name, |row| !row.ours && row.name != "plain slice")?;
                    let times = if more_is_better(name) {
                        theirs / ours
                    } else {
                        ours / theirs
                    };
                    (times > 1.0).then(|| format!("{name} {} times ({})", show(times), rival.name))
                });
            let lost: Vec<String> = lost.collect();
            if !lost.is_empty() {
                println!("  {} loses {}", row.name, lost.join(", "));
            }
        }
    }

    /// The table's rows as JSON objects.
    pub fn json(&self) -> Vec<Value> {
        let object = |row: &Row| {
            let figures: Map<String, Value> = row
                .figures
                .iter()
                .map(|(name, &figure)| (name.clone(), json!(figure)))
                .collect();
            json!({"table": self.kind, "column": self.title, "subject": row.name, "ours": row.ours, "figures": figures})
        };
        self.rows.iter().map(object).collect()
    }
}

/// Writes all tables as one JSON array.
pub fn write_json(path: &Path, tables: &[Table]) -> Fallible<()> {
    let rows: Vec<Value> = tables.iter().flat_map(Table::json).collect();
    std::fs::write(path, serde_json::to_string_pretty(&rows)? + "\n")?;
    Ok(())
}

/// Adds rows of a JSON array as [`write_json`] makes it to the tables with the same kind and column.
pub fn merge(path: &Path, tables: &mut [Table]) -> Fallible<()> {
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    for row in rows {
        let table = tables
            .iter_mut()
            .find(|t| row["table"] == t.kind.as_str() && row["column"] == t.title.as_str());
        let (Some(table), Some(name)) = (table, row["subject"].as_str()) else {
            continue;
        };
        let known = table.rows.iter().any(|row| row.name == name);
        if row["ours"] != true && !known {
            table.rows.push(Row {
                name: name.into(),
                ours: false,
                figures: figures_of(&row["figures"]),
            });
        }
    }
    Ok(())
}

/// Figures from a JSON object of numbers.
pub fn figures_of(object: &Value) -> Figures {
    let members = object.as_object().into_iter().flatten();
    members
        .filter_map(|(name, figure)| Some((name.clone(), figure.as_f64()?)))
        .collect()
}

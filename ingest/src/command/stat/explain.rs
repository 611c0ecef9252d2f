//! `silt stat --explain`: why columns are stored as they are, as tables and as JSON.

use serde_json::{Value, json};
use siltstone_store::store::{ColumnExplanation, Layout};

use super::{ColumnLine, left, render, right};
use crate::failure::Outcome;
use crate::output::table::Table;

/// What is written where nothing was measured.
const NOTHING: &str = "";

/// Domains that were weighed, and what the codes would take in each layout.
pub(super) fn tables(lines: &[ColumnLine], explained: &[ColumnExplanation]) -> Outcome<String> {
    let mut text =
        String::from("\nWhy this domain: estimated bits a value on a sample, exceptions included\n\n");
    let mut table = Table::new([left("column"), left("domain"), right("bits/value"), left("")]);
    for column in explained {
        let explanation = &column.explanation;
        let mut name = column.name.as_str();
        for domain in &explanation.domains {
            let mark = match explanation.reason {
                _ if domain.name != explanation.domain => NOTHING.to_owned(),
                Some(reason) => format!("stored: {reason}"),
                None => "stored".to_owned(),
            };
            table.push(vec![
                name.to_owned(),
                domain.name.clone(),
                format!("{:.2}", domain.bits),
                mark,
            ]);
            name = NOTHING;
        }
    }
    text.push_str(&render(&mut table)?);
    text.push_str(
        "\nWhat the codes would take in each layout: bits a code, from encoding samples of them\n\n",
    );
    let mut columns = vec![left("column"), left("wish"), left("stored as")];
    columns.extend(Layout::OF_CODES.iter().map(|layout| right(layout.name())));
    columns.push(right("sampled"));
    let mut table = Table::new(columns);
    for column in explained.iter().filter(|column| column.explanation.sampled > 0) {
        let stored = lines.iter().find(|line| line.name == column.name);
        let mut cells = vec![
            column.name.clone(),
            column.wish.to_string(),
            stored.map_or_else(String::new, |line| line.layouts.join(", ")),
        ];
        cells.extend(
            Layout::OF_CODES.iter().map(|&layout| {
                per_code(column, layout).map_or_else(String::new, |bits| format!("{bits:.2}"))
            }),
        );
        cells.push(crate::progress::grouped(column.explanation.sampled));
        table.push(cells);
    }
    text.push_str(&render(&mut table)?);
    Ok(text)
}

/// Everything that is known of a stream's columns, as one JSON object.
pub(super) fn json(stream: &str, rows: u64, lines: &[ColumnLine], explained: &[ColumnExplanation]) -> String {
    let column = |line: &ColumnLine| {
        let mut out = json!({
            "name": line.name,
            "type": line.ty,
            "unit": line.unit,
            "domains": line.domains,
            "codes": line.layouts,
            "values": line.values,
            "bytes": line.bytes,
            "plain_bytes": line.plain_bytes,
            "parts": line.parts.iter().map(|(name, bits)| json!({"name": name, "bits": bits})).collect::<Vec<_>>(),
        });
        if let (Some(found), Some(out)) = (
            explained.iter().find(|found| found.name == line.name),
            out.as_object_mut(),
        ) {
            out.insert("explain".into(), explain_json(found));
        }
        out
    };
    let columns: Vec<Value> = lines.iter().map(column).collect();
    format!(
        "{}\n",
        json!({"stream": stream, "rows": rows, "columns": columns})
    )
}

fn explain_json(column: &ColumnExplanation) -> Value {
    let explanation = &column.explanation;
    let domains = explanation.domains.iter();
    let layouts = Layout::OF_CODES.iter().filter_map(|&layout| {
        let bits = per_code(column, layout)?;
        Some(json!({"name": layout.name(), "bits_per_code": rounded(bits)}))
    });
    json!({
        "wish": column.wish.name(),
        "domain": explanation.domain,
        "reason": explanation.reason,
        "domains": domains
            .map(|domain| json!({"name": domain.name, "bits_per_value": rounded(domain.bits)}))
            .collect::<Vec<_>>(),
        "sampled_codes": explanation.sampled,
        "layouts": layouts.collect::<Vec<_>>(),
    })
}

/// A thousandth of a bit is finer than any of this is known.
fn rounded(bits: f64) -> f64 {
    (bits * 1e3).round() / 1e3
}

/// Bits that a sampled code takes in a layout.
fn per_code(column: &ColumnExplanation, layout: Layout) -> Option<f64> {
    let explanation = &column.explanation;
    let cost = explanation.layouts.iter().find(|cost| cost.layout == layout)?;
    (explanation.sampled > 0).then(|| cost.bits as f64 / explanation.sampled as f64)
}

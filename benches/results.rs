//! What was measured: the table on stdout, and the same as JSON.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A number that one round of a scenario has found.
pub(crate) struct Measured {
    what: String,
    value: f64,
    unit: &'static str,
    wanted: Option<Wanted>,
}

/// What the number is to be. Nothing depends on whether it is.
#[derive(Clone, Copy)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

impl Measured {
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Measured {
        Measured {
            what: what.into(),
            value,
            unit,
            wanted: None,
        }
    }

    pub(crate) fn at_most(self, limit: f64) -> Measured {
        let wanted = Some(Wanted::AtMost(limit));
        Measured { wanted, ..self }
    }

    pub(crate) fn at_least(self, limit: f64) -> Measured {
        let wanted = Some(Wanted::AtLeast(limit));
        Measured { wanted, ..self }
    }
}

/// One number of a scenario over all rounds.
struct Row {
    what: String,
    unit: &'static str,
    wanted: Option<Wanted>,
    /// Sorted.
    values: Vec<f64>,
}

/// Prints the rows of a scenario, and returns them as JSON.
pub(crate) fn report(name: &str, what: &str, rounds: Vec<Vec<Measured>>) -> Value {
    println!("\n{name}  {what}");
    let rows = rows(rounds);
    let cells = rows.iter().map(Row::cells);
    print_aligned(&["", "median", "lowest", "highest", "wanted"], cells);
    let results: Vec<Value> = rows.iter().map(Row::to_json).collect();
    json!({"name": name, "what": what, "results": results})
}

fn rows(rounds: Vec<Vec<Measured>>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for measured in rounds.into_iter().flatten() {
        match rows.iter_mut().find(|row| row.what == measured.what) {
            Some(row) => row.values.push(measured.value),
            None => rows.push(Row {
                what: measured.what,
                unit: measured.unit,
                wanted: measured.wanted,
                values: vec![measured.value],
            }),
        }
    }
    for row in &mut rows {
        row.values.sort_by(f64::total_cmp);
    }
    rows
}

impl Row {
    fn median(&self) -> f64 {
        median(&self.values)
    }

    fn cells(&self) -> [String; 5] {
        let lowest = self.values.first().copied().unwrap_or_default();
        let highest = self.values.last().copied().unwrap_or_default();
        let wanted = match self.wanted {
            Some(Wanted::AtMost(limit)) => format!("≤ {}", written(limit)),
            Some(Wanted::AtLeast(limit)) => format!("≥ {}", written(limit)),
            None => String::new(),
        };
        [
            self.what.clone(),
            format!("{} {}", written(self.median()), self.unit),
            written(lowest),
            written(highest),
            wanted,
        ]
    }

    fn to_json(&self) -> Value {
        let mut row = json!({
            "what": self.what, "unit": self.unit, "median": self.median(), "sorted": self.values,
        });
        match self.wanted {
            Some(Wanted::AtMost(limit)) => row["wanted_at_most"] = limit.into(),
            Some(Wanted::AtLeast(limit)) => row["wanted_at_least"] = limit.into(),
            None => {}
        }
        row
    }
}

/// Of sorted values; of two in the middle, their mean.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
    let len = sorted.len();
    f64::midpoint(middle(len.saturating_sub(1) / 2), middle(len / 2))
}

/// Three digits that count, all of those before the point, and thousands apart.
fn written(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => "unknown".to_string(),
        0.0 => "0".to_string(),
        size if size < 0.1 => format!("{value:.4}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => with_commas(&format!("{value:.0}")),
    }
}

fn with_commas(digits: &str) -> String {
    let mut written = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

fn print_aligned<const N: usize>(
    header: &[&str; N],
    rows: impl Iterator<Item = [String; N]> + Clone,
) {
    let width = |column: usize| {
        let cells = rows.clone().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(header[column].len())
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in [header.map(str::to_string)].into_iter().chain(rows.clone()) {
        let mut line = format!("   {:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            line += &format!("  {cell:>width$}");
        }
        println!("{}", line.trim_end());
    }
}

/// Writes the JSON beside the programs that were built; where.
pub(crate) fn write(results: &Value) -> io::Result<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench.json");
    fs::write(&path, format!("{results:#}\n"))?;
    Ok(path)
}

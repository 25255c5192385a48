//! Tables that can be read as text too.

use std::fmt::Write;

/// Nanoseconds as microseconds.
pub(super) fn microseconds(nanoseconds: f64) -> String {
    let microseconds = nanoseconds / 1e3;
    if microseconds < 10.0 { format!("{microseconds:.2}") } else { format!("{microseconds:.1}") }
}

/// A Markdown table whose columns also line up on a terminal; all but the first `text_columns` are right-aligned.
pub(super) fn markdown(lines: &[Vec<String>], text_columns: usize) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            let _ = if column < text_columns {
                write!(text, "| {cell:<width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for column in 0..columns {
                let dashes = "-".repeat(width(column));
                let _ = if column < text_columns {
                    write!(text, "| {dashes} ")
                } else {
                    write!(text, "| {}: ", &dashes[1..])
                };
            }
            text.push_str("|\n");
        }
    }
    text
}

//! What people and programs read: text, tables and JSON on standard output.

use crate::failure::Failure;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Prints text. A reader that has seen enough (`iotdec list | head`) is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Error(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&json(value)?)
}

/// Writes a value as JSON into a file.
pub fn write_json(value: &impl Serialize, file: &Path) -> Result<(), Failure> {
    std::fs::write(file, json(value)?).map_err(|error| {
        Failure::new(
            format_args!("cannot write {}: {error}", file.display()),
            "Name another file.",
        )
    })
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| Failure::Error(format!("cannot write JSON: {error}")))
}

/// An empty table with these headings, as wide as the terminal if there is one.
/// Colours appear on terminals only, and not if NO_COLOR is set.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(
            headings
                .iter()
                .map(|text| Cell::new(text).add_attribute(Attribute::Bold)),
        );
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        table.force_no_tty();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A cell that says whether something is as it should be.
pub fn verdict(good: bool, text: impl ToString) -> Cell {
    Cell::new(text).fg(if good { Color::Green } else { Color::Red })
}

/// A table's text, without the blanks at the ends of its lines.
pub fn render(table: &Table) -> String {
    table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

//! The table in docs/sinks.md: what is measured must be what is written there.

use crate::environment;

/// A row of the table, by its first column.
///
/// # Panics
/// If there is none, or more than one.
#[track_caller]
fn row(name: &str) -> Vec<String> {
    let page = environment::root().join("docs/sinks.md");
    let page = std::fs::read_to_string(page).expect("the page is part of the tree");
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let mut found: Vec<_> = rows
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .filter(|cells: &Vec<String>| cells[0] == name)
        .collect();
    assert_eq!(found.len(), 1, "rows of {name} in docs/sinks.md");
    found.remove(0)
}

/// Fails unless the row `name` says this of where frames lie when they reach the sink
/// (second column) and how often they are written again (third).
#[track_caller]
pub fn assert_documented(name: &str, reaches: &str, copies: &str) {
    println!("| {name} | {reaches} | {copies} |");
    let row = row(name);
    assert_eq!(
        (row[1].as_str(), row[2].as_str()),
        (reaches, copies),
        "docs/sinks.md says something else of {name}"
    );
}

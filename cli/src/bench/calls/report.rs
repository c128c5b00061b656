//! Results as people read them, and as a page of documentation shows them.

use super::contender::Contender;
use super::result::{Results, RowResult, Standing, Work};
use crate::bench::statistics::Summary;
use crate::output;

/// What stands in a table for a contender in a row.
type Cell = fn(&Standing) -> Option<String>;

const TABLES: [(&str, Cell); 3] = [
    ("MEDIAN", |it| Some(time(it.p50.median))),
    ("99 % BELOW", |it| Some(time(it.p99.median))),
    ("MEDIAN, X FLOOR", |it| {
        Some(format!("{:.2}", it.to_floor?.median))
    }),
];

/// Text.
pub fn text(results: &Results) -> String {
    let mut text = opening(results) + "\n";
    for (heading, cell) in TABLES {
        let headings = Contender::ALL.map(|it| it.name().to_uppercase());
        let headings = std::iter::once(heading).chain(headings.iter().map(String::as_str));
        let mut table = output::table(&headings.collect::<Vec<_>>());
        for row in &results.rows {
            table.add_row(cells(row, cell));
        }
        text += &format!("{}\n", right(table));
    }
    let mut table = output::table(&["STEP", "NANOSECONDS", "SPREAD", ""]);
    for step in &results.breakdown {
        let spread = format!("{:.0} - {:.0}", step.ns.min, step.ns.max);
        let median = format!("{:.0}", step.ns.median);
        table.add_row([step.step.clone(), median, spread, step.how.clone()]);
    }
    text += &format!("{}\n", output::render(&table));
    let mut table = output::table(&["MILLISECONDS", "QEMU", "TURBO", "TIMES AS FAST"]);
    for work in &results.work {
        table.add_row(worked(work));
    }
    text += &format!("{}\n", right(table));
    let mut table = output::table(&["TARGET", "MEASURED", ""]);
    for target in &results.targets {
        let verdict = if target.met { "PASS" } else { "MISS" };
        table.add_row([
            target.what.clone().into(),
            format!("{:.0}", target.value).into(),
            output::verdict(target.met, verdict),
        ]);
    }
    text + &output::render(&table)
}

/// Tables in Markdown.
pub fn markdown(results: &Results) -> String {
    let mut text = opening(results);
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let tables: [(&str, Cell); 3] = [
        ("median (of the rounds' medians: least, most)", |it| {
            Some(spread(&it.p50))
        }),
        ("99 % are below", |it| Some(time(it.p99.median))),
        ("median as a multiple of the floor", |it| {
            Some(format!("{:.2}", it.to_floor?.median))
        }),
    ];
    for (heading, cell) in tables {
        let names = Contender::ALL.map(|it| format!("`{}`", it.name()));
        let mut headings = vec![heading.to_owned()];
        headings.extend(names);
        text += "\n";
        text += &row(headings);
        text += &format!("|---|{}\n", "---:|".repeat(Contender::ALL.len()));
        for result in &results.rows {
            text += &row(cells(result, cell));
        }
    }
    text += "\n| step | ns | what it is |\n|---|---:|---|\n";
    for step in &results.breakdown {
        let ns = &step.ns;
        let ns = format!("{:.0} ({:.0} – {:.0})", ns.median, ns.min, ns.max);
        text += &row(vec![step.step.clone(), ns, step.how.clone()]);
    }
    if !results.work.is_empty() {
        text += "\n| milliseconds | QEMU | turbo | times as fast |\n|---|---:|---:|---:|\n";
    }
    for work in &results.work {
        text += &row(worked(work).to_vec());
    }
    text
}

/// A row of libraries that have something to do.
fn worked(work: &Work) -> [String; 4] {
    let cell = |it: &Summary, digits: usize| {
        format!(
            "{:.digits$} ({:.digits$} – {:.digits$})",
            it.median, it.min, it.max
        )
    };
    let [plain, turbo] = [cell(&work.plain, 1), cell(&work.turbo, 1)];
    [work.work.to_owned(), plain, turbo, cell(&work.faster, 2)]
}

fn opening(results: &Results) -> String {
    let machine = &results.machine;
    let clock = results.clock.map_or(0.0, |clock| clock.median);
    format!(
        "{}, {} cores, Linux {}, load {} at the beginning; {}, {}; {} rounds; \
         {clock:.0} ns for the clock are taken off.\n",
        machine.cpu,
        machine.cores,
        machine.kernel,
        machine.load,
        results.qemu,
        results.cpu_model,
        results.rounds
    )
}

/// A row's name, and what it has for each contender.
fn cells(row: &RowResult, cell: Cell) -> Vec<String> {
    let of = |contender| row.contenders.iter().find(|it| it.contender == contender);
    let mut cells = vec![row.row.name().to_owned()];
    cells.extend(Contender::ALL.map(|it| of(it).and_then(cell).unwrap_or_default()));
    cells
}

fn right(mut table: comfy_table::Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    output::render(&table)
}

fn spread(ns: &Summary) -> String {
    format!("{} ({} – {})", time(ns.median), time(ns.min), time(ns.max))
}

/// Nanoseconds, or microseconds where these are plenty.
fn time(ns: f64) -> String {
    match ns {
        ..10_000.0 => format!("{ns:.0} ns"),
        _ => format!("{:.1} µs", ns / 1e3),
    }
}

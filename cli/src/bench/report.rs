//! Results as people read them.

use super::contender::Contender;
use super::result::{Cost, FileResult, Results, Standing};
use super::statistics::Summary;
use super::worker::Counts;
use crate::output;

/// How much faster a contender's best round may be than its worst before the
/// reader is told that the comparison is worth little.
const QUIET: f64 = 1.1;

/// All results.
pub fn text(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "{}, {} cores, Linux {}, load {}\n",
        machine.cpu, machine.cores, machine.kernel, machine.load
    );
    if !results.costs.is_empty() {
        text += &format!("\n{}", costs(&results.costs));
    }
    for file in &results.files {
        text += &format!("\n{}", heading(file));
        text += &table(&file.contenders);
        text += &counts(file);
        if file.contenders.iter().any(is_disturbed) {
            text += "something else kept the machine busy, and ratios tell little: \
                     measure again when it is quiet, or with more --runs\n";
        }
        if let Some(why) = &file.native_missing {
            text += &format!("no native contender: {why}\n");
        }
        text += &format!(
            "\nplayed at its own pace, {:.1} fps: {} of {} frames late, {:.1} ms at most; \
             {:.2} % of a core at 25 fps outside QEMU\n\n",
            file.paced.frames as f64 / file.paced.seconds,
            file.paced.late,
            file.paced.frames,
            file.paced.latest_ms,
            file.paced.host_cpu_percent
        );
        text += &targets(file);
    }
    text
}

fn is_disturbed(standing: &Standing) -> bool {
    standing.fps.max > QUIET * standing.fps.min
}

fn heading(file: &FileResult) -> String {
    let versions = &file.versions;
    format!(
        "{}: {} frames of {}\n{} as {} in {}, accelerator {}, GStreamer {}\n\n",
        file.file.display(),
        file.frames,
        file.format,
        versions.library,
        versions.cpu_model,
        versions.qemu,
        versions.accelerator,
        versions.gstreamer.trim_start_matches("GStreamer "),
    )
}

fn table(standings: &[Standing]) -> String {
    let columns: [Column<Standing>; 9] = [
        ("CONTENDER", |s| Some(s.contender.name().to_owned())),
        ("FPS", |s| Some(format!("{:.2}", s.fps.median))),
        ("SPREAD", |s| {
            Some(format!("{:.2} - {:.2}", s.fps.min, s.fps.max))
        }),
        ("X PLAIN", |s| s.to_plain.map(ratio)),
        ("SPREAD", |s| {
            let ratio = s.to_plain?;
            Some(format!("{:.2} - {:.2}", ratio.min, ratio.max))
        }),
        ("X BARE", |s| s.to_bare.map(ratio)),
        ("X IOTDEC", |s| s.to_iotdec.map(ratio)),
        ("QEMU MS/FRAME", |s| {
            let is_emulated = s.contender != Contender::Native;
            number(s.worker_cpu_ms().filter(|_| is_emulated))
        }),
        ("HOST MS/FRAME", |s| number(s.host_cpu_ms())),
    ];
    columns_with_something(&columns, standings)
}

/// What the accelerator did for each frame.
fn counts(file: &FileResult) -> String {
    type Row<'a> = (&'a Standing, Counts, f64);
    let frames = file.frames.max(1) as f64;
    let rows: Vec<Row<'_>> = file
        .contenders
        .iter()
        .filter_map(|standing| Some((standing, standing.counts()?, frames)))
        .filter(|(_, counts, _)| *counts != Counts::default())
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns: [Column<Row<'_>>; 9] = [
        ("EACH FRAME", |(s, ..)| Some(s.contender.name().to_owned())),
        ("ENTRIES", |(_, c, n)| a_frame(c.entries, *n)),
        ("SYSCALLS", |(_, c, n)| a_frame(c.syscalls, *n)),
        ("UNKNOWN", |(_, c, n)| a_frame(c.unknown, *n)),
        ("PAUSES", |(_, c, n)| a_frame(c.pauses, *n)),
        ("NATIVE CALLS", |(_, c, n)| a_frame(c.native_calls, *n)),
        ("LEFT FOR GOOD", |(_, c, _)| Some(c.leaves.to_string())),
        ("BLOCKS", |(_, c, _)| Some(c.blocks.to_string())),
        ("CODE KIB", |(_, c, _)| {
            Some((c.code_bytes >> 10).to_string())
        }),
    ];
    format!("\n{}", columns_with_something(&columns, &rows))
}

fn a_frame(count: u64, frames: f64) -> Option<String> {
    Some(format!("{:.1}", count as f64 / frames))
}

fn costs(costs: &[Cost]) -> String {
    let mut table = output::table(&["OPERATION", "NANOSECONDS", "SPREAD"]);
    for Cost { what, ns } in costs {
        table.add_row([
            what.clone(),
            format!("{:.0}", ns.median),
            format!("{:.0} - {:.0}", ns.min, ns.max),
        ]);
    }
    align_numbers(&mut table);
    output::render(&table)
}

/// What stands above a column, and in it for each row.
type Column<R> = (&'static str, fn(&R) -> Option<String>);

/// A table of rows without the columns that are empty.
fn columns_with_something<R>(columns: &[Column<R>], rows: &[R]) -> String {
    let has_something = |(_, cell): &&Column<R>| rows.iter().any(|row| cell(row).is_some());
    let columns: Vec<_> = columns.iter().filter(has_something).collect();
    let headings: Vec<_> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut table = output::table(&headings);
    for row in rows {
        let cells = columns.iter().map(|(_, cell)| cell(row));
        table.add_row(cells.map(Option::unwrap_or_default));
    }
    align_numbers(&mut table);
    output::render(&table)
}

fn align_numbers(table: &mut comfy_table::Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
}

fn number(value: Option<f64>) -> Option<String> {
    value.map(|value| format!("{value:.2}"))
}

fn ratio(value: Summary) -> String {
    format!("{:.3}", value.median)
}

fn targets(file: &FileResult) -> String {
    let mut table = output::table(&["TARGET", "MEASURED", ""]);
    for target in &file.targets {
        let verdict = if target.met { "PASS" } else { "MISS" };
        table.add_row([
            target.what.clone().into(),
            format!("{:.3}", target.value).into(),
            output::verdict(target.met, verdict),
        ]);
    }
    output::render(&table)
}

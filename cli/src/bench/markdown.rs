//! Results as a page of documentation shows them.

use super::contender::Contender;
use super::result::{FileResult, Results, Standing};
use super::statistics::Summary;
use std::fmt::Write;

/// Tables of speeds, counts and costs.
pub fn tables(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "{}, {} cores, Linux {}, load {} at the beginning",
        machine.cpu, machine.cores, machine.kernel, machine.load
    );
    if let Some(file) = results.files.first() {
        let rounds = file.contenders.first().map_or(0, |s| s.samples.len());
        let qemu = &file.versions.qemu;
        write!(text, "; {qemu}; {rounds} rounds").expect("a String takes everything");
    }
    text += ".\n\n";
    let is_plain = |standing: &Standing| standing.contender == Contender::Plain;
    if results
        .files
        .iter()
        .any(|file| file.contenders.iter().any(is_plain))
    {
        text += &speeds(&results.files);
        text += "\n";
        text += &counts(&results.files);
        text += "\n";
    }
    text += &paces(&results.files);
    if !results.costs.is_empty() {
        text += "\n| operation | nanoseconds |\n|---|---:|\n";
        for cost in &results.costs {
            text += &row([cost.what.clone(), spread(&cost.ns, 0)]);
        }
    }
    text
}

/// Frames a second of `plain`, and what the others are of it.
fn speeds(files: &[FileResult]) -> String {
    let others = Contender::ACCELERATOR
        .into_iter()
        .filter(|contender| *contender != Contender::Plain);
    let names = others
        .clone()
        .map(|contender| format!("`{}`", contender.name()));
    let mut text = row(["clip", "library", "`plain`, fps"]
        .map(String::from)
        .into_iter()
        .chain(names));
    text += &("|---|---|".to_owned() + &"---:|".repeat(1 + others.clone().count()) + "\n");
    for file in files {
        let find = |contender| file.contenders.iter().find(|s| s.contender == contender);
        let plain = find(Contender::Plain).map_or(String::new(), |s| spread(&s.fps, 1));
        let ratios = others.clone().map(|contender| {
            let ratio = find(contender).and_then(|standing| standing.to_plain);
            ratio.map_or(String::new(), |ratio| spread(&ratio, 2))
        });
        let head = [clip(file), file.versions.library.clone(), plain];
        text += &row(head.into_iter().chain(ratios));
    }
    text
}

/// What the accelerator did for each frame.
fn counts(files: &[FileResult]) -> String {
    let mut text = row([
        "clip, for each frame",
        "entries",
        "system calls",
        "unknown instructions",
        "pauses",
        "native calls",
        "left for good",
        "blocks, in all",
        "code, KiB",
    ]
    .map(String::from));
    text += &("|---|".to_owned() + &"---:|".repeat(8) + "\n");
    for file in files {
        let is_full = |standing: &&Standing| standing.contender == Contender::TurboCalls;
        let Some(counts) = file
            .contenders
            .iter()
            .find(is_full)
            .and_then(Standing::counts)
        else {
            continue;
        };
        let a_frame = |count: u64| format!("{:.1}", count as f64 / file.frames.max(1) as f64);
        text += &row([
            clip(file),
            a_frame(counts.entries),
            a_frame(counts.syscalls),
            a_frame(counts.unknown),
            a_frame(counts.pauses),
            a_frame(counts.native_calls),
            counts.leaves.to_string(),
            counts.blocks.to_string(),
            (counts.code_bytes >> 10).to_string(),
        ]);
    }
    text
}

/// How it went at the streams' own pace.
fn paces(files: &[FileResult]) -> String {
    let mut text = row([
        "clip, at its own pace",
        "accelerator",
        "fps",
        "frames",
        "more than 20 ms late",
        "latest, ms",
        "CPU of the worker, ms a frame",
    ]
    .map(String::from));
    text += &("|---|---|".to_owned() + &"---:|".repeat(5) + "\n");
    for file in files {
        let paced = &file.paced;
        let frames = paced.frames.max(1) as f64;
        text += &row([
            clip(file),
            file.versions.accelerator.clone(),
            format!("{:.1}", paced.frames as f64 / paced.seconds),
            paced.frames.to_string(),
            paced.late.to_string(),
            format!("{:.1}", paced.latest_ms),
            format!("{:.1}", 1e3 * paced.worker_cpu_seconds / frames),
        ]);
    }
    text
}

fn clip(file: &FileResult) -> String {
    let name = file.file.file_name().unwrap_or(file.file.as_os_str());
    let size = file.format.split(' ').next().unwrap_or_default();
    format!("`{}`, {size}, {} frames", name.display(), file.frames)
}

fn spread(summary: &Summary, digits: usize) -> String {
    let Summary { median, min, max } = summary;
    format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<_> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

//! Results as people read them.

use super::contender::Contender;
use super::result::{FileResult, Results, Standing};
use super::statistics::Summary;
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
    for file in &results.files {
        text += &format!("\n{}", heading(file));
        text += &table(&file.contenders);
        if file.contenders.iter().any(is_disturbed) {
            text += "something else kept the machine busy, and ratios tell little: \
                     measure again when it is quiet, or with more --runs\n";
        }
        if let Some(why) = &file.native_missing {
            text += &format!("no native contender: {why}\n");
        }
        text += &format!(
            "\nplayed at its own pace, {:.1} fps: {:.2} % of a core at 25 fps outside QEMU\n\n",
            file.paced.frames as f64 / file.paced.seconds,
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
        "{}: {} frames of {}\n{} as {} in {}, GStreamer {}\n\n",
        file.file.display(),
        file.frames,
        file.format,
        versions.library,
        versions.cpu_model,
        versions.qemu,
        versions.gstreamer.trim_start_matches("GStreamer "),
    )
}

fn table(standings: &[Standing]) -> String {
    let mut table = output::table(&[
        "CONTENDER",
        "FPS",
        "SPREAD",
        "X BARE",
        "X IOTDEC",
        "QEMU MS/FRAME",
        "HOST MS/FRAME",
    ]);
    for standing in standings {
        let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.2}"));
        let median = |summary: Option<Summary>| summary.map(|summary| summary.median);
        let fps = standing.fps;
        let emulated = standing.contender != Contender::Native;
        table.add_row([
            standing.contender.name().to_owned(),
            format!("{:.2}", fps.median),
            format!("{:.2} - {:.2}", fps.min, fps.max),
            ratio(median(standing.to_bare)),
            ratio(median(standing.to_iotdec)),
            number(standing.worker_cpu_ms().filter(|_| emulated)),
            number(standing.host_cpu_ms()),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    output::render(&table)
}

fn ratio(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.3}"))
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

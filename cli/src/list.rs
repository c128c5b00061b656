//! `iotdec list`: every decoder there is, and whether it can run here.

use crate::args::ListArgs;
use crate::failure::Failure;
use crate::{output, pipeline};
use iotdec_bridge::launch::Resolver;
use iotdec_bridge::{Acceleration, Launch, LaunchError, Manifest, Overrides, manifest};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

/// Runs the command.
pub fn run(args: &ListArgs) -> Result<ExitCode, Failure> {
    let listing = Listing::collect();
    if args.json {
        output::print_json(&listing)?;
    } else {
        output::print(&listing.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything the command tells.
#[derive(Debug, Serialize)]
struct Listing {
    /// Whether GStreamer finds the plugin, without which no decoder is of use.
    plugin_found: bool,
    decoders: Vec<Entry>,
    /// What is wrong with the manifests that make no decoder.
    bad_manifests: Vec<String>,
    /// Where manifests were looked for.
    search_path: Vec<PathBuf>,
}

/// One decoder.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    element: String,
    long_name: String,
    caps: String,
    rank: u16,
    manifest: PathBuf,
    adapter: String,
    /// What the manifest asks for; the file it is, where it can run.
    library: PathBuf,
    #[serde(flatten)]
    place: Option<Place>,
    /// Why it cannot run.
    problem: Option<String>,
}

/// What a decoder runs in.
#[derive(Debug, Serialize)]
struct Place {
    cpu: String,
    sysroot: PathBuf,
    qemu: PathBuf,
    worker: PathBuf,
    /// What will be switched on of the accelerator, if the worker's own test finds that
    /// it works.
    accel: &'static str,
    /// Why not more.
    accel_reason: Option<String>,
    accelerator: Option<PathBuf>,
}

impl Place {
    /// The place, and the library.
    fn of(launch: Launch) -> (Self, PathBuf) {
        let cpu = launch.cpu_model().to_owned();
        let (accel, obstacle, accelerator) = match launch.accelerator {
            Ok(chosen) => (chosen.mode, chosen.obstacle, Some(chosen.plugin)),
            Err(obstacle) => (Acceleration::Off, Some(obstacle), None),
        };
        let place = Self {
            cpu,
            sysroot: launch.sysroot,
            qemu: launch.qemu,
            worker: launch.worker,
            accel: accel.name(),
            accel_reason: obstacle.map(|obstacle| obstacle.to_string()),
            accelerator,
        };
        (place, launch.library)
    }
}

impl Listing {
    fn collect() -> Self {
        let (manifests, errors) = manifest::discover();
        let mut bad_manifests: Vec<_> = errors.iter().map(ToString::to_string).collect();
        let mut decoders = Vec::new();
        let mut resolver = Resolver::default();
        for manifest in manifests {
            if gst::Caps::from_str(&manifest.caps).is_err() {
                let file = manifest.file.display();
                bad_manifests.push(format!(
                    "{file}, line {}: caps {:?} are not in GStreamer's notation",
                    manifest.lines.caps, manifest.caps
                ));
                continue;
            }
            let launch = resolver.resolve(&manifest, &Overrides::default());
            decoders.push(Entry::new(manifest, launch));
        }
        Self {
            plugin_found: pipeline::has_plugin(),
            decoders,
            bad_manifests,
            search_path: manifest::search_path(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if self.decoders.is_empty() {
            text += "No decoders: no manifest in any of the directories\n";
            for directory in &self.search_path {
                text += &format!("  {}\n", directory.display());
            }
            text += "Install iotdec, or set IOTDEC_DECODER_PATH to a directory of manifests.\n";
        } else {
            text += &self.table();
            text += &self.places();
        }
        let slower = |entry: &'_ Entry| entry.place.as_ref()?.accel_reason.clone();
        for (reason, names) in self.by_text(slower) {
            text += &format!(
                "\n{} without all of the accelerator: {reason}\n",
                several(&names)
            );
        }
        for (problem, names) in self.by_text(|entry| entry.problem.clone()) {
            text += &format!("\n{} cannot run: {problem}\n", several(&names));
        }
        for bad in &self.bad_manifests {
            let bad = bad.trim_end().replace('\n', "\n  ");
            text += &format!("\nBad manifest {bad}\n");
        }
        if !self.plugin_found {
            let remedy = pipeline::PLUGIN_REMEDY;
            text += &format!("\nGStreamer does not find the iotdec plugin. {remedy}\n");
        }
        text
    }

    /// The decoders' names by what is to be said of them: many of one library have one
    /// problem.
    fn by_text(&self, text: impl Fn(&Entry) -> Option<String>) -> BTreeMap<String, Vec<&str>> {
        let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in &self.decoders {
            if let Some(text) = text(entry) {
                names.entry(text).or_default().push(entry.name.as_str());
            }
        }
        names
    }

    fn table(&self) -> String {
        let mut table = output::table(&[
            "NAME",
            "DESCRIPTION",
            "ELEMENT",
            "DECODES",
            "RANK",
            "CPU MODEL",
            "ACCEL",
            "LIBRARY",
        ]);
        for entry in &self.decoders {
            let place = entry.place.as_ref();
            let library = match place {
                Some(_) => output::verdict(true, entry.library_name()),
                None => output::verdict(false, "cannot run"),
            };
            table.add_row([
                (&entry.name).into(),
                (&entry.long_name).into(),
                (&entry.element).into(),
                entry.media_types().into(),
                rank(entry.rank).into(),
                place.map_or("", |place| &place.cpu).into(),
                place.map_or("", |place| place.accel).into(),
                library,
            ]);
        }
        output::render(&table)
    }

    /// The paths, each once: usually they are the same for all decoders.
    fn places(&self) -> String {
        let mut paths: BTreeMap<(u8, &str, String), Vec<&str>> = BTreeMap::new();
        for entry in &self.decoders {
            let mut note = |order, what, path: &PathBuf| {
                let key = (order, what, path.display().to_string());
                paths.entry(key).or_default().push(&entry.name);
            };
            note(0, "manifest", &entry.manifest);
            if let Some(place) = &entry.place {
                note(1, "library", &entry.library);
                note(2, "sysroot", &place.sysroot);
                note(3, "qemu", &place.qemu);
                note(4, "worker", &place.worker);
                if let Some(accelerator) = &place.accelerator {
                    note(5, "accelerator", accelerator);
                }
            }
        }
        let runnable = self.decoders.iter().filter(|e| e.place.is_some()).count();
        let mut text = String::from("\n");
        for ((order, what, path), names) in paths {
            // What all have in common needs no names.
            let of = if order > 1 && names.len() == runnable {
                String::new()
            } else {
                format!("  ({})", several(&names))
            };
            text += &format!("{what:<11} {path}{of}\n");
        }
        text
    }
}

impl Entry {
    fn new(manifest: Manifest, launch: Result<Launch, LaunchError>) -> Self {
        let element = manifest.element_name();
        let rank = manifest.rank.number();
        let (library, place, problem) = match launch {
            Ok(launch) => {
                let (place, library) = Place::of(launch);
                (library, Some(place), None)
            }
            Err(error) => (manifest.library, None, Some(error.to_string())),
        };
        Self {
            element,
            rank,
            library,
            place,
            problem,
            name: manifest.name,
            long_name: manifest.long_name,
            caps: manifest.caps,
            manifest: manifest.file,
            adapter: manifest.adapter,
        }
    }

    fn library_name(&self) -> String {
        let name = self.library.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The media types of the caps, without their details.
    fn media_types(&self) -> String {
        let caps = gst::Caps::from_str(&self.caps).expect("checked when collected");
        let mut names: Vec<_> = caps.iter().map(|s| s.name().to_string()).collect();
        names.dedup();
        names.join(", ")
    }
}

/// Names, or how many where that is too many to read.
fn several(names: &[&str]) -> String {
    const MOST: usize = 5;
    match names {
        [first, .., last] if names.len() > MOST => {
            format!("{} decoders, {first} to {last}", names.len())
        }
        _ => names.join(", "),
    }
}

/// GStreamer's name for a rank.
fn rank(number: u16) -> String {
    match number {
        0 => "none (0)".into(),
        64 => "marginal (64)".into(),
        128 => "secondary (128)".into(),
        256 => "primary (256)".into(),
        other => other.to_string(),
    }
}

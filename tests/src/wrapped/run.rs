//! Runs tests with a library.

use super::recipe::{Recipe, Test};
use super::{Material, in_parallel};
use crate::environment::root;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a test ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The test's name.
    pub test: String,
    /// Whether it says that all is well.
    pub passed: bool,
    /// How long it took.
    pub took: Duration,
    /// The end of what it printed, with how it ended.
    pub end: String,
}

/// What programs are run with.
#[derive(Clone, Debug, Default)]
pub struct With {
    /// A directory that has a library of the name.
    pub directory: PathBuf,
    /// A library to load before all others.
    pub preload: Option<PathBuf>,
    /// Further variables.
    pub variables: Vec<(String, String)>,
    /// How much slower than natively it may be.
    pub patience: u32,
    /// The longest that a test may take in any case.
    pub limit: Option<Duration>,
}

/// `run`: a program of the recipe with the library, and none of the shell's own.
const PRELUDE: &str = r#"
set -e
ulimit -c 0
run() {
    program=$1
    shift
    env LD_LIBRARY_PATH="$LIBRARIES" ${PRELOAD:+LD_PRELOAD="$PRELOAD"} "$PROGRAMS/$program" "$@"
}
"#;

/// Runs the tests of a recipe, several at a time.
///
/// # Panics
/// If the directory has no such library: programs would take the native one.
pub fn run(recipe: &Recipe, programs: &Path, material: &Material, with: &With) -> Vec<Outcome> {
    let library = with.directory.join(&recipe.library);
    assert!(library.exists(), "{} is missing", library.display());
    in_parallel(&recipe.tests, |test| {
        one(recipe, test, programs, material, with)
    })
}

fn one(recipe: &Recipe, test: &Test, programs: &Path, material: &Material, with: &With) -> Outcome {
    let place = tempfile::tempdir().expect("a directory");
    let limit = Duration::from_secs((test.seconds * with.patience.max(1)).into());
    let limit = limit.min(with.limit.unwrap_or(Duration::MAX));
    let libraries = format!("{}:{}", with.directory.display(), material.native.display());
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=5")
        .arg(limit.as_secs().to_string());
    command.args(["bash", "-c", &format!("{PRELUDE}{}", test.run)]);
    command
        .env("NAME", &test.program.name)
        .env("SRC", recipe.source())
        .env("ROOT", root());
    command
        .env("PROGRAMS", programs)
        .env("LIBRARIES", libraries);
    command.env("PRELOAD", with.preload.as_deref().unwrap_or(Path::new("")));
    command.envs(with.variables.iter().cloned());
    let log = place.path().join(".log");
    let file = std::fs::File::create(&log).expect("room for a log");
    command
        .stdout(file.try_clone().expect("a descriptor"))
        .stderr(file);
    let start = Instant::now();
    let work = place.path().join("work");
    std::fs::create_dir(&work).expect("room");
    let status = command.stdin(Stdio::null()).current_dir(work).status();
    let status = status.expect("timeout is part of the system");
    let took = start.elapsed();
    let said = std::fs::read(&log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..]).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(8)..].join("\n");
    let how = match status.code() {
        Some(124) => format!("not finished after {} s", limit.as_secs()),
        _ => status.to_string(),
    };
    Outcome {
        test: test.program.name.clone(),
        passed: status.success(),
        took,
        end: format!("{last}\n[{how}]"),
    }
}

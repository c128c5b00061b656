//! Differential fuzzer of the accelerator: random A64 code, executed by QEMU and by the
//! accelerator's translator from the same state, must end in the same state.
//!
//! Runs as a guest: `qemu-aarch64 -plugin libiotdec_accel.so -cpu cortex-a53 …
//! iotdec-fuzz --seed 1 --sequences 1000000`. What it does is determined by its
//! arguments. `docs/accelerator-fuzzing.md` says what was found.
//!
//! | file | what it does |
//! |---|---|
//! | `template` | the classes of encodings |
//! | `sequence` | makes sequences of them |
//! | `values` | makes states |
//! | `machine` | executes code in QEMU |
//! | `turbo` | executes code in the accelerator |
//! | `trial` | compares, and shrinks what differs |
//! | `campaign` | counts |

mod campaign;
mod machine;
mod sequence;
mod template;
mod trial;
mod turbo;
mod values;

use campaign::{Campaign, Plan};
use std::process::ExitCode;

const USAGE: &str = "iotdec-fuzz [--seed N] [--singles N] [--sequences N] [--states N]
            [--only TEXT] [--json FILE]
  --seed       determines everything; 1 if not given
  --singles    sequences of one instruction for each encoding there is; 4
  --sequences  sequences of up to 12 instructions; 10000
  --states     states in which each of them is executed; 3
  --only       encodings of classes with this in their names; all
  --json       where to write all counts";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

/// Whether both were the same all the time.
fn run() -> Result<bool, String> {
    let mut plan = Plan {
        seed: 1,
        singles: 4,
        sequences: 10_000,
        states: 3,
        only: String::new(),
    };
    let mut json = None;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{word} {value}: not a number\n{USAGE}"))
        };
        match word.as_str() {
            "--seed" => plan.seed = number()?,
            "--singles" => plan.singles = number()?,
            "--sequences" => plan.sequences = number()?,
            "--states" => plan.states = number()?,
            "--only" => plan.only = value,
            "--json" => json = Some(value),
            _ => return Err(USAGE.into()),
        }
    }
    let campaign = Campaign::new(plan).map_err(|error| error.to_string())?;
    // The accelerator takes signal handlers from now on for the library's, beside which it
    // does not work.
    turbo::open()?;
    let summary = campaign.run();
    print!("{}", summary.text());
    if let Some(path) = json {
        let text = serde_json::to_string(&summary).map_err(|error| error.to_string())?;
        std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(summary.differences.is_empty())
}

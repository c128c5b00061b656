//! How much of the accelerator a worker for calls gets.

use super::exchange::HostExchange;
use super::wrapper::Wished;
use crate::accel::{self, Accelerator, Circumstances, Obstacle};
use crate::launch::{LaunchError, choose_accelerator, find_qemu};
use crate::library::Needs;
use crate::session::StartProblem;
use iotdec_wire::lane::Mail;
use iotdec_wire::msg::Acceleration;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Longest reason that is believed.
const MAX_REASON: usize = 1024;

/// The accelerator for a library's worker, or why there is none.
pub(super) type Choice = Result<Accelerator, Obstacle>;

/// Chooses as for decoders: `wished` is the wrapper's, `set_cpu` the model that somebody has set.
pub(super) fn choose(
    wished: Wished,
    library: &Path,
    needs: Needs,
    set_cpu: Option<&str>,
) -> Result<Choice, LaunchError> {
    let of_environment = accel::wish_of_environment().map_err(LaunchError::ModeVariable)?;
    let wish = match wished.counts_first {
        true => wished.wish.or(of_environment),
        false => of_environment.or(wished.wish),
    };
    let qemu = find_qemu(None)?;
    let circumstances = Circumstances {
        wish: wish.unwrap_or_default(),
        qemu: &qemu,
        takes_plugins: takes_plugins(&qemu),
        cpu: set_cpu,
        library,
        needs,
    };
    choose_accelerator(&circumstances, None)
}

/// Whether the emulator takes plugins, which is found out once.
fn takes_plugins(qemu: &Path) -> bool {
    static KNOWN: Mutex<Option<(PathBuf, bool)>> = Mutex::new(None);
    let mut known = KNOWN.lock().expect("nothing panics with it");
    match &*known {
        Some((of, takes_plugins)) if of == qemu => *takes_plugins,
        _ => {
            known
                .insert((qemu.to_owned(), accel::takes_plugins(qemu)))
                .1
        }
    }
}

/// Looks at what a worker says that is on when it is ready. Turbo that nobody insists on comes
/// later, and nothing is lost without it.
pub(super) fn judge(
    choice: &Choice,
    exchange: &HostExchange,
    ready: &Mail,
) -> Result<(), StartProblem> {
    let Some(mode) = Acceleration::from_code(ready.part) else {
        let text = format!("accelerator {}", ready.part);
        return Err(StartProblem::Protocol(text));
    };
    let (most, least) = match choice {
        Ok(chosen) => (chosen.mode, chosen.least),
        Err(_) => (Acceleration::Off, Acceleration::Off),
    };
    if mode > most {
        let unasked = format!("accelerator {} without being asked", mode.name());
        return Err(StartProblem::Protocol(unasked));
    }
    if mode < least {
        return Err(StartProblem::Accelerator {
            wanted: least.name(),
            reason: reason(exchange, ready),
        });
    }
    Ok(())
}

/// A copy of the text that came along.
fn reason(exchange: &HostExchange, ready: &Mail) -> String {
    let length = ready.target.min(MAX_REASON as u64);
    let range = exchange.exchange.range();
    if length == 0 || !range.contains(ready.message, length) {
        return String::new();
    }
    let mut text = vec![0; length as usize];
    // SAFETY: in the exchange, so mapped; the copy is what is looked at.
    unsafe {
        let from = ready.message as *const u8;
        std::ptr::copy_nonoverlapping(from, text.as_mut_ptr(), text.len());
    }
    String::from_utf8_lossy(&text).into_owned()
}

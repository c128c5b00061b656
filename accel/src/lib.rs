//! The accelerator: a plugin inside QEMU that runs a guest's decoder faster than QEMU
//! does.
//!
//! It opens a [`door`] for the guest. Behind it are [`native`] functions, done by the
//! host's own, whole libraries ([`library`]), and [`turbo`], which runs the guest's code
//! with a second translator.
//!
//! Arguments of the plugin: `libraries=DIRECTORY`, where the host's parts of generated
//! libraries are; without it there are none.

// Nobody links to this crate: its documentation is for those who work on it.
#![allow(rustdoc::private_intra_doc_links)]

mod code;
mod counters;
mod door;
mod fault;
mod finish;
mod library;
mod native;
mod qemu;
mod routing;
mod syscalls;
mod translator;
mod turbo;

// Links the translator.
use dynarmic as _;
use std::ffi::{CStr, c_char, c_int};

/// QEMU calls this when it has loaded the plugin.
///
/// Where it cannot work it says so and lets QEMU go on: the guest finds the door closed.
/// Takes two arguments: for tests `mistranslate`, see [`routing`]; for measurements
/// `finish=off`, which leaves translated code as it is, see [`finish`].
///
/// # Safety
/// For QEMU alone, with what its plugin interface prescribes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: qemu::PluginId,
    info: *const qemu::Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: the caller's promise: `argc` C strings.
    let arguments = (0..argc as usize).map(|index| unsafe { CStr::from_ptr(*argv.add(index)) });
    let result = arguments
        .map(CStr::to_string_lossy)
        .try_for_each(|argument| match argument.split_once('=') {
            Some(("libraries", directory)) => {
                library::set_directory(directory.into());
                Ok(())
            }
            Some(("mistranslate", how)) => routing::mistranslate(how),
            Some(("finish", "off")) => {
                turbo::leave_unfinished();
                Ok(())
            }
            _ => Err(format!("{argument}: no such argument")),
        });
    // SAFETY: the caller's promise.
    let found = result.and_then(|()| unsafe { qemu::Qemu::find(info) }.map_err(str::to_owned));
    match found {
        Ok(_) => door::open(id),
        Err(why) => eprintln!("the accelerator is off: {why}"),
    }
    0
}

//! The accelerator: a plugin inside QEMU that runs a guest's decoder faster than QEMU
//! does.
//!
//! It opens a `door` for the guest. Behind it are `native` functions, done by the
//! host's own, and `turbo`, which runs the guest's code with a second translator.

mod counters;
mod door;
mod fault;
mod native;
mod qemu;
mod translator;
mod turbo;

// Links the translator.
use dynarmic as _;
use std::ffi::{c_char, c_int};

/// QEMU calls this when it has loaded the plugin.
///
/// Where it cannot work it says so and lets QEMU go on: the guest finds the door closed.
///
/// # Safety
/// For QEMU alone, with what its plugin interface prescribes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: qemu::PluginId,
    info: *const qemu::Info,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { qemu::Qemu::find(info) } {
        Ok(_) => door::open(id),
        Err(why) => eprintln!("the accelerator is off: {why}"),
    }
    0
}

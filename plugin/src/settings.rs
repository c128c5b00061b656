//! The properties that `iotdec` and every `iotdec_<name>` share.

use gst::glib;
use gst::prelude::*;
use iotdec_bridge::{HANG_TIMEOUT, Overrides, SlotPolicy, Wish};
use std::path::PathBuf;
use std::time::Duration;

/// More than any decoder makes use of.
const MOST_THREADS: u32 = 64;
/// A day.
const MOST_SECONDS: u32 = 86_400;

/// What a user can set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) overrides: Overrides,
    pub(crate) slots: SlotPolicy,
    /// For streams that do not say how fast they go, frames per second.
    pub(crate) framerate: gst::Fraction,
    /// Workers lost in a row, without a frame from any, before it is an error.
    pub(crate) restart_limit: u32,
    pub(crate) low_delay: LowDelay,
}

/// When pictures are given out as soon as they are decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstIotdecLowDelay")]
pub(crate) enum LowDelay {
    /// With live sources.
    #[default]
    #[enum_value(name = "With live sources", nick = "auto")]
    Auto,
    /// Never.
    #[enum_value(name = "Never: always in the order of display", nick = "off")]
    Off,
    /// Always.
    #[enum_value(name = "Always: as soon as they are decoded", nick = "on")]
    On,
}

/// How much of the accelerator is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstIotdecAccel")]
pub(crate) enum Accel {
    /// As the manifest says, or as much as works.
    #[default]
    #[enum_value(name = "As the manifest says, or as much as works", nick = "auto")]
    Auto,
    /// Nothing.
    #[enum_value(name = "Nothing: QEMU alone", nick = "off")]
    Off,
    /// Native functions, or an error.
    #[enum_value(
        name = "Native functions of the C library, or an error",
        nick = "native"
    )]
    Native,
    /// Turbo and native functions, or an error.
    #[enum_value(
        name = "The second translator and native functions, or an error",
        nick = "turbo"
    )]
    Turbo,
}

impl Accel {
    fn wish(self) -> Option<Wish> {
        match self {
            Self::Auto => None,
            Self::Off => Some(Wish::Off),
            Self::Native => Some(Wish::Native),
            Self::Turbo => Some(Wish::Turbo),
        }
    }

    fn of(wish: Option<Wish>) -> Self {
        match wish {
            None | Some(Wish::Auto) => Self::Auto,
            Some(Wish::Off) => Self::Off,
            Some(Wish::Native) => Self::Native,
            Some(Wish::Turbo) => Self::Turbo,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            overrides: Overrides::default(),
            slots: SlotPolicy::default(),
            framerate: gst::Fraction::new(25, 1),
            restart_limit: 5,
            low_delay: LowDelay::default(),
        }
    }
}

/// The descriptions of the shared properties, `stats` included.
pub(crate) fn property_specs() -> Vec<glib::ParamSpec> {
    let defaults = Settings::default();
    let path = |name: &str, nick: &str, blurb: &str| {
        glib::ParamSpecString::builder(name)
            .nick(nick)
            .blurb(blurb)
            .mutable_ready()
            .build()
    };
    vec![
        path(
            "library",
            "Library",
            "Path of the aarch64 library to decode with (default: the manifest's)",
        ),
        path(
            "sysroot",
            "Sysroot",
            "Root of the aarch64 system the library runs in (default: the manifest's, \
             $IOTDEC_SYSROOT, or the one that was installed)",
        ),
        path(
            "qemu",
            "QEMU",
            "Path of the user-mode emulator (default: $IOTDEC_QEMU, or qemu-aarch64 on PATH)",
        ),
        path(
            "cpu",
            "CPU model",
            "CPU model that QEMU shows the library (default: the manifest's, or chosen from \
             the library's code)",
        ),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb(
                "Threads to decode with, of decoders that can (0: as the manifest says, or the \
                 adapter, which knows what pays under emulation)",
            )
            .maximum(MOST_THREADS)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder::<Accel>("accel")
            .nick("Accelerator")
            .blurb(
                "How much of the accelerator is used, a plugin for QEMU that makes decoding \
                 faster; stats tells what is on and why not more",
            )
            .mutable_ready()
            .build(),
        gst::ParamSpecFraction::builder("framerate")
            .nick("Frame rate")
            .blurb("Frame rate of streams that carry no timing, frames per second")
            .minimum(gst::Fraction::new(1, 1000))
            .maximum(gst::Fraction::new(1000, 1))
            .default_value(defaults.framerate)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-slots")
            .nick("Maximum slots")
            .blurb(
                "Frame slots at most; when downstream holds nearly all of them, frames are \
                 copied. The decoder always gets as many as it needs itself",
            )
            .minimum(4)
            .maximum(64)
            .default_value(defaults.slots.max_slots as u32)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("restart-limit")
            .nick("Restart limit")
            .blurb(
                "Workers that may be lost in a row without a decoded frame before it is an error",
            )
            .default_value(defaults.restart_limit)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("hang-timeout")
            .nick("Hang time-out")
            .blurb(
                "Seconds that one packet may take before the decoder is taken for hung, and its \
                 worker replaced (0: for ever)",
            )
            .maximum(MOST_SECONDS)
            .default_value(HANG_TIMEOUT.as_secs() as u32)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("low-delay", defaults.low_delay)
            .nick("Low delay")
            .blurb(
                "When pictures are given out as soon as they are decoded, without waiting for \
                 those that precede them; takes effect with the next stream",
            )
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb(
                "Counts of frames, copies, worker restarts and ring-full waits; decode times in \
                 µs; what is on of the accelerator, and its counts",
            )
            .read_only()
            .build(),
    ]
}

impl Settings {
    /// Sets a shared property.
    pub(crate) fn set(&mut self, name: &str, value: &glib::Value) {
        let path = || string(value).map(PathBuf::from);
        match name {
            "library" => self.overrides.library = path(),
            "sysroot" => self.overrides.sysroot = path(),
            "qemu" => self.overrides.qemu = path(),
            "cpu" => self.overrides.cpu = string(value),
            "threads" => {
                let threads: u32 = value.get().expect("type checked by GObject");
                self.overrides.threads = (threads > 0).then_some(threads);
            }
            "accel" => {
                let accel: Accel = value.get().expect("type checked by GObject");
                self.overrides.accel = accel.wish();
            }
            "framerate" => self.framerate = value.get().expect("type checked by GObject"),
            "max-slots" => {
                let slots: u32 = value.get().expect("type checked by GObject");
                self.slots.max_slots = slots as usize;
            }
            "restart-limit" => {
                self.restart_limit = value.get().expect("type checked by GObject");
            }
            "hang-timeout" => {
                let seconds: u32 = value.get().expect("type checked by GObject");
                self.overrides.hang_timeout = Some(Duration::from_secs(seconds.into()));
            }
            "low-delay" => self.low_delay = value.get().expect("type checked by GObject"),
            _ => unreachable!("no such property: {name}"),
        }
    }

    /// Gets a shared property other than `stats`.
    pub(crate) fn get(&self, name: &str) -> glib::Value {
        let path = |path: &Option<PathBuf>| {
            path.as_ref()
                .map(|path| path.to_string_lossy().into_owned())
                .to_value()
        };
        match name {
            "library" => path(&self.overrides.library),
            "sysroot" => path(&self.overrides.sysroot),
            "qemu" => path(&self.overrides.qemu),
            "cpu" => self.overrides.cpu.to_value(),
            "threads" => self.overrides.threads.unwrap_or(0).to_value(),
            "accel" => Accel::of(self.overrides.accel).to_value(),
            "framerate" => self.framerate.to_value(),
            "max-slots" => (self.slots.max_slots as u32).to_value(),
            "restart-limit" => self.restart_limit.to_value(),
            "hang-timeout" => {
                let limit = self.overrides.hang_timeout.unwrap_or(HANG_TIMEOUT);
                (limit.as_secs() as u32).to_value()
            }
            "low-delay" => self.low_delay.to_value(),
            _ => unreachable!("no such property: {name}"),
        }
    }
}

/// A string property's value; an empty one counts as unset.
pub(crate) fn string(value: &glib::Value) -> Option<String> {
    let text: Option<String> = value.get().expect("type checked by GObject");
    text.filter(|text| !text.is_empty())
}

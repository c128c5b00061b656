//! How much of the accelerator a worker gets: what is asked for, and what there is.
//!
//! What is found out here costs no process: whether this QEMU takes plugins, whether
//! there is one, whether the library runs on a CPU model that suits it. Whether it then
//! works is found out by the worker, which tests it and reports.

use crate::library::Needs;
use iotdec_wire::door::Counters;
use iotdec_wire::msg::Acceleration;
pub use iotdec_wire::wish::Wish;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSymbol, ReadCache};
use serde::Deserialize;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Says how much of the accelerator is wanted, in the place of manifests.
pub const MODE_VARIABLE: &str = "IOTDEC_ACCEL_MODE";

/// What the environment wishes; its word, if that is none.
pub(crate) fn wish_of_environment() -> Result<Option<Wish>, String> {
    let Some(value) = env::var_os(MODE_VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.to_string_lossy();
    let wish = Wish::from_name(&value);
    wish.map(Some).ok_or_else(|| value.into_owned())
}

/// A native function's name, in which `*` stands for any letters.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_*".contains(c);
        match !text.is_empty() && text.chars().all(allowed) {
            true => Ok(Self(text)),
            false => Err(format!(
                "{text:?} is not the name of a C function, in which * stands for any letters"
            )),
        }
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Why the accelerator is not used, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Nobody wants it.
    #[error("it is switched off")]
    SwitchedOff,
    /// A static build, or one without the feature.
    #[error(
        "{0} takes no plugins; use a QEMU built with them, such as qemu-aarch64 of Debian 12's \
         package qemu-user (not qemu-user-static)"
    )]
    NoPlugins(PathBuf),
    /// Not installed.
    #[error(
        "the accelerator {0} is not there; build iotdec with it, or set IOTDEC_ACCEL to its path"
    )]
    Missing(PathBuf),
    /// Built without, and told so by the development environment.
    #[error("IOTDEC_ACCEL is empty, which means none")]
    NotBuilt,
    /// Turbo works on Armv8.0 only.
    #[error("turbo has no {feature}, which {library} needs")]
    Library {
        /// The library, or what comes with it.
        library: PathBuf,
        /// What it cannot do without.
        feature: &'static str,
    },
    /// And not on other models.
    #[error(
        "turbo does not work with CPU model {0}; leave the choice to iotdec, or take \
         {TURBO_MODEL}"
    )]
    Model(String),
    /// It was tried, and may be what the worker died of.
    #[error("with it, the worker was lost ({0})")]
    Died(String),
}

/// The CPU model for turbo. It must be one of Armv8.0: the second translator does not
/// know SVE and pointer authentication, and has to leave atomics (LSE) to QEMU, while
/// the C library uses what the model has.
const TURBO_MODEL: &str = "cortex-a53";

/// Models that show programs the same features (AT_HWCAP under QEMU 7.2).
const TURBO_MODELS: [&str; 4] = ["cortex-a35", TURBO_MODEL, "cortex-a57", "cortex-a72"];

/// The accelerator, as a worker is started with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerator {
    /// The plugin that QEMU loads.
    pub plugin: PathBuf,
    /// What the worker is to switch on if it works.
    pub mode: Acceleration,
    /// Less than that is an error.
    pub least: Acceleration,
    /// Why not more, if that was wanted.
    pub obstacle: Option<Obstacle>,
    /// QEMU's CPU model for it, if it needs one of its own.
    pub cpu: Option<&'static str>,
    /// The native functions to use; if none are named, those that pay.
    pub native: Option<Vec<Pattern>>,
}

/// What the choice depends on.
#[derive(Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) wish: Wish,
    pub(crate) qemu: &'a Path,
    pub(crate) takes_plugins: bool,
    /// The CPU model that somebody set.
    pub(crate) cpu: Option<&'a str>,
    pub(crate) library: &'a Path,
    pub(crate) needs: Needs,
}

impl Accelerator {
    /// The accelerator for a worker, or what is in the way of it.
    pub(crate) fn choose(
        circumstances: &Circumstances<'_>,
        native: Option<&[Pattern]>,
    ) -> Result<Self, Obstacle> {
        let Circumstances {
            wish,
            qemu,
            takes_plugins,
            ..
        } = *circumstances;
        if wish == Wish::Off {
            return Err(Obstacle::SwitchedOff);
        }
        if !takes_plugins {
            return Err(Obstacle::NoPlugins(qemu.into()));
        }
        let plugin = crate::launch::installed("IOTDEC_ACCEL", "libiotdec-accel.so");
        if plugin.as_os_str().is_empty() {
            return Err(Obstacle::NotBuilt);
        }
        if !plugin.is_file() {
            return Err(Obstacle::Missing(plugin));
        }
        let (mode, cpu, obstacle) = match (wish, circumstances.turbo_model()) {
            (Wish::Native, _) => (Acceleration::Native, None, None),
            (_, Ok(cpu)) => (Acceleration::Turbo, cpu, None),
            (Wish::Turbo, Err(obstacle)) => return Err(obstacle),
            (_, Err(obstacle)) => (Acceleration::Native, None, Some(obstacle)),
        };
        Ok(Self {
            plugin,
            mode,
            least: wish.least(),
            obstacle,
            cpu,
            native: native.map(<[_]>::to_vec),
        })
    }
}

impl Accelerator {
    /// Whether a worker may do without.
    pub fn is_optional(&self) -> bool {
        self.least == Acceleration::Off
    }

    /// The plugin as QEMU's option takes it, with the host's parts of native libraries if there
    /// are some.
    pub(crate) fn argument(&self, libraries: Option<&Path>) -> OsString {
        let mut argument = doubled(self.plugin.as_os_str());
        if let Some(directory) = libraries {
            argument.push(",libraries=");
            argument.push(doubled(directory.as_os_str()));
        }
        argument
    }
}

/// A text as QEMU's options take it, in which a comma is doubled.
fn doubled(text: &OsStr) -> OsString {
    let bytes = text.as_bytes();
    let doubled = bytes.split(|byte| *byte == b',').collect::<Vec<_>>();
    OsString::from_vec(doubled.join(&b",,"[..]))
}

impl Circumstances<'_> {
    /// The model that turbo needs where nobody set one that suits it.
    fn turbo_model(&self) -> Result<Option<&'static str>, Obstacle> {
        if let Some(feature) = self.needs.beyond_armv8_0() {
            let library = self.library.into();
            return Err(Obstacle::Library { library, feature });
        }
        let Some(cpu) = self.cpu else {
            return Ok(Some(TURBO_MODEL));
        };
        let name = cpu.split(',').next().unwrap_or_default();
        match TURBO_MODELS.contains(&name) {
            true => Ok(None),
            false => Err(Obstacle::Model(cpu.to_owned())),
        }
    }
}

/// What a worker says of its accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is on.
    pub mode: Acceleration,
    /// Why not more; empty if there is no more, or none was wanted.
    pub reason: String,
    /// Less is on than was expected when the worker was started.
    pub disappoints: bool,
}

/// How often the accelerator did what; [`Counters::code_bytes`] is how things stand.
pub type Tally = Counters;

/// Whether a QEMU takes plugins: it has the functions that they call, and says so in its
/// dynamic symbols. One that cannot be read does not.
pub(crate) fn takes_plugins(qemu: &Path) -> bool {
    let Ok(file) = File::open(qemu) else {
        return false;
    };
    let cache = ReadCache::new(file);
    let Ok(file) = ElfFile64::<Endianness, _>::parse(&cache) else {
        return false;
    };
    file.dynamic_symbols().any(|symbol| {
        let name = symbol.name();
        symbol.is_definition() && name == Ok("qemu_plugin_register_vcpu_tb_trans_cb")
    })
}

//! From the guest to the host, within one process: only words of 64 bits cross.

mod checked;
mod guest;
mod host;

use super::macros;
use crate::checked::Checked;
use crate::choose::Choice;
use crate::elf::Exports;
use crate::kept::Kept;
use crate::model::{Function, Header, Record, Type};
use crate::notes::Notes;
use iotdec_wire::door::{self, Service, Status};
use iotdec_wire::host_lanes;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::offset_of;
use std::path::PathBuf;

/// A library whose functions are all decided.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Absolute paths of the headers.
    pub headers: &'a [PathBuf],
    /// What it says for the guest.
    pub guest: &'a Header,
    /// What it says for the host.
    pub host: &'a Header,
    /// What the library exports.
    pub exports: &'a Exports,
    /// What the headers cannot say.
    pub notes: &'a Notes,
    /// The structs whose objects have an identity.
    pub kept: &'a BTreeMap<String, Kept>,
    /// What becomes of each function.
    pub choices: &'a BTreeMap<String, Choice>,
    /// What of it is done over the ring, and how.
    pub checked: &'a Checked,
}

/// A parameter that is an object with an identity.
struct Object<'a> {
    parameter: &'a str,
    /// The struct's tag, of which its helpers' names are made.
    tag: &'a str,
}

impl<'a> Plan<'a> {
    /// The functions that the host does, in the order of their numbers.
    fn carried(&self) -> impl Iterator<Item = (&'a str, &'a Function)> + use<'a> {
        let Plan { guest, choices, .. } = *self;
        let carried = choices.iter().filter(|(_, c)| **c == Choice::Carried);
        carried.map(|(name, _)| (name.as_str(), &guest.functions[name]))
    }

    /// The structs whose objects have an identity.
    fn kept(&self) -> impl Iterator<Item = (&'a str, &'a Record, &'a Kept)> + use<'a> {
        let Plan { guest, kept, .. } = *self;
        let kept = kept.iter();
        kept.map(|(tag, kept)| (tag.as_str(), &guest.records[tag], kept))
    }

    fn objects(&self, function: &'a Function) -> Vec<Object<'a>> {
        let objects = function
            .signature
            .parameters
            .iter()
            .filter_map(|parameter| {
                let tag = parameter.value.kind.pointed_record()?;
                self.kept.contains_key(tag).then_some(Object {
                    parameter: &parameter.name,
                    tag,
                })
            });
        objects.collect()
    }

    /// What goes before a side's code. The library's headers are behind all of ours, for they
    /// may define macros by any name; those that the code uses otherwise are no more.
    fn opening(&self, what: &str, runtime: &[&str], code: &str) -> String {
        let name = &self.exports.name;
        let mut text = format!("/* {name}: {what}. Written by iotdec wrap. */\n");
        for header in runtime {
            let _ = writeln!(text, "#include \"{header}\"");
        }
        for header in self.headers {
            let _ = writeln!(text, "#include \"{}\"", header.display());
        }
        let code = self.layout() + code;
        // `wrap.toml` may say amounts in constants.
        let constants = self.guest.macros.keys().map(String::as_str);
        let constants = constants.filter(|name| !name.contains(char::is_lowercase));
        for name in macros::hidden([self.guest, self.host], &code, &constants.collect()) {
            let _ = writeln!(text, "#undef {name}");
        }
        text + "#include \"layout.h\"\n"
    }

    /// The guest's side.
    pub fn guest_source(&self) -> String {
        let code = guest::source(self, self.fingerprint());
        let what = "the part that stands in for it in the guest";
        self.opening(what, &["iotdec_native.h"], &code) + &code
    }

    /// The host's side.
    pub fn host_source(&self) -> String {
        let code = host::source(self, self.fingerprint()) + &checked::source(self);
        let what = "the part that runs on the host";
        self.opening(what, &["door.h", "iotdec_checked.h"], &code) + &code
    }

    /// A value that two sides have in common only if they were written together.
    fn fingerprint(&self) -> u64 {
        let text = host::source(self, door::VERSION) + &checked::source(self) + &self.layout();
        super::fingerprint(&text)
    }

    /// A header by which both compilers check that they lay out structs as libclang
    /// says.
    pub fn layout(&self) -> String {
        let mut text = String::from(super::SAME);
        for (tag, record) in &self.guest.records {
            let host = self.host.records.get(tag);
            if host.is_some_and(|host| host.layout == record.layout) {
                text += &super::same_layout(record, self.guest);
            }
        }
        text
    }
}

/// The numbers of the door and of the lanes, for C.
pub fn door_header() -> String {
    let numbers = [
        ("VERSION", door::VERSION),
        ("MAGIC", door::MAGIC.into()),
        ("SERVICE_OPEN", Service::Open.code().into()),
        ("SERVICE_INVOKE", Service::Invoke.code().into()),
        ("STATUS_DONE", Status::Done.code().into()),
        ("CALL_SIZE", size_of::<door::Call>() as u64),
        ("CALL_VALUES", offset_of!(door::Call, values) as u64),
        ("LANES", host_lanes::LANES as u64),
        ("WORDS", host_lanes::WORDS as u64),
        ("TEXTS", host_lanes::TEXTS as u64),
        ("TEXT", host_lanes::TEXT as u64),
        ("LANES_MAGIC", host_lanes::MAGIC),
        ("LANES_VERSION", host_lanes::VERSION),
        ("LANE_SIZE", size_of::<host_lanes::Lane>() as u64),
        ("LANE_WORDS", offset_of!(host_lanes::Lane, words) as u64),
        ("LANE_TEXTS", offset_of!(host_lanes::Lane, texts) as u64),
        ("SHARED_LANES", offset_of!(host_lanes::Shared, lanes) as u64),
    ];
    let mut text = String::new();
    for (name, number) in numbers {
        let _ = writeln!(text, "#define IOTDEC_{name} {number}");
    }
    let variable = host_lanes::VARIABLE;
    let _ = writeln!(text, "#define IOTDEC_LANES_VARIABLE {variable:?}");
    let [hint, store] = door::KNOCK;
    let _ = writeln!(text, "#define IOTDEC_KNOCK_HINT \"{hint:#x}\"");
    let _ = writeln!(text, "#define IOTDEC_KNOCK_STORE \"{store:#x}\"");
    text
}

/// `type name, type name`, or `void`.
fn parameter_list(function: &Function) -> String {
    let list: Vec<_> = function
        .signature
        .parameters
        .iter()
        .map(|parameter| format!("{} {}", parameter.value.spelling, parameter.name))
        .collect();
    if list.is_empty() {
        "void".into()
    } else {
        list.join(", ")
    }
}

fn returns(function: &Function) -> bool {
    function.signature.result.kind != Type::Void
}

//! From a native program to a library in the guest: messages in memory that both sides
//! see, in fixed-width fields. The runtime's headers say how the two parts use it.

mod beside;
mod checks;
mod copies;
mod guest;
mod host;
mod meant;
mod message;
mod objects;
mod reach;
mod repack;
mod variables;

use message::member;

use super::macros;
use crate::elf::Exports;
use crate::model::{Header, Parameter, Signature, Type, Value, Variant};
use crate::rules::{Crossing, Decision, Pointed, Rule, Rules, Told, Variable};
use iotdec_wire::wish::Wish;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A library whose functions are all decided on.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Absolute paths of the headers.
    pub headers: &'a [PathBuf],
    /// What they say for the guest.
    pub guest: &'a Header,
    /// What they say for the host.
    pub host: &'a Header,
    /// What the library exports.
    pub exports: &'a Exports,
    /// How everything crosses.
    pub rules: &'a Rules,
    /// The library's absolute path.
    pub library: &'a Path,
    /// The file name of the guest part.
    pub guest_part: &'a str,
    /// How much of the accelerator it gets, if that is said.
    pub accel: Option<Wish>,
}

/// A call that crosses: a function that is wrapped, or a variant of one.
struct Wrapped<'a> {
    /// What it is called among all of them.
    id: String,
    /// The function.
    name: &'a str,
    signature: &'a Signature,
    rule: &'a Rule,
    is_variant: bool,
}

impl<'a> Plan<'a> {
    /// The calls that cross, in the order of their numbers.
    fn wrapped(&self) -> impl Iterator<Item = Wrapped<'a>> + use<'a> {
        let Plan { guest, rules, .. } = *self;
        rules.functions.iter().flat_map(move |(name, decision)| {
            let function = &guest.functions[name];
            let whole = |rule| Wrapped {
                id: name.clone(),
                name,
                signature: &function.signature,
                rule,
                is_variant: false,
            };
            match decision {
                Decision::Refused(_) => Vec::new(),
                Decision::Wrapped(rule) => match rule.variable.as_deref() {
                    Some(Variable::Variants(_, rules)) => {
                        let variants = function.variants.iter().zip(rules).enumerate();
                        let variant = |(index, (variant, rule)): (_, (&'a Variant, _))| Wrapped {
                            id: variant_id(name, index),
                            signature: &variant.signature,
                            is_variant: true,
                            ..whole(rule)
                        };
                        variants.map(variant).collect()
                    }
                    _ => vec![whole(rule)],
                },
            }
        })
    }

    /// Whether the library is given FILEs.
    fn has_streams(&self) -> bool {
        let is_stream = |crossing: &Crossing| matches!(crossing, Crossing::Stream(_));
        self.wrapped()
            .any(|function| function.rule.parameters.iter().any(is_stream))
    }

    /// Whether it is lent descriptors.
    fn lends_descriptors(&self) -> bool {
        let is_lent =
            |crossing: &Crossing| matches!(crossing, Crossing::Descriptor { is_lent: true });
        self.wrapped()
            .any(|function| function.rule.parameters.iter().any(is_lent))
    }

    /// The functions that are not, and why.
    fn refused(&self) -> impl Iterator<Item = (&'a str, &'a Signature, &'a str)> + use<'a> {
        let Plan { guest, rules, .. } = *self;
        let refused = rules.functions.iter();
        refused.filter_map(|(name, decision)| match decision {
            Decision::Wrapped(_) => None,
            Decision::Refused(why) => Some((
                name.as_str(),
                &guest.functions[name].signature,
                why.as_str(),
            )),
        })
    }

    /// A header that includes the library's, whose warnings are not ours. Behind it the names in
    /// the generated code are no macros of theirs.
    pub fn headers_source(&self) -> String {
        let mut text = String::from("#pragma GCC system_header\n");
        for header in self.headers {
            let _ = writeln!(text, "#include \"{}\"", header.display());
        }
        let meant = meant::words_of_notes(self);
        let code = self.messages() + &self.host_source() + &self.guest_source();
        for name in macros::hidden([self.guest, self.host], &code, &meant) {
            let _ = writeln!(text, "#undef {name}");
        }
        text
    }

    /// What both sides have in common.
    pub fn messages(&self) -> String {
        let mut text = self.opening("messages");
        text += "#include <stddef.h>\n#include <stdint.h>\n";
        text += super::SAME;
        for tag in self.crossing_records() {
            text += &super::same_layout(&self.guest.records[tag], self.guest);
        }
        text += "\n/* A pointer to what lies in the message. */\n#define IOTDEC_BESIDE UINT64_C(1)\n\nenum {\n";
        for function in self.wrapped() {
            let _ = writeln!(text, "    IOTDEC_F_{},", function.id);
        }
        text += "    IOTDEC_FUNCTIONS\n};\n";
        for function in self.wrapped() {
            let (name, signature) = (format!("iotdec_m_{}", function.id), function.signature);
            let is_format = function.rule.variable.is_some();
            let beside = beside::sizes(signature, function.rule);
            text += &message::message(&name, signature, self.guest, is_format, &beside);
        }
        for (number, pointed) in self.rules.signatures.iter().enumerate() {
            let name = format!("iotdec_s_{number}");
            text += &message::message(&name, &pointed.signature, self.guest, false, &[]);
        }
        text
    }

    /// The records that C can name and that lie alike on both sides.
    fn crossing_records(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let Plan { guest, host, .. } = *self;
        let records = guest.records.iter();
        let same = records.filter(|(tag, record)| {
            let there = host.records.get(*tag);
            record.is_named && there.is_some_and(|there| there.layout == record.layout)
        });
        same.map(|(tag, _)| tag.as_str())
    }

    fn opening(&self, what: &str) -> String {
        format!(
            "/* {}: {what}. Written by iotdec wrap. */\n",
            self.exports.name
        )
    }

    /// The guest's part.
    pub fn guest_source(&self) -> String {
        guest::source(self, self.fingerprint())
    }

    /// The host's part.
    pub fn host_source(&self) -> String {
        host::source(self, self.fingerprint())
    }

    /// Whether variables cross.
    pub fn has_variables(&self) -> bool {
        variables::crossing(self).next().is_some()
    }

    /// The variables of the host's part.
    pub fn variables_source(&self) -> String {
        variables::definitions(self)
    }

    /// A header for programs that want the library's own variables.
    pub fn variables_header(&self) -> String {
        variables::header(self)
    }

    /// A value that two parts have in common only if they were written together.
    fn fingerprint(&self) -> u64 {
        super::fingerprint(&(self.messages() + &guest::source(self, 0)))
    }
}

/// Has a function like printf make the text that its format and its arguments stand for:
/// `iotdec_s`.
fn tell(signature: &Signature, told: Told) -> String {
    let parameters = &signature.parameters;
    let last = parameters.last().map_or("", |p| &p.name);
    let start = match told.list {
        Some(list) => format!("va_copy(iotdec_l.list, {})", parameters[list].name),
        None => format!("va_start(iotdec_l.list, {last})"),
    };
    format!(
        "    struct iotdec_list iotdec_l;\n    {start};\n    \
         char *iotdec_s = iotdec_told((const char *){}, &iotdec_l);\n    \
         va_end(iotdec_l.list);\n",
        parameters[told.format].name
    )
}

/// What the message of a function's variant is called after.
fn variant_id(function: &str, index: usize) -> String {
    format!("iotdec_{index}_{function}")
}

/// `TYPE NAME` for any type that C can spell.
pub(crate) fn declare(value: &Value, name: &str) -> String {
    format!("{} {name}", spelled(value))
}

/// A type that can stand in front of a name.
pub(crate) fn spelled(value: &Value) -> String {
    let spelling = &value.spelling;
    if spelling.contains(['(', '[']) {
        format!("__typeof__({spelling})")
    } else {
        spelling.clone()
    }
}

/// `TYPE NAME, TYPE NAME`, or `void`; nothing where the headers say nothing.
fn parameter_list(signature: &Signature) -> String {
    if !signature.prototype {
        return String::new();
    }
    let mut list: Vec<_> = signature
        .parameters
        .iter()
        .map(|Parameter { name, value, .. }| declare(value, name))
        .collect();
    if signature.variadic {
        list.push("...".into());
    }
    if list.is_empty() {
        "void".into()
    } else {
        list.join(", ")
    }
}

/// What generated code calls a function of the library's, and what has to stand before that. Where
/// the header has a body already, the name stands for that one.
fn called(plan: &Plan, name: &str) -> (String, String) {
    let function = &plan.guest.functions[name];
    if !function.is_inline {
        // In parentheses, so that a macro of that name does not stand in for it.
        return (format!("({name})"), String::new());
    }
    let called = format!("iotdec_exported_{name}");
    let head = head(&called, &function.signature);
    (called, labelled(&head, &function.symbol))
}

/// `TYPE NAME(TYPE NAME, TYPE NAME)`
fn head(name: &str, signature: &Signature) -> String {
    let result = spelled(&signature.result);
    format!("{result} {name}({})", parameter_list(signature))
}

/// Declares a function, which the linker knows by another name.
fn labelled(head: &str, symbol: &str) -> String {
    format!("{head} __asm__({symbol:?});\n")
}

/// The type of pointers to such functions, as a cast needs it.
fn pointer_type(signature: &Signature) -> String {
    let parameters = signature.parameters.iter();
    let mut list: Vec<_> = parameters.map(|p| spelled(&p.value)).collect();
    if signature.variadic {
        list.push("...".into());
    }
    let list = if list.is_empty() {
        "void".into()
    } else {
        list.join(", ")
    };
    format!("{} (*)({list})", spelled(&signature.result))
}

/// A call of a function that is pointed to. If it is one like printf, the text is made already.
fn call_pointed(
    function: String,
    number: usize,
    told: Option<Told>,
    mut given: Vec<String>,
) -> String {
    let mut called = function;
    if let Some(told) = told {
        let text = std::mem::replace(&mut given[told.format], "\"%s\"".into());
        if let Some(list) = told.list {
            given.remove(list);
            given.insert(
                0,
                std::mem::replace(&mut called, format!("iotdec_list_{number}")),
            );
        }
        given.push(text);
    }
    format!("{called}({})", given.join(", "))
}

/// Makes a `va_list` of what follows its parameters, for a function that takes one.
fn with_list(number: usize, pointed: &Pointed, text: &mut String) {
    let signature = &pointed.signature;
    let Some(list) = pointed.told.and_then(|told| told.list) else {
        return;
    };
    let mut given: Vec<_> = signature
        .parameters
        .iter()
        .map(|p| p.name.clone())
        .collect();
    given[list] = "iotdec_l".into();
    let before = Signature {
        variadic: true,
        ..signature.without_lists()
    };
    let last = before.parameters.last().map_or("", |p| &p.name);
    let result = spelled(&signature.result);
    let (call, end) = keep_result(signature, format!("iotdec_f({})", given.join(", ")));
    let _ = write!(
        text,
        "\nstatic {result} iotdec_list_{number}({} iotdec_f, {})\n{{\n    va_list iotdec_l;\n    \
         va_start(iotdec_l, {last});\n    {call};\n    va_end(iotdec_l);\n{end}}}\n",
        format_args!("__typeof__({})", pointer_type(signature)),
        parameter_list(&before),
    );
}

/// A call that keeps its result while more is done, and what returns it then.
fn keep_result(signature: &Signature, call: String) -> (String, &'static str) {
    match returns(signature) {
        true => (
            format!("{} iotdec_r = {call}", spelled(&signature.result)),
            "    return iotdec_r;\n",
        ),
        false => (call, ""),
    }
}

fn returns(signature: &Signature) -> bool {
    signature.result.kind != Type::Void
}

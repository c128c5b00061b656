//! Exported variables, in the native part. Their definitions are without the headers, which
//! may call them constants: the runtime writes what the library has in them.

use super::{Plan, spelled};
use crate::model::Type;
use crate::rules::{Slot, VariableRule};
use std::fmt::Write;

/// A variable that crosses.
#[derive(Clone, Copy)]
pub struct Crossing<'a> {
    pub name: &'a str,
    pub symbol: &'a crate::elf::Variable,
    pub rule: &'a VariableRule,
}

impl Crossing<'_> {
    /// Whether the runtime has anything to do for it.
    fn is_watched(&self) -> bool {
        !self.rule.is_constant || self.symbol.is_relocated
    }
}

/// Those that cross, by name.
pub fn crossing<'a>(plan: &Plan<'a>) -> impl Iterator<Item = Crossing<'a>> + use<'a> {
    let exports = plan.exports;
    plan.rules.variables.iter().filter_map(|(name, rule)| {
        let rule = rule.as_ref().ok()?;
        Some(Crossing {
            name,
            symbol: &exports.variables[name],
            rule,
        })
    })
}

/// The two members of `struct iotdec_wrapper`.
pub fn members(plan: &Plan) -> String {
    match crossing(plan).filter(Crossing::is_watched).count() {
        0 => "NULL, 0".into(),
        count => format!("iotdec_variables, {count}"),
    }
}

/// What the native part's functions have to know of them, and the accessors.
pub fn functions(plan: &Plan) -> String {
    let mut text = String::new();
    for Crossing { name, symbol, rule } in crossing(plan) {
        if has_accessor(rule) {
            let (kind, size) = (pointed(plan, name), symbol.contents.len());
            let _ = write!(
                text,
                "\n{kind}*iotdec_at_{name}(void)\n{{\n    \
                 return iotdec_symbol(&iotdec_wrapper, {name:?}, {size});\n}}\n"
            );
        }
    }
    let is_late = |it: &Crossing| it.is_watched() && it.symbol.is_relocated;
    if crossing(plan).any(|it| is_late(&it)) {
        text += "\n__attribute__((__constructor__)) static void iotdec_begin(void)\n{\n    \
                 iotdec_variables_begin(&iotdec_wrapper);\n}\n";
    }
    text
}

/// A header with the accessors.
pub fn header(plan: &Plan) -> String {
    let mut text = plan.opening("where its variables are");
    text += "#pragma once\n";
    for path in plan.headers {
        let _ = writeln!(text, "#include \"{}\"", path.display());
    }
    text += "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\
             /* The library's own, in memory that both have; NULL, and iotdec_last_error() tells why, if it cannot be\n   \
             started. Ask again when it was started anew. */\n";
    for Crossing { name, rule, .. } in crossing(plan) {
        if has_accessor(rule) {
            let _ = writeln!(text, "{}*iotdec_at_{name}(void);", pointed(plan, name));
        }
    }
    text + "#ifdef __cplusplus\n}\n#endif\n"
}

/// Whether the library's own can be used where it is: pointers to functions are others there.
fn has_accessor(rule: &VariableRule) -> bool {
    let is_function = |(_, slot): &(usize, Slot)| matches!(slot, Slot::Function(_));
    !rule.slots.iter().any(is_function)
}

/// What a pointer to the variable is to, or to its first element.
fn pointed(plan: &Plan, name: &str) -> String {
    let value = &plan.guest.variables[name].value;
    match &value.kind {
        Type::Array { .. } => format!("__typeof__(({name})[0]) "),
        _ => format!("{} ", spelled(value)),
    }
}

/// The definitions, and the table of those that the runtime watches.
pub fn definitions(plan: &Plan) -> String {
    let mut text = plan.opening("its variables, in the part that runs on the host");
    text += "#include \"iotdec_wrapper.h\"\n";
    let mut table = String::new();
    for variable in crossing(plan) {
        let Crossing { name, symbol, rule } = variable;
        let size = symbol.contents.len();
        let is_watched = variable.is_watched();
        let contents = contents(&symbol.contents);
        let kind = match is_watched {
            true => "unsigned char",
            false => "const unsigned char",
        };
        let _ = writeln!(
            text,
            "\nextern {kind} {name}[];\n__attribute__((aligned({}))) {kind} {name}[{size}]{contents};",
            symbol.alignment
        );
        if !is_watched {
            continue;
        }
        let first = match contents.is_empty() {
            true => "NULL".into(),
            false => {
                let _ = writeln!(
                    text,
                    "static const unsigned char iotdec_first_{name}[{size}]{contents};"
                );
                format!("iotdec_first_{name}")
            }
        };
        let slots = match rule.slots.is_empty() {
            true => "NULL".into(),
            false => {
                let _ = writeln!(
                    text,
                    "static const struct iotdec_slot iotdec_slots_{name}[] = {{{}}};",
                    slots(&rule.slots)
                );
                format!("iotdec_slots_{name}")
            }
        };
        let _ = writeln!(
            table,
            "    {{{name:?}, {name}, {first}, {size}, {slots}, {}, {}}},",
            rule.slots.len(),
            match rule.is_constant {
                true => "IOTDEC_VARIABLE_CONSTANT",
                false => "0",
            }
        );
    }
    if !table.is_empty() {
        let _ = write!(
            text,
            "\nextern const struct iotdec_variable iotdec_variables[] __attribute__((__visibility__(\"hidden\")));\n\
             const struct iotdec_variable iotdec_variables[] = {{\n{table}}};\n"
        );
    }
    text
}

fn contents(bytes: &[u8]) -> String {
    if bytes.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
    let lines: Vec<_> = numbers.chunks(24).map(|line| line.join(", ")).collect();
    format!(" = {{\n    {}}}", lines.join(",\n    "))
}

fn slots(slots: &[(usize, Slot)]) -> String {
    let slots = slots.iter().map(|(offset, slot)| match slot {
        Slot::Function(number) => format!("{{{offset}, IOTDEC_SLOT_FUNCTION, {number}}}"),
        Slot::Text => format!("{{{offset}, IOTDEC_SLOT_TEXT, 0}}"),
        Slot::Shared(size) => format!("{{{offset}, IOTDEC_SLOT_SHARED, {size}}}"),
        Slot::Handle => format!("{{{offset}, IOTDEC_SLOT_HANDLE, 0}}"),
    });
    slots.collect::<Vec<_>>().join(", ")
}

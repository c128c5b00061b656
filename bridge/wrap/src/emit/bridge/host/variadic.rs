//! Variable arguments.

use super::call::Call;
use super::result::{on_crash, unqualified};
use crate::emit::bridge::guest::free_registers;
use crate::emit::bridge::message::REGISTERS;
use crate::emit::bridge::{declare, parameter_list, returns, spelled, variant_id};
use crate::model::{Function, Variant};
use crate::notes::Letter;
use crate::rules::{FormatRule, Rule};
use std::collections::BTreeMap;
use std::fmt::Write;

impl Call<'_> {
    /// The arguments that are not declared.
    pub fn variable(&self, format: &FormatRule) -> String {
        let parameters = &self.signature.parameters;
        let [general, floating] = match format.list {
            Some(_) => [REGISTERS - 1, REGISTERS],
            None => free_registers(self.signature),
        };
        let (start, end) = match format.list {
            Some(list) => (
                format!("va_copy(iotdec_l.list, {})", parameters[list].name),
                "",
            ),
            None => {
                let last = parameters.last().map_or("", |p| &p.name);
                (format!("va_start(iotdec_l.list, {last})"), "")
            }
        };
        let name = &parameters[format.format].name;
        let (read, how) = match format.letters.is_empty() {
            true => ("iotdec_format", format.strings.clone()),
            false => ("iotdec_letters", letters(&format.letters)),
        };
        format!(
            "    struct iotdec_list iotdec_l;\n    struct iotdec_arguments iotdec_a;\n    \
             struct iotdec_placing iotdec_p = {{&iotdec_c, &iotdec_a, {general}, {floating}, 0, 0, 0}};\n    \
             memset(&iotdec_a, 0, sizeof iotdec_a);\n    {start};{end}\n    \
             {read}(&iotdec_p, (const char *){name}, {how:?}, &iotdec_l);\n    va_end(iotdec_l.list);\n    \
             memcpy(iotdec_m->iotdec_general, iotdec_a.general, sizeof iotdec_a.general);\n    \
             memcpy(iotdec_m->iotdec_floating, iotdec_a.floating, sizeof iotdec_a.floating);\n    \
             memcpy(iotdec_m->iotdec_stack, iotdec_a.stack, sizeof iotdec_a.stack);\n"
        )
    }
}

/// Each letter of a format, and behind it what `iotdec_letters` calls its argument.
fn letters(letters: &BTreeMap<char, Letter>) -> String {
    let pairs = letters.iter().map(|(letter, argument)| {
        let argument = match argument {
            Letter::Int => 'i',
            Letter::Long => 'l',
            Letter::Double => 'd',
            Letter::String => 's',
            Letter::Shared => 'p',
            Letter::Optional => 'o',
        };
        [*letter, argument]
    });
    pairs.flatten().collect()
}

/// A function with variants, as the program calls it: calls the one that is selected.
pub fn select(function: &Function, name: &str, rule: &Rule, selector: usize) -> String {
    let signature = &function.signature;
    let result = &signature.result;
    let (fixed, last) = (&signature.parameters, signature.parameters.last());
    let last = last.map_or("", |p| &p.name);
    let selector = &fixed[selector].name;
    let mut text = format!(
        "\n{} ({name})({})\n{{\n    va_list iotdec_l;\n",
        spelled(result),
        parameter_list(signature)
    );
    if returns(signature) {
        let failed = on_crash(result, rule);
        let _ = writeln!(text, "    {} iotdec_r = {failed};", unqualified(result));
    }
    let _ = write!(text, "    va_start(iotdec_l, {last});\n    ");
    let mut is_complete = false;
    for (
        index,
        Variant {
            values, signature, ..
        },
    ) in function.variants.iter().enumerate()
    {
        let values: Vec<_> = values
            .iter()
            .map(|it| format!("{selector} == ({it})"))
            .collect();
        match values.is_empty() {
            true => is_complete = true,
            false => text += &format!("if ({}) ", values.join(" || ")),
        }
        text += "{\n";
        let mut given: Vec<_> = fixed.iter().map(|p| p.name.clone()).collect();
        // One after the other: nothing says in which order arguments are looked at.
        for (number, further) in signature.parameters[fixed.len()..].iter().enumerate() {
            let variable = format!("iotdec_a_{number}");
            let declared = declare(&further.value, &variable);
            let kind = spelled(&further.value);
            let _ = writeln!(text, "        {declared} = va_arg(iotdec_l, {kind});");
            given.push(variable);
        }
        let call = format!("{}({})", variant_id(name, index), given.join(", "));
        let _ = match returns(signature) {
            true => writeln!(text, "        iotdec_r = {call};"),
            false => writeln!(text, "        {call};"),
        };
        text += "    }";
        text += if is_complete { "\n" } else { " else " };
    }
    if !is_complete {
        let _ = write!(
            text,
            "{{\n        iotdec_no_variant(&iotdec_wrapper, {name:?}, {selector:?}, (long long){selector});\n    }}\n"
        );
    }
    text += "    va_end(iotdec_l);\n";
    text += match () {
        () if function.is_noreturn => "    abort();\n",
        () if returns(signature) => "    return iotdec_r;\n",
        () => "",
    };
    text + "}\n"
}

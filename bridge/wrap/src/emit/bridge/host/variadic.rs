//! Variable arguments.

use super::call::Call;
use crate::emit::bridge::guest::free_registers;
use crate::emit::bridge::message::REGISTERS;
use crate::notes::Letter;
use crate::rules::FormatRule;
use std::collections::BTreeMap;

impl Call<'_> {
    /// The arguments that are not declared.
    pub fn variable(&self, format: &FormatRule) -> String {
        let parameters = &self.signature.parameters;
        if let Some(words) = format.words {
            let last = parameters.last().map_or("", |p| &p.name);
            // What was not passed is some value that the library does not look at.
            return format!(
                "    va_list iotdec_l;\n    va_start(iotdec_l, {last});\n    \
                 for (int iotdec_i = 0; iotdec_i < {words}; iotdec_i++)\n        \
                 iotdec_m->iotdec_general[iotdec_i] = va_arg(iotdec_l, uint64_t);\n    \
                 va_end(iotdec_l);\n"
            );
        }
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

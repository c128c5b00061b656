//! The host's side: one function per function, which takes its arguments out of words.

use super::{Plan, returns};
use std::fmt::Write;

pub fn source(plan: &Plan, fingerprint: u64) -> String {
    let mut text = String::new();
    for (name, function) in plan.carried() {
        let arguments: Vec<_> = function
            .signature
            .parameters
            .iter()
            .enumerate()
            .map(|(index, parameter)| format!("({})words[{index}]", parameter.value.spelling))
            .collect();
        let arguments = arguments.join(", ");
        let result = if returns(function) {
            "words[0] = (uint64_t)"
        } else {
            ""
        };
        // In parentheses, so that a macro of that name does not stand in for it.
        let _ = write!(
            text,
            "\nstatic void do_{name}(uint64_t *words)\n{{\n    {result}({name})({arguments});\n"
        );
        if function.signature.parameters.is_empty() && !returns(function) {
            text += "    (void)words;\n";
        }
        text += "}\n";
    }
    text += "\nvoid (*const iotdec_functions[])(uint64_t *) = {\n";
    for (name, _) in plan.carried() {
        let _ = writeln!(text, "    do_{name},");
    }
    let count = plan.carried().count();
    let _ = write!(
        text,
        "}};\nconst uint64_t iotdec_count = {count};\n\
         const uint64_t iotdec_fingerprint = {fingerprint:#x};\n"
    );
    text
}

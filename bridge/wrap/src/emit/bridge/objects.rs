//! Objects of the library that begin with the address of a table of functions: what the
//! program calls in their stead is made by `iotdec_bridge.h`.

use super::member;
use crate::model::Parameter;
use crate::rules::{Block, Rules};
use std::fmt::Write;

/// The signatures of the functions in each table, by which objects are told apart, too.
pub fn tables(rules: &Rules) -> String {
    let mut text = String::new();
    for (tag, functions) in &rules.tables {
        let numbers: Vec<_> = functions
            .iter()
            .map(|function| match function {
                Some(number) => number.to_string(),
                None => "IOTDEC_NO_SIGNATURE".into(),
            })
            .collect();
        let _ = write!(
            text,
            "\nstatic const uint32_t iotdec_signatures_{tag}[] IOTDEC_UNUSED = {{{}}};\n\
             static const struct iotdec_interface iotdec_interface_{tag} IOTDEC_UNUSED = {{\n    \
             \"{tag}\", {}, iotdec_signatures_{tag}\n}};\n",
            numbers.join(", "),
            functions.len()
        );
    }
    text
}

/// The library's object in the place of the program's.
pub fn give(tag: &str, value: &str) -> String {
    format!("iotdec_give_object(&iotdec_c, &iotdec_interface_{tag}, (const void *){value})")
}

/// The program's object in the place of the library's.
pub fn take(tag: &str, bits: &str) -> String {
    format!("iotdec_take_object(&iotdec_c, &iotdec_interface_{tag}, {bits})")
}

/// Pointers to objects, in memory of the program. What is there before the call may be
/// anything, as it is mostly written only.
pub fn before(parameter: &Parameter, block: &Block, tag: &str, size: &str) -> String {
    let name = &parameter.name;
    let known = match block.reads {
        true => format!(
            "iotdec_known_object(&iotdec_c, &iotdec_interface_{tag}, (const void *){name}[iotdec_i])"
        ),
        false => "0".into(),
    };
    format!(
        "{size}    size_t iotdec_l_{name} = iotdec_n_{name} / sizeof(uint64_t);\n    \
         uint64_t *iotdec_q_{name} = {name} ? iotdec_take(&iotdec_c, iotdec_n_{name}) : NULL;\n    \
         for (size_t iotdec_i = 0; iotdec_i < iotdec_l_{name}; iotdec_i++)\n        \
         iotdec_q_{name}[iotdec_i] = {known};\n    \
         iotdec_m->{} = IOTDEC_BITS(iotdec_q_{name});\n",
        member(name)
    )
}

/// What the library put there.
pub fn after(parameter: &Parameter, tag: &str) -> String {
    let name = &parameter.name;
    let taken = take(tag, "iotdec_u");
    format!(
        "        for (size_t iotdec_i = 0; iotdec_i < iotdec_l_{name}; iotdec_i++) {{\n            \
         uint64_t iotdec_u = iotdec_q_{name}[iotdec_i];\n            \
         {name}[iotdec_i] = (__typeof__({name}[iotdec_i])){taken};\n        }}\n"
    )
}

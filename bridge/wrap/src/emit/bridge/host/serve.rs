//! A function of the program's, as the library calls it.

use crate::emit::bridge::message::{is_bytes, member};
use crate::emit::bridge::{
    Plan, declare, objects, pointer_type, reach, repack, returns, spelled, told,
};
use crate::model::Type;
use crate::rules::{Crossing, Pointed};
use std::fmt::Write;

/// Calls a function of the program for the library.
pub fn serve(plan: &Plan, number: usize, pointed: &Pointed, text: &mut String) {
    let Pointed {
        signature,
        inward: rule,
        format,
        ..
    } = pointed;
    let field = |name: &str| format!("iotdec_m->{}", member(name));
    let mut arguments = Vec::new();
    let crossings = rule.parameters.iter();
    let needs_call = crossings.chain([&rule.result]).any(|crossing| {
        matches!(crossing, Crossing::Function(_) | Crossing::Object(_)) || crossing.converts()
    });
    let (mut before, mut after) = (String::new(), String::new());
    for (parameter, crossing) in signature.parameters.iter().zip(&rule.parameters) {
        if *crossing != Crossing::Value {
            continue;
        }
        let kind = &parameter.value.kind;
        let pointer = format!("(uintptr_t){}", field(&parameter.name));
        if let Some(meet) = reach::meet(plan, kind, &pointer) {
            let _ = write!(before, "    {meet}");
            let _ = write!(after, "    {meet}");
        }
    }
    let needs_call = needs_call || !before.is_empty();
    for (parameter, crossing) in signature.parameters.iter().zip(&rule.parameters) {
        let (kind, field) = (spelled(&parameter.value), field(&parameter.name));
        arguments.push(match (crossing, &parameter.value.kind) {
            (Crossing::Function(number), _) => {
                format!("({kind})iotdec_take_function(&iotdec_c, {field}, {number})")
            }
            (Crossing::Object(tag), _) => format!("({kind}){}", objects::take(tag, &field)),
            (Crossing::Repacked(_) | Crossing::Data(_), _) => {
                repack::serve(parameter, crossing, &mut before, &mut after)
            }
            (_, by_value) if is_bytes(by_value) => format!("*({kind} *){field}"),
            (_, Type::Pointer(_)) => format!("({kind})(uintptr_t){field}"),
            _ => format!("({kind}){field}"),
        });
    }
    let _ = write!(
        text,
        "\nstatic void serve_{number}(void *iotdec_p, void *iotdec_to)\n{{\n    \
         struct s_{number} *iotdec_m = iotdec_p;\n"
    );
    if needs_call {
        *text += "    struct iotdec_call iotdec_c;\n    iotdec_serve_begin(&iotdec_c, &iotdec_wrapper);\n";
    }
    let call = format!(
        "(({})iotdec_to)({})",
        pointer_type(signature),
        told(arguments, *format)
    );
    let result = "iotdec_m->iotdec_result";
    *text += &before;
    *text += &match (&rule.result, &signature.result.kind) {
        (Crossing::Function(number), _) => format!(
            "    {result} = iotdec_give_function(&iotdec_c, (void (*)(void)){call}, {number});\n"
        ),
        (Crossing::Object(tag), _) => format!("    {result} = {};\n", objects::give(tag, &call)),
        (Crossing::Repacked(tag), _) => format!(
            "    {} = {call};\n    pack_{tag}(&iotdec_c, {result}, &iotdec_r);\n",
            declare(&signature.result, "iotdec_r")
        ),
        (_, Type::Void) => format!("    {call};\n"),
        (_, kind) if is_bytes(kind) => format!(
            "    {} = {call};\n    memcpy({result}, &iotdec_r, sizeof iotdec_r);\n",
            declare(&signature.result, "iotdec_r")
        ),
        (_, Type::Pointer(_)) => format!("    {result} = IOTDEC_BITS({call});\n"),
        (_, Type::Float(_)) => format!("    {result} = {call};\n"),
        (_, kind) => format!(
            "    {result} = (uint{}_t){call};\n",
            8 * kind.integer_size().unwrap_or(8)
        ),
    };
    *text += &after;
    if signature.parameters.is_empty() && !returns(signature) {
        *text += "    (void)iotdec_m;\n";
    }
    *text += "}\n";
}

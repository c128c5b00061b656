//! A function of the program's, as the library calls it. What it is given to follow is looked
//! at before: each word of the message is read once, into `iotdec_v_NAME`.

use super::result::on_crash;
use crate::emit::bridge::message::{is_bytes, member};
use crate::emit::bridge::{
    Plan, call_pointed, checks, declare, objects, pointer_type, reach, repack, returns, spelled,
    with_list,
};
use crate::model::{Parameter, Type};
use crate::rules::{Block, Crossing, Pointed};
use std::fmt::Write;

/// Calls a function of the program for the library.
pub fn serve(plan: &Plan, number: usize, pointed: &Pointed, text: &mut String) {
    let Pointed {
        signature,
        inward,
        told,
        ..
    } = pointed;
    let parameters = || signature.parameters.iter().zip(&inward.parameters);
    let mut arguments = Vec::new();
    let mut taken = String::new();
    let mut checks = Checks::default();
    let (mut before, mut after) = (String::new(), String::new());
    for (parameter, crossing) in parameters() {
        if *crossing == Crossing::Nothing {
            arguments.push(String::new());
            continue;
        }
        if crossing.converts() {
            arguments.push(repack::serve(parameter, crossing, &mut before, &mut after));
            continue;
        }
        let local = local(parameter);
        taken += &take(parameter, crossing);
        check(plan, pointed, parameter, crossing, &mut checks);
        if let Some(meet) = reach::meet(plan, &parameter.value.kind, &local)
            && !matches!(crossing, Crossing::Object(_))
        {
            let _ = write!(before, "    {meet}");
            let _ = write!(after, "    {meet}");
        }
        arguments.push(local);
    }
    with_list(number, pointed, text);
    let may_fail = |crossing: &Crossing| {
        matches!(crossing, Crossing::Function(_) | Crossing::Object(_)) || crossing.converts()
    };
    let mut crossings = inward.parameters.iter().chain([&inward.result]);
    let needs_call = crossings.any(may_fail) || !before.is_empty();
    let result = "iotdec_m->iotdec_result";
    let _ = write!(
        text,
        "\nstatic void iotdec_serve_{number}(void *iotdec_p, void *iotdec_to)\n{{\n    \
         struct iotdec_s_{number} *iotdec_m = iotdec_p;\n    \
         __typeof__({}) iotdec_f = iotdec_to;\n",
        pointer_type(signature)
    );
    let begin = "iotdec_serve_begin(&iotdec_c, &iotdec_wrapper);\n";
    if needs_call || !checks.near.is_empty() {
        *text += "    struct iotdec_call iotdec_c;\n    int iotdec_failed = 0;\n";
    }
    if needs_call {
        let _ = write!(text, "    {begin}");
    }
    *text += &taken;
    if !checks.near.is_empty() {
        *text += "    {\n";
        // Amounts are said in the parameters' names.
        for (parameter, _) in parameters()
            .filter(|(_, crossing)| !crossing.converts() && **crossing != Crossing::Nothing)
        {
            let (name, local) = (&parameter.name, local(parameter));
            let _ = writeln!(
                text,
                "        __typeof__({local}) {name} IOTDEC_UNUSED = {local};"
            );
        }
        let near = checks.near.join(" &&\n              ");
        let begin = if needs_call { "" } else { begin };
        let _ = write!(
            text,
            "        if (!({near})) {{\n            {begin}{}            \
             iotdec_failed = iotdec_call_failed(&iotdec_c);\n        }}\n    }}\n",
            checks.exact
        );
    }
    *text += &before;
    if needs_call {
        *text += "    iotdec_failed |= iotdec_call_failed(&iotdec_c);\n";
    }
    if needs_call || !checks.near.is_empty() {
        let nothing = on_crash(&signature.result, inward);
        let give_up = match &signature.result.kind {
            Type::Void => String::new(),
            kind if is_bytes(kind) => format!("        memset({result}, 0, sizeof {result});\n"),
            Type::Pointer(_) => format!("        {result} = IOTDEC_BITS({nothing});\n"),
            Type::Float(_) => format!("        {result} = {nothing};\n"),
            kind => format!(
                "        {result} = (uint{}_t){nothing};\n",
                8 * kind.integer_size().unwrap_or(8)
            ),
        };
        let _ = write!(
            text,
            "    if (iotdec_failed) {{\n{give_up}        return;\n    }}\n"
        );
    }
    let call = call_pointed("iotdec_f".into(), number, *told, arguments);
    *text += &match (&inward.result, &signature.result.kind) {
        (Crossing::Function(number), _) => format!(
            "    {result} = iotdec_give_function(&iotdec_c, (void (*)(void)){call}, {number});\n"
        ),
        (Crossing::Object(tag), _) => format!("    {result} = {};\n", objects::give(tag, &call)),
        (Crossing::Repacked(tag), _) => format!(
            "    {} = {call};\n    iotdec_pack_{tag}(&iotdec_c, {result}, &iotdec_r);\n",
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

/// Where a parameter is that the library passed.
fn local(parameter: &Parameter) -> String {
    format!("iotdec_v_{}", parameter.name)
}

/// Reads a parameter.
fn take(parameter: &Parameter, crossing: &Crossing) -> String {
    let field = format!("iotdec_m->{}", member(&parameter.name));
    let (kind, local) = (spelled(&parameter.value), local(parameter));
    let value = match (crossing, &parameter.value.kind) {
        (Crossing::Function(number), _) => {
            format!("({kind})iotdec_take_function(&iotdec_c, {field}, {number})")
        }
        (Crossing::Object(tag), _) => format!("({kind}){}", objects::take(tag, &field)),
        (_, by_value) if is_bytes(by_value) => format!("*({kind} *){field}"),
        (_, Type::Pointer(_)) => format!("({kind})(uintptr_t)IOTDEC_ONCE({field})"),
        _ => format!("({kind})IOTDEC_ONCE({field})"),
    };
    format!("    {kind} {local} = {value};\n")
}

/// Whether pointers are as they should be.
#[derive(Default)]
struct Checks {
    /// In most cases it is enough to compare addresses.
    near: Vec<String>,
    /// What is to be done if that does not say that they are.
    exact: String,
}

fn check(
    plan: &Plan,
    pointed: &Pointed,
    parameter: &Parameter,
    crossing: &Crossing,
    checks: &mut Checks,
) {
    let (local, kind) = (local(parameter), &parameter.value.kind);
    let text = checks::text_of_callback(pointed, parameter);
    let mut add = |near: String, exact: String| {
        checks.near.push(near);
        let _ = writeln!(checks.exact, "            {exact};");
    };
    match crossing {
        Crossing::Shared => {
            let least = checks::least(kind, &local);
            add(
                format!("iotdec_is_near(IOTDEC_BITS({local}), 1, {least})"),
                format!("iotdec_check_or(&iotdec_c, IOTDEC_BITS({local}), {least}, {text:?})"),
            );
        }
        Crossing::Text => add(
            format!("!{local}"),
            format!(
                "iotdec_check_string(&iotdec_c, IOTDEC_BITS(iotdec_check_or(&iotdec_c, \
                 IOTDEC_BITS({local}), 1, {text:?})))"
            ),
        ),
        Crossing::Data(Block { count, .. }) => {
            let amount = format!("(long long)({})", count.expression);
            let element = match count.in_bytes {
                true => "1".into(),
                false => checks::least(kind, &local),
            };
            add(
                format!("iotdec_is_near(IOTDEC_BITS({local}), {amount}, {element})"),
                format!(
                    "iotdec_check_or(&iotdec_c, IOTDEC_BITS({local}), \
                     iotdec_bytes(&iotdec_c, {amount}, {element}), {text:?})"
                ),
            );
        }
        Crossing::Record => {
            for held in checks::held(plan, kind) {
                let text = format!("{text} (the pointer is its {})", held.path);
                let (offset, size) = (held.offset, held.size);
                let word = format!("iotdec_held(&{local}, {offset})");
                add(
                    format!("iotdec_is_near({word}, 1, {size})"),
                    format!("iotdec_check_or(&iotdec_c, {word}, {size}, {text:?})"),
                );
            }
        }
        _ => {}
    }
}

//! The guest's part: calls the library with what is in messages, and makes messages of
//! what the library calls.

use super::beside;
use super::message::{REGISTERS, STACK_WORDS, is_bytes, member};
use super::{
    Plan, Wrapped, call_pointed, called, parameter_list, pointer_type, returns, spelled, tell,
};
use crate::model::{Float, Parameter, Signature, Type, Value};
use crate::rules::{Crossing, FormatRule, Pointed, Variable};
use std::fmt::Write;

pub fn source(plan: &Plan, fingerprint: u64) -> String {
    let mut text = plan.opening("the part that runs in the guest");
    // The runtime's header before any function: it gives a register a name. The library's headers
    // after all of ours, for they may define macros by any name.
    text += "#include \"iotdec_guest.h\"\n#include \"iotdec_text.h\"\n#include <string.h>\n";
    if plan.lends_descriptors() {
        text += "#include <errno.h>\n";
    }
    if plan.has_streams() {
        text += "#include \"iotdec_streams.h\"\n";
    }
    text += "#include \"headers.h\"\n#include \"messages.h\"\n";
    if plan.lends_descriptors() {
        text += LENT;
    }
    text += &super::repack::guest_assertions(plan);
    for function in plan.wrapped() {
        call(plan, &function, &mut text);
    }
    text += "\nstatic void (*const iotdec_functions[])(void *) = {\n";
    for function in plan.wrapped() {
        let _ = writeln!(text, "    iotdec_f_{},", function.id);
    }
    text += "    0\n};\n";
    for (number, pointed) in plan.rules.signatures.iter().enumerate() {
        serve(number, pointed, &mut text);
        entry(number, pointed, &mut text);
    }
    text += "\nstatic void (*const iotdec_serve[])(void *, void *) = {\n";
    let count = plan.rules.signatures.len();
    for number in 0..count {
        let _ = writeln!(text, "    iotdec_serve_{number},");
    }
    text += "    0\n};\nstatic void *const iotdec_entries[] = {\n";
    for number in 0..count {
        let _ = writeln!(text, "    (void *)iotdec_entry_{number},");
    }
    let _ = write!(
        text,
        "    0\n}};\n\nconst struct iotdec_guest iotdec_guest = {{\n    \
         IOTDEC_GUEST_VERSION, IOTDEC_FUNCTIONS, {count}, 0, {fingerprint:#x},\n    \
         iotdec_functions, iotdec_serve, iotdec_entries\n}};\n"
    );
    text
}

/// Ends what was lent for a call, which is not to be seen in `errno`.
const LENT: &str = "
extern int iotdec_close(int) __asm__(\"close\");
static void iotdec_end_loan(uint32_t descriptor)
{
    int error = errno;

    if ((int)descriptor >= 0)
        iotdec_close((int)descriptor);
    errno = error;
}
";

/// A parameter out of a message.
fn argument(name: &str, value: &Value) -> String {
    let field = format!("iotdec_m->{}", member(name));
    match &value.kind {
        kind if is_bytes(kind) => format!("*({} *){field}", spelled(value)),
        Type::Pointer(_) => format!("({})(uintptr_t){field}", spelled(value)),
        _ => format!("({}){field}", spelled(value)),
    }
}

/// `result = call;` into a message.
fn store(target: &str, result: &Value, call: &str) -> String {
    match &result.kind {
        Type::Void => format!("    {call};\n"),
        kind if is_bytes(kind) => format!(
            "    {} iotdec_r = {call};\n    memcpy({target}, &iotdec_r, sizeof iotdec_r);\n",
            spelled(result)
        ),
        Type::Pointer(_) => format!("    {target} = (uint64_t)(uintptr_t){call};\n"),
        Type::Float(_) => format!("    {target} = {call};\n"),
        kind => {
            let bits = 8 * kind.integer_size().unwrap_or(8);
            format!("    {target} = (uint{bits}_t){call};\n")
        }
    }
}

fn arguments(signature: &Signature) -> Vec<String> {
    let parameters = signature.parameters.iter();
    parameters.map(|p| argument(&p.name, &p.value)).collect()
}

fn call(plan: &Plan, function: &Wrapped, text: &mut String) {
    let Wrapped {
        id,
        name,
        signature,
        rule,
        ..
    } = function;
    let (name, declaration) = called(plan, name);
    *text += &declaration;
    let mut given = arguments(signature);
    let beside = beside::sizes(signature, rule);
    for ((given, parameter), _) in given
        .iter_mut()
        .zip(&signature.parameters)
        .zip(&beside)
        .filter(|(_, size)| size.is_some())
    {
        *given = beside::argument(parameter);
    }
    let mut after = String::new();
    for (given, (parameter, crossing)) in given
        .iter_mut()
        .zip(signature.parameters.iter().zip(&rule.parameters))
    {
        let name = member(&parameter.name);
        match crossing {
            Crossing::Stream(_) => *given = format!("iotdec_stream(iotdec_m->{name})"),
            Crossing::Descriptor { is_lent: true } => {
                let _ = writeln!(after, "    iotdec_end_loan(iotdec_m->{name});");
            }
            _ => {}
        }
    }
    match rule.variable.as_deref() {
        Some(Variable::Format(FormatRule {
            list: Some(list), ..
        })) => {
            given[*list] = "iotdec_list".into();
            let call = format!("{name}({})", given.join(", "));
            let store = store("iotdec_m->iotdec_result", &signature.result, &call);
            let _ = write!(
                text,
                "\nstatic void iotdec_v_{id}(struct iotdec_m_{id} *iotdec_m, ...)\n{{\n    va_list iotdec_list;\n    \
                 va_start(iotdec_list, iotdec_m);\n{store}    va_end(iotdec_list);\n}}\n"
            );
            let words = variable(REGISTERS - 1, REGISTERS);
            open(id, text);
            let _ = writeln!(text, "    iotdec_v_{id}(iotdec_m, {words});\n{after}}}");
            return;
        }
        Some(_) => {
            let [general, floating] = free_registers(signature);
            given.push(variable(general, floating));
        }
        None => {}
    }
    open(id, text);
    let call = format!("{name}({})", given.join(", "));
    *text += &store("iotdec_m->iotdec_result", &signature.result, &call);
    if signature.parameters.is_empty() && !returns(signature) {
        *text += "    (void)iotdec_m;\n";
    }
    *text += &after;
    *text += "}\n";
}

fn open(id: &str, text: &mut String) {
    let _ = write!(
        text,
        "\nstatic void iotdec_f_{id}(void *iotdec_p)\n{{\n    struct iotdec_m_{id} *iotdec_m = iotdec_p;\n"
    );
}

/// How many registers are left for the variable arguments of a function: those for
/// numbers and addresses, and those for floating point.
pub fn free_registers(signature: &Signature) -> [usize; 2] {
    let is_float = |value: &Value| matches!(value.kind, Type::Float(_));
    let floats = signature
        .parameters
        .iter()
        .filter(|p| is_float(&p.value))
        .count();
    let others = signature.parameters.len() - floats;
    [
        REGISTERS.saturating_sub(others),
        REGISTERS.saturating_sub(floats),
    ]
}

/// All variable arguments there can be. In this order the compiler puts them just where
/// the native side has decided that they belong; more than the callee looks at do no harm.
fn variable(general: usize, floating: usize) -> String {
    let list = |name: &str, count: usize| {
        (0..count)
            .map(|index| format!("iotdec_m->iotdec_{name}[{index}]"))
            .collect::<Vec<_>>()
    };
    let all = [
        list("general", general),
        list("floating", floating),
        list("stack", STACK_WORDS),
    ];
    all.concat().join(", ")
}

/// Calls a function of the guest for the program.
fn serve(number: usize, pointed: &Pointed, text: &mut String) {
    let signature = &pointed.signature;
    super::with_list(number, pointed, text);
    let function = format!("(({})iotdec_target_)", pointer_type(signature));
    let call = call_pointed(function, number, pointed.told, arguments(signature));
    let _ = write!(
        text,
        "\nstatic void iotdec_serve_{number}(void *iotdec_p, void *iotdec_target_)\n{{\n    \
         struct iotdec_s_{number} *iotdec_m = iotdec_p;\n{}",
        store("iotdec_m->iotdec_result", &signature.result, &call)
    );
    if signature.parameters.is_empty() && !returns(signature) {
        *text += "    (void)iotdec_m;\n";
    }
    *text += "}\n";
}

/// What the library calls when it calls a function of the program.
fn entry(number: usize, pointed: &Pointed, text: &mut String) {
    let Pointed {
        signature, told, ..
    } = pointed;
    let result = spelled(&signature.result);
    let tell = told.map_or_else(String::new, |told| tell(signature, told));
    let _ = write!(
        text,
        "\nstatic {result} iotdec_entry_{number}({})\n{{\n    void *iotdec_to = iotdec_target;\n{tell}    \
         struct iotdec_callback iotdec_c;\n    struct iotdec_s_{number} *iotdec_m = \
         iotdec_callback_begin(&iotdec_c, sizeof *iotdec_m);\n",
        parameter_list(signature)
    );
    for (index, Parameter { name, value, .. }) in signature.parameters.iter().enumerate() {
        *text += &match told {
            Some(told) if told.format == index => format!(
                "    iotdec_m->{} = (uint64_t)(uintptr_t)iotdec_s;\n",
                member(name)
            ),
            Some(told) if told.list == Some(index) => String::new(),
            _ => pack(name, value),
        };
    }
    let _ = writeln!(
        text,
        "    iotdec_callback_run(&iotdec_c, &iotdec_guest, {number}, iotdec_to);"
    );
    if returns(signature) {
        let _ = writeln!(
            text,
            "    {result} iotdec_r = {};",
            argument("iotdec_result", &signature.result)
        );
    }
    *text += "    iotdec_callback_end(&iotdec_c);\n";
    if told.is_some() {
        *text += "    free(iotdec_s);\n";
    }
    if returns(signature) {
        *text += "    return iotdec_r;\n";
    }
    *text += "}\n";
}

/// A parameter into a message, as it is.
pub fn pack(name: &str, value: &Value) -> String {
    let field = format!("iotdec_m->{}", member(name));
    match &value.kind {
        kind if is_bytes(kind) => format!("    memcpy({field}, &{name}, sizeof {name});\n"),
        Type::Pointer(_) => format!("    {field} = (uint64_t)(uintptr_t){name};\n"),
        Type::Float(Float::Single | Float::Double) => format!("    {field} = {name};\n"),
        kind => {
            let bits = 8 * kind.integer_size().unwrap_or(8);
            format!("    {field} = (uint{bits}_t){name};\n")
        }
    }
}

//! The host's part: the library's functions as the program calls them.

mod call;
mod descriptors;
mod result;
mod serve;
mod variadic;

use super::message::is_bytes;
use super::{
    Plan, Wrapped, beside, called, copies, head, keep_result, labelled, objects, parameter_list,
    reach, repack, returns, spelled, tell, variables,
};
use crate::model::{Float, Signature, Type};
use crate::rules::{Decision, Pointed, Variable};
use call::Call;
use result::zero;
use serve::serve;
use std::fmt::Write;

pub fn source(plan: &Plan, fingerprint: u64) -> String {
    let mut text = plan.opening("the part that runs on the host");
    // The runtime's header before any function: it gives a register a name. The library's headers
    // after all of ours, for they may define macros by any name.
    text += "#include \"iotdec_wrapper.h\"\n#include \"iotdec.h\"\n#include \"iotdec_bridge.h\"\n\
             #include \"headers.h\"\n#include \"messages.h\"\n\n";
    let signatures = plan.rules.signatures.len();
    let accel = plan.accel.map_or("0".into(), |wish| {
        format!("IOTDEC_ACCEL_{}", wish.name().to_uppercase())
    });
    let _ = write!(
        text,
        "static void (*const iotdec_serve[{0}])(void *, void *);\n\
         static void *const iotdec_entries[{0}];\n\
         extern const struct iotdec_variable iotdec_variables[] __attribute__((__visibility__(\"hidden\")));\n\
         static struct iotdec_wrapper iotdec_wrapper = {{\n    \
         IOTDEC_WRAPPER_VERSION, IOTDEC_FUNCTIONS, {signatures}, {accel}, {fingerprint:#x},\n    \
         {1:?}, {2:?}, {3:?}, NULL,\n    iotdec_serve, iotdec_entries, NULL,\n    {4}, NULL\n}};\n",
        signatures + 1,
        plan.exports.name,
        plan.library.display().to_string(),
        plan.guest_part,
        variables::members(plan),
    );
    text += &variables::functions(plan);
    text += &objects::tables(plan.rules);
    text += &reach::source(plan);
    text += &repack::source(plan);
    for (tag, rule) in &plan.rules.records {
        text += &copies::copies(tag, &plan.guest.records[tag], rule);
    }
    for Wrapped {
        id,
        name,
        signature,
        rule,
        is_variant,
    } in plan.wrapped()
    {
        let call = Call {
            name,
            signature,
            rule,
            plan,
            beside: beside::sizes(signature, rule),
        };
        let noreturn = plan.guest.functions[name].is_noreturn;
        let begin = format!("struct iotdec_m_{id} *iotdec_m");
        let head = match is_variant {
            true => format!("static {}", head(&id, signature)),
            false => exported(plan, name, signature),
        };
        let run = format!("iotdec_call_run(&iotdec_c, IOTDEC_F_{id})");
        text += &call.function(&head, &begin, &run, noreturn);
    }
    for (name, decision) in &plan.rules.functions {
        if let Decision::Wrapped(rule) = decision
            && let Some(Variable::Variants(selector, _)) = rule.variable.as_deref()
        {
            text += &variadic::select(&plan.guest.functions[name], name, rule, *selector);
        }
    }
    for (name, signature, why) in plan.refused() {
        text += &refused(plan, name, signature, why);
    }
    for (number, pointed) in plan.rules.signatures.iter().enumerate() {
        serve(plan, number, pointed, &mut text);
        entry(plan, number, pointed, &mut text);
    }
    text += "\nstatic void (*const iotdec_serve[])(void *, void *) = {\n";
    for number in 0..signatures {
        let _ = writeln!(text, "    iotdec_serve_{number},");
    }
    text += "    0\n};\nstatic void *const iotdec_entries[] = {\n";
    for number in 0..signatures {
        let _ = writeln!(text, "    (void *)iotdec_entry_{number},");
    }
    text + "    0\n};\n"
}

/// What is before the body of a function that the library exports.
fn exported(plan: &Plan, name: &str, signature: &Signature) -> String {
    let (called, declaration) = called(plan, name);
    declaration + &head(&called, signature)
}

/// A function that is not wrapped. It is there, so that programs can be linked that would
/// call it some time; if they do, they are told.
///
/// Its types may be the very reason, so it is made without them, if a register has room for
/// its result.
fn refused(plan: &Plan, name: &str, signature: &Signature, why: &str) -> String {
    let function = &plan.guest.functions[name];
    let result = match &signature.result.kind {
        Type::Void => Some("void"),
        Type::Float(Float::Single | Float::Double) => Some("double"),
        kind if is_bytes(kind) => None,
        _ => Some("uint64_t"),
    };
    let (head, zero) = match result {
        Some(result) => {
            let head = format!("{result} iotdec_refused_{name}(void)");
            (labelled(&head, &function.symbol) + &head, "0".into())
        }
        None => (exported(plan, name, signature), zero(&signature.result)),
    };
    let mut text =
        format!("\n{head}\n{{\n    iotdec_refuse(&iotdec_wrapper, {name:?}, {why:?});\n");
    if function.is_noreturn {
        text += "    abort();\n";
    } else if returns(signature) {
        let _ = writeln!(text, "    return {zero};");
    }
    text + "}\n"
}

/// What the program calls when it calls a function of the library by its address.
fn entry(plan: &Plan, number: usize, pointed: &Pointed, text: &mut String) {
    let signature = &pointed.signature;
    let result = spelled(&signature.result);
    let rule = match &pointed.outward {
        Ok(rule) => rule,
        Err(why) => {
            let _ = write!(
                text,
                "\n/* {why} */\nstatic {result} iotdec_entry_{number}({})\n{{\n    \
                 struct iotdec_call iotdec_c;\n    \
                 if (iotdec_call_begin(&iotdec_c, &iotdec_wrapper, 16)) {{\n        \
                 iotdec_call_fail(&iotdec_c, {why:?});\n        iotdec_call_pointer(&iotdec_c, {number}, \
                 iotdec_target);\n        iotdec_call_end(&iotdec_c);\n    }}\n",
                parameter_list(signature)
            );
            for parameter in &signature.parameters {
                let _ = writeln!(text, "    (void){};", parameter.name);
            }
            if returns(signature) {
                let zero = match &signature.result.kind {
                    kind if is_bytes(kind) => "{0}",
                    _ => "0",
                };
                let _ = writeln!(text, "    return ({result}){zero};");
            }
            *text += "}\n";
            return;
        }
    };
    let call = Call {
        name: pointed.name.as_deref().unwrap_or_default(),
        signature,
        rule,
        plan,
        // The other direction has the same message.
        beside: Vec::new(),
    };
    let head = format!(
        "static {result} iotdec_entry_{number}({})",
        parameter_list(signature)
    );
    // The register is read before anything else can use it.
    let target = "void *iotdec_to = iotdec_target;\n";
    let run = format!("iotdec_call_pointer(&iotdec_c, {number}, iotdec_to)");
    let message = format!("struct iotdec_s_{number} *iotdec_m");
    let Some(tells) = pointed.told else {
        *text += &call.function(&head, &format!("{target}    {message}"), &run, false);
        return;
    };
    let fixed = Signature {
        variadic: false,
        ..signature.clone()
    };
    let told = format!(
        "static {result} iotdec_told_{number}(void *iotdec_to, {})",
        parameter_list(&fixed)
    );
    *text += &call.function(&told, &message, &run, false);
    let mut given: Vec<_> = fixed.parameters.iter().map(|p| &p.name[..]).collect();
    given[tells.format] = "iotdec_s";
    let call = format!("iotdec_told_{number}(iotdec_to, {})", given.join(", "));
    let (call, end) = keep_result(signature, call);
    let _ = write!(
        text,
        "\n{head}\n{{\n    {target}{}    {call};\n    free(iotdec_s);\n{end}}}\n",
        tell(signature, tells)
    );
}

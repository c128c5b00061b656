//! What a function of the library's returns.

use super::call::Call;
use crate::emit::bridge::message::is_bytes;
use crate::emit::bridge::{checks, objects, reach, repack, spelled};
use crate::model::{Type, Value};
use crate::rules::{Crossing, Rule};
use std::fmt::Write;

impl Call<'_> {
    /// Takes the result out of the message.
    pub fn result(&self) -> String {
        let result = &self.signature.result;
        let plain = unqualified(result);
        let field = "iotdec_m->iotdec_result";
        match &self.rule.result {
            Crossing::Nothing => String::new(),
            Crossing::Resized(kind) => repack::take_integer(field, kind, &plain),
            Crossing::Repacked(tag) => {
                format!("        iotdec_unpack_{tag}(&iotdec_c, &iotdec_r, {field});\n")
            }
            Crossing::Record => {
                let mut text = format!("        memcpy(&iotdec_r, {field}, sizeof iotdec_r);\n");
                for held in checks::held(self.plan, &result.kind) {
                    let why = format!(
                        "{} returned a pointer to memory that is not shared, in {}",
                        self.name, held.path
                    );
                    let _ = writeln!(
                        text,
                        "        iotdec_check_or(&iotdec_c, iotdec_held(&iotdec_r, {}), {}, {why:?});",
                        held.offset, held.size
                    );
                }
                text
            }
            // Until it has crossed, amounts can be of it.
            Crossing::Descriptor { .. } => {
                format!("        iotdec_r = ({plain})IOTDEC_ONCE({field});\n")
            }
            Crossing::Number => format!("        iotdec_r = ({plain}){field};\n"),
            Crossing::Function(number) => format!(
                "        iotdec_r = ({plain})iotdec_take_function(&iotdec_c, {field}, {number});\n"
            ),
            Crossing::Object(tag) => {
                format!(
                    "        iotdec_r = ({plain}){};\n",
                    objects::take(tag, field)
                )
            }
            pointer => {
                let mut text = format!("        uint64_t iotdec_u = IOTDEC_ONCE({field});\n");
                for (proc, number) in &self.rule.procs {
                    let name = self
                        .parameters()
                        .find(|(_, crossing)| **crossing == Crossing::Text);
                    let name = name.map_or("\"\"", |(parameter, _)| &parameter.name);
                    let _ = write!(
                        text,
                        "        if ({name} && strcmp((const char *){name}, \"{proc}\") == 0)\n            \
                         iotdec_u = IOTDEC_BITS(iotdec_take_function(&iotdec_c, iotdec_u, {number}));\n"
                    );
                }
                let homes: Vec<_> = self
                    .copied()
                    .map(|name| {
                        format!("iotdec_home(&iotdec_u, iotdec_q_{name}, {name}, iotdec_n_{name})")
                    })
                    .collect();
                let check = match pointer {
                    Crossing::Text => "iotdec_check_string(&iotdec_c, iotdec_u)".to_owned(),
                    Crossing::Shared => {
                        let size = checks::least(&result.kind, "iotdec_r");
                        format!("iotdec_check(&iotdec_c, iotdec_u, {size})")
                    }
                    _ => String::new(),
                };
                match (check.is_empty(), homes.is_empty()) {
                    (true, true) => {}
                    (true, false) => {
                        let _ = writeln!(text, "        (void)({});", homes.join(" || "));
                    }
                    (false, true) => {
                        let _ = writeln!(text, "        iotdec_u = IOTDEC_BITS({check});");
                    }
                    (false, false) => {
                        let _ = write!(
                            text,
                            "        if (!({}))\n            iotdec_u = IOTDEC_BITS({check});\n",
                            homes.join(" || ")
                        );
                    }
                }
                if *pointer == Crossing::Shared {
                    let kind = &result.kind;
                    if let Some(meet) = reach::meet(self.plan, kind, "(uintptr_t)iotdec_u") {
                        let _ = write!(text, "        {meet}");
                    }
                }
                text + &format!("        iotdec_r = ({plain})(uintptr_t)iotdec_u;\n")
            }
        }
    }
}

/// A result type that a variable can have.
pub fn unqualified(value: &Value) -> String {
    let spelled = spelled(value);
    match value.kind {
        Type::Pointer(_) => spelled,
        _ => spelled.trim_start_matches("const ").to_owned(),
    }
}

/// What a call returns that failed.
pub fn on_crash(result: &Value, rule: &Rule) -> String {
    match (&rule.on_crash, &rule.result) {
        (Some(value), _) => format!("({})({value})", spelled(result)),
        // 0 would be a file.
        (None, Crossing::Descriptor { .. }) => format!("({})-1", spelled(result)),
        (None, _) => zero(result),
    }
}

/// Nothing, of a result's type.
pub fn zero(result: &Value) -> String {
    match &result.kind {
        Type::Float(_) => format!("({})0", spelled(result)),
        kind if is_bytes(kind) => format!("({}){{0}}", spelled(result)),
        _ => format!("({})0", spelled(result)),
    }
}

//! The host's part: the library's functions as the program calls them.

use super::guest::{free_registers, pack};
use super::message::{is_bytes, member};
use super::{
    Plan, Wrapped, copies, declare, objects, parameter_list, pointer_type, reach, repack, returns,
    spelled, variables,
};
use crate::model::{Parameter, Signature, Type, Value};
use crate::notes::{Count, Letter};
use crate::rules::{Block, Crossing, Element, FormatRule, Rule};
use std::collections::BTreeMap;
use std::fmt::Write;

pub fn source(plan: &Plan, fingerprint: u64) -> String {
    let mut text = plan.opening("the part that runs on the host");
    // The runtime's header before any function: it gives a register a name.
    text += "#include \"iotdec_wrapper.h\"\n#include \"iotdec.h\"\n#include \"headers.h\"\n\
             #include \"messages.h\"\n#include \"iotdec_bridge.h\"\n\n";
    let signatures = plan.rules.signatures.len();
    let _ = write!(
        text,
        "static void (*const iotdec_serve[{0}])(void *, void *);\n\
         static void *const iotdec_entries[{0}];\n\
         extern const struct iotdec_variable iotdec_variables[] __attribute__((visibility(\"hidden\")));\n\
         static struct iotdec_wrapper iotdec_wrapper = {{\n    \
         IOTDEC_WRAPPER_VERSION, F_COUNT, {signatures}, 0, {fingerprint:#x},\n    \
         {1:?}, {2:?}, {3:?}, NULL,\n    iotdec_serve, iotdec_entries, NULL,\n    {4}\n}};\n",
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
        name,
        signature,
        rule,
    } in plan.wrapped()
    {
        let call = Call {
            name,
            signature,
            rule,
            plan,
        };
        let noreturn = plan.guest.functions[name].is_noreturn;
        let begin = format!("struct m_{name} *iotdec_m");
        let result = spelled(&signature.result);
        let head = format!("{result} ({name})({})", parameter_list(signature));
        text += &call.function(
            &head,
            &begin,
            &format!("iotdec_call_run(&iotdec_c, F_{name})"),
            noreturn,
        );
    }
    for (name, signature, why) in plan.refused() {
        text += &refused(plan, name, signature, why);
    }
    for (number, pointed) in plan.rules.signatures.iter().enumerate() {
        serve(plan, number, &pointed.signature, &pointed.inward, &mut text);
        entry(
            plan,
            number,
            &pointed.signature,
            &pointed.outward,
            &mut text,
        );
    }
    text += "\nstatic void (*const iotdec_serve[])(void *, void *) = {\n";
    for number in 0..signatures {
        let _ = writeln!(text, "    serve_{number},");
    }
    text += "    0\n};\nstatic void *const iotdec_entries[] = {\n";
    for number in 0..signatures {
        let _ = writeln!(text, "    (void *)entry_{number},");
    }
    text + "    0\n};\n"
}

/// A function that is not wrapped. It is there, so that programs can be linked that would
/// call it some time; if they do, they are told.
fn refused(plan: &Plan, name: &str, signature: &Signature, why: &str) -> String {
    let mut text = format!(
        "\n{} ({name})({})\n{{\n    iotdec_refuse(&iotdec_wrapper, {name:?}, {why:?});\n",
        spelled(&signature.result),
        parameter_list(signature)
    );
    if plan.guest.functions[name].is_noreturn {
        text += "    abort();\n";
    } else if returns(signature) {
        let zero = zero(&signature.result);
        let _ = writeln!(text, "    return {zero};");
    }
    text + "}\n"
}

/// A function of the guest that is called.
struct Call<'a> {
    name: &'a str,
    signature: &'a Signature,
    rule: &'a Rule,
    plan: &'a Plan<'a>,
}

impl Call<'_> {
    fn parameters(&self) -> impl Iterator<Item = (&Parameter, &Crossing)> {
        self.signature.parameters.iter().zip(&self.rule.parameters)
    }

    fn function(&self, head: &str, begin: &str, run: &str, noreturn: bool) -> String {
        let result = &self.signature.result;
        let on_crash = on_crash(result, self.rule);
        let fail = match () {
            () if noreturn => "abort()".into(),
            () if returns(self.signature) => format!("return {on_crash}"),
            () => "return".to_owned(),
        };
        let mut text = format!(
            "\n{head}\n{{\n    struct iotdec_call iotdec_c;\n    {begin} = \
             iotdec_call_begin(&iotdec_c, &iotdec_wrapper, sizeof *iotdec_m);\n    \
             if (!iotdec_m)\n        {fail};\n"
        );
        // Amounts first: they may be of what later parameters are to point at.
        for (parameter, crossing) in self.parameters() {
            text += &self.before(parameter, crossing);
        }
        if let Some(format) = &self.rule.format {
            text += &self.variable(format);
        }
        let _ = writeln!(text, "    int iotdec_ok = {run};");
        if returns(self.signature) {
            let plain = unqualified(result);
            let _ = writeln!(text, "    {plain} iotdec_r = {on_crash};");
        }
        text += "    if (iotdec_ok) {\n";
        text += &self.result();
        // Amounts of what was written may be of what was written.
        let has_back =
            |crossing: &Crossing| matches!(crossing, Crossing::Data(block) if block.back.is_some());
        for late in [false, true] {
            for (parameter, crossing) in self.parameters() {
                if has_back(crossing) == late {
                    text += &self.after(parameter, crossing);
                }
            }
        }
        text += &self.homes();
        text += "    }\n";
        for (parameter, crossing) in self.parameters() {
            if let Crossing::Data(Block {
                element: Element::Record(tag),
                writes,
                ..
            }) = crossing
            {
                let name = &parameter.name;
                let counts = i32::from(self.plan.rules.records[tag].counts_in(self.name));
                let writes = if *writes { "iotdec_ok" } else { "0" };
                let _ = writeln!(
                    text,
                    "    back_{tag}(&iotdec_c, (void *){name}, &iotdec_k_{name}, {counts}, {writes});"
                );
            }
        }
        if returns(self.signature) {
            let _ = write!(
                text,
                "    if (iotdec_call_failed(&iotdec_c))\n        iotdec_r = {on_crash};\n"
            );
        }
        text += "    iotdec_call_end(&iotdec_c);\n";
        text += match () {
            () if noreturn => "    abort();\n",
            () if returns(self.signature) => "    return iotdec_r;\n",
            () => "",
        };
        text + "}\n"
    }

    fn before(&self, parameter: &Parameter, crossing: &Crossing) -> String {
        let name = &parameter.name;
        let field = format!("iotdec_m->{}", member(name));
        match crossing {
            Crossing::Nothing => String::new(),
            Crossing::Number | Crossing::Record | Crossing::Value => pack(name, &parameter.value),
            Crossing::Descriptor { .. } => {
                format!("    {field} = (uint32_t)iotdec_give_descriptor(&iotdec_c, {name});\n")
            }
            Crossing::Handle => {
                format!("    {field} = iotdec_handle(&iotdec_c, (const void *){name});\n")
            }
            Crossing::Shared => {
                let kind = &parameter.value.kind;
                let meet = reach::meet(self.plan, kind, name).unwrap_or_default();
                format!(
                    "    {field} = iotdec_shared(&iotdec_c, (const void *){name}, \"{name}\");\n    {meet}"
                )
            }
            Crossing::Function(number) => format!(
                "    {field} = iotdec_give_function(&iotdec_c, (void (*)(void)){name}, {number});\n"
            ),
            Crossing::Object(tag) => format!("    {field} = {};\n", objects::give(tag, name)),
            Crossing::Resized(kind) => repack::give_integer(name, kind),
            Crossing::Repacked(tag) => {
                format!("    pack_{tag}(&iotdec_c, {field}, &{name});\n")
            }
            Crossing::RecordWith(functions) => {
                let plain = unqualified(&parameter.value);
                let mut text = format!("    {plain} iotdec_q_{name} = {name};\n");
                for (function, number) in functions {
                    let _ = writeln!(
                        text,
                        "    iotdec_q_{name}.{function} = (__typeof__({name}.{function}))(uintptr_t)\
                         iotdec_give_function(&iotdec_c, (void (*)(void)){name}.{function}, {number});"
                    );
                }
                text + &format!("    memcpy({field}, &iotdec_q_{name}, sizeof iotdec_q_{name});\n")
            }
            Crossing::Stream(number) => {
                format!("    {field} = IOTDEC_BITS(iotdec_stream(&iotdec_c, {name}, {number}));\n")
            }
            Crossing::Text => format!(
                "    size_t iotdec_n_{name} = {name} ? strlen((const char *){name}) + 1 : 0;\n    \
                 void *iotdec_q_{name} = iotdec_in(&iotdec_c, {name}, iotdec_n_{name});\n    \
                 {field} = IOTDEC_BITS(iotdec_q_{name});\n"
            ),
            Crossing::Texts(count) => {
                let count = count.as_ref().map_or("-1", |count| &count.expression);
                format!("    {field} = IOTDEC_BITS(iotdec_texts(&iotdec_c, {name}, {count}));\n")
            }
            Crossing::Data(block) => self.data_before(parameter, block),
        }
    }

    fn data_before(&self, parameter: &Parameter, block: &Block) -> String {
        let name = &parameter.name;
        let field = format!("iotdec_m->{}", member(name));
        if let Element::Repacked(tag) = &block.element {
            return repack::before(parameter, block, tag);
        }
        let size = format!(
            "    size_t iotdec_n_{name} = {name} ? {} : 0;\n",
            bytes(parameter, &block.count)
        );
        match &block.element {
            Element::Bytes => {
                let way = match (block.keeps, block.reads) {
                    (true, _) => "keep",
                    (_, true) => "in",
                    (_, false) => "out",
                };
                format!(
                    "{size}    void *iotdec_q_{name} = iotdec_{way}(&iotdec_c, (void *){name}, \
                     iotdec_n_{name});\n    {field} = IOTDEC_BITS(iotdec_q_{name});\n"
                )
            }
            Element::Record(tag) => {
                let counts =
                    i32::from(self.plan.rules.records[tag].counts_in(self.name) && block.reads);
                format!(
                    "    struct k_{tag} iotdec_k_{name};\n    {field} = \
                     IOTDEC_BITS(give_{tag}(&iotdec_c, (void *){name}, &iotdec_k_{name}, {counts}, {writes}));\n",
                    writes = i32::from(block.writes)
                )
            }
            Element::Functions(number) => format!(
                "{size}    size_t iotdec_l_{name} = iotdec_n_{name} / sizeof(uint64_t);\n    \
                 uint64_t *iotdec_q_{name} = {name} ? iotdec_take(&iotdec_c, iotdec_n_{name}) : NULL;\n    \
                 for (size_t iotdec_i = 0; iotdec_i < iotdec_l_{name}; iotdec_i++)\n        \
                 iotdec_q_{name}[iotdec_i] = {};\n    {field} = IOTDEC_BITS(iotdec_q_{name});\n",
                match block.reads {
                    true => format!(
                        "iotdec_give_function(&iotdec_c, (void (*)(void)){name}[iotdec_i], {number})"
                    ),
                    false => "0".into(),
                }
            ),
            Element::Objects(tag) => objects::before(parameter, block, tag, &size),
            Element::Repacked(_) => String::new(),
        }
    }

    fn after(&self, parameter: &Parameter, crossing: &Crossing) -> String {
        if *crossing == Crossing::Shared {
            let kind = &parameter.value.kind;
            let meet = reach::meet(self.plan, kind, &parameter.name);
            return meet.map_or_else(String::new, |meet| format!("        {meet}"));
        }
        let Crossing::Data(block) = crossing else {
            return String::new();
        };
        if !block.writes || block.keeps {
            return String::new();
        }
        let name = &parameter.name;
        let result = match returns(self.signature) {
            true => "            __typeof__(iotdec_r) result IOTDEC_UNUSED = iotdec_r;\n",
            false => "",
        };
        match &block.element {
            Element::Record(_) => String::new(),
            Element::Repacked(tag) => repack::after(parameter, block, tag, result),
            Element::Objects(tag) => objects::after(parameter, tag),
            Element::Functions(number) => format!(
                "        for (size_t iotdec_i = 0; iotdec_i < iotdec_l_{name}; iotdec_i++)\n            \
                 {name}[iotdec_i] = (__typeof__({name}[iotdec_i]))iotdec_take_function(&iotdec_c, \
                 iotdec_q_{name}[iotdec_i], {number});\n"
            ),
            Element::Bytes => match &block.back {
                None => format!(
                    "        iotdec_back(&iotdec_c, (void *){name}, iotdec_q_{name}, iotdec_n_{name});\n"
                ),
                Some(count) => {
                    format!(
                        "        if ({name}) {{\n{result}            long long iotdec_w = (long long)({});\n            \
                         size_t iotdec_b = iotdec_w < 0 ? 0 : (size_t)iotdec_w * {};\n            \
                         iotdec_back(&iotdec_c, (void *){name}, iotdec_q_{name}, \
                         iotdec_b < iotdec_n_{name} ? iotdec_b : iotdec_n_{name});\n        }}\n",
                        count.expression,
                        element_size(parameter, count)
                    )
                }
            },
        }
    }

    /// The parameters of which there are copies.
    fn copied(&self) -> impl Iterator<Item = &str> {
        let copied = self.parameters().filter(|(_, crossing)| {
            matches!(crossing, Crossing::Text)
                || matches!(crossing, Crossing::Data(block) if block.element == Element::Bytes && !block.keeps)
        });
        copied.map(|(parameter, _)| parameter.name.as_str())
    }

    /// Pointers that the library wrote may be into copies.
    fn homes(&self) -> String {
        let mut text = String::new();
        for (parameter, crossing) in self.parameters() {
            let Crossing::Data(Block {
                writes: true,
                keeps: false,
                element: Element::Bytes,
                ..
            }) = crossing
            else {
                continue;
            };
            let to = parameter.value.kind.pointee();
            if !to.is_some_and(|to| matches!(to.kind, Type::Pointer(_))) {
                continue;
            }
            let name = &parameter.name;
            for other in self.copied().filter(|other| other != name) {
                let _ = writeln!(
                    text,
                    "        iotdec_homes((void *){name}, iotdec_n_{name}, iotdec_q_{other}, {other}, \
                     iotdec_n_{other});"
                );
            }
        }
        text
    }

    fn result(&self) -> String {
        let result = &self.signature.result;
        let plain = unqualified(result);
        let field = "iotdec_m->iotdec_result";
        match &self.rule.result {
            Crossing::Nothing => String::new(),
            Crossing::Resized(kind) => repack::take_integer(field, kind, &plain),
            Crossing::Repacked(tag) => {
                format!("        unpack_{tag}(&iotdec_c, &iotdec_r, {field});\n")
            }
            Crossing::Record => format!("        memcpy(&iotdec_r, {field}, sizeof iotdec_r);\n"),
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
                let mut text = format!("        uint64_t iotdec_u = {field};\n");
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
                        let to = result.kind.pointee();
                        let size = to.map(|to| &to.kind).is_none_or(|to| *to == Type::Void);
                        let size = if size { "1" } else { "sizeof *iotdec_r" };
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

    /// The arguments that are not declared.
    fn variable(&self, format: &FormatRule) -> String {
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
            Some(_) => [super::message::REGISTERS - 1, super::message::REGISTERS],
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

/// A result type that a variable can have.
fn unqualified(value: &Value) -> String {
    let spelled = spelled(value);
    match value.kind {
        Type::Pointer(_) => spelled,
        _ => spelled.trim_start_matches("const ").to_owned(),
    }
}

fn on_crash(result: &Value, rule: &Rule) -> String {
    match &rule.on_crash {
        Some(value) => format!("({})({value})", spelled(result)),
        None => zero(result),
    }
}

fn zero(result: &Value) -> String {
    match &result.kind {
        Type::Float(_) => format!("({})0", spelled(result)),
        kind if is_bytes(kind) => format!("({}){{0}}", spelled(result)),
        _ => format!("({})0", spelled(result)),
    }
}

fn element_size(parameter: &Parameter, count: &Count) -> String {
    let to = parameter.value.kind.pointee();
    if count.in_bytes || to.is_none_or(|to| to.kind == Type::Void) {
        "1".into()
    } else {
        format!("sizeof *{}", parameter.name)
    }
}

fn bytes(parameter: &Parameter, count: &Count) -> String {
    format!(
        "iotdec_bytes_at(&iotdec_c, (const void *){}, (long long)({}), {})",
        parameter.name,
        count.expression,
        element_size(parameter, count)
    )
}

/// Calls a function of the program for the library.
fn serve(plan: &Plan, number: usize, signature: &Signature, rule: &Rule, text: &mut String) {
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
        arguments.join(", ")
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

/// What the program calls when it calls a function of the library by its address.
fn entry(
    plan: &Plan,
    number: usize,
    signature: &Signature,
    rule: &Result<Rule, String>,
    text: &mut String,
) {
    let result = spelled(&signature.result);
    let rule = match rule {
        Ok(rule) => rule,
        Err(why) => {
            let _ = write!(
                text,
                "\n/* {why} */\nstatic {result} entry_{number}({})\n{{\n    \
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
        name: plan.rules.signatures[number]
            .name
            .as_deref()
            .unwrap_or_default(),
        signature,
        rule,
        plan,
    };
    let head = format!(
        "static {result} entry_{number}({})",
        parameter_list(signature)
    );
    // The register is read before anything else can use it.
    let begin = format!("void *iotdec_to = iotdec_target;\n    struct s_{number} *iotdec_m");
    *text += &call.function(
        &head,
        &begin,
        &format!("iotdec_call_pointer(&iotdec_c, {number}, iotdec_to)"),
        false,
    );
}

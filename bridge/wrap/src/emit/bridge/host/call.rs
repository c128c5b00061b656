//! A function of the library's in the host's part: what is given goes into a message, what
//! comes back out of it.

use super::descriptors;
use super::result::{on_crash, unqualified};
use crate::emit::bridge::guest::pack;
use crate::emit::bridge::message::member;
use crate::emit::bridge::{Plan, beside, checks, objects, reach, repack, returns};
use crate::model::{Parameter, Signature, Type};
use crate::notes::Count;
use crate::rules::{Block, Crossing, Element, Rule, Variable};
use std::fmt::Write;

/// A function of the guest that is called.
pub struct Call<'a> {
    pub name: &'a str,
    pub signature: &'a Signature,
    pub rule: &'a Rule,
    pub plan: &'a Plan<'a>,
    /// [`beside::sizes`] of the parameters; none where their data have memory of their own.
    pub beside: Vec<Option<usize>>,
}

impl Call<'_> {
    /// The parameters, and how each crosses.
    pub fn parameters(&self) -> impl Iterator<Item = (&Parameter, &Crossing)> {
        self.signature.parameters.iter().zip(&self.rule.parameters)
    }

    /// The function: its head, how it begins, what runs the call.
    pub fn function(&self, head: &str, begin: &str, run: &str, noreturn: bool) -> String {
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
             if (!iotdec_m) {{\n{}        {fail};\n    }}\n{}",
            self.without_descriptors(),
            self.room_for_descriptors(),
        );
        // Amounts first: they may be of what later parameters are to point at.
        for (parameter, crossing) in self.parameters() {
            text += &self.before(parameter, crossing);
        }
        if let Some(Variable::Format(format)) = self.rule.variable.as_deref() {
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
        let has_back = |crossing: &Crossing| match crossing {
            Crossing::Data(block) => block.back.is_some(),
            Crossing::Descriptors { back, .. } => back.is_some(),
            _ => false,
        };
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
                    "    iotdec_back_{tag}(&iotdec_c, (void *){name}, &iotdec_k_{name}, {counts}, {writes});"
                );
            }
        }
        // Last, as all or none cross.
        text += &self.descriptors();
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
            Crossing::Descriptors { count, back, .. } => {
                descriptors::before(parameter, count, back.is_some())
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
                format!("    iotdec_pack_{tag}(&iotdec_c, {field}, &{name});\n")
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

    /// How many bytes of its data lie in the message, if they do.
    fn beside(&self, parameter: &Parameter) -> Option<usize> {
        let mut all = self.signature.parameters.iter().zip(&self.beside);
        all.find_map(|(other, size)| size.filter(|_| other.name == parameter.name))
    }

    fn data_before(&self, parameter: &Parameter, block: &Block) -> String {
        if let Some(size) = self.beside(parameter) {
            return beside::before(parameter, block, size);
        }
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
                    "    struct iotdec_k_{tag} iotdec_k_{name};\n    {field} = \
                     IOTDEC_BITS(iotdec_gives_{tag}(&iotdec_c, (void *){name}, &iotdec_k_{name}, {counts}, {writes}));\n",
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
        if let Crossing::Descriptors {
            back: Some(count), ..
        } = crossing
        {
            let written = written(parameter, count, self.result_by_name());
            return descriptors::after(parameter, &written);
        }
        let Crossing::Data(block) = crossing else {
            return String::new();
        };
        if !block.writes || block.keeps {
            return String::new();
        }
        if let Some(size) = self.beside(parameter) {
            return beside::after(parameter, size);
        }
        let name = &parameter.name;
        let result = self.result_by_name();
        match &block.element {
            Element::Record(_) => String::new(),
            Element::Repacked(tag) => repack::after(parameter, block, tag, result),
            Element::Objects(tag) => objects::after(parameter, tag),
            Element::Functions(number) => format!(
                "        for (size_t iotdec_i = 0; iotdec_i < iotdec_l_{name}; iotdec_i++)\n            \
                 {name}[iotdec_i] = (__typeof__({name}[iotdec_i]))iotdec_take_function(&iotdec_c, \
                 iotdec_q_{name}[iotdec_i], {number});\n"
            ),
            Element::Bytes if block.follows => self.pointers_after(parameter, block, result),
            Element::Bytes => match &block.back {
                None => format!(
                    "        iotdec_back(&iotdec_c, (void *){name}, iotdec_q_{name}, iotdec_n_{name});\n"
                ),
                Some(count) => {
                    let written = written(parameter, count, result);
                    format!(
                        "        if ({name}) {{\n{written}            \
                         iotdec_back(&iotdec_c, (void *){name}, iotdec_q_{name}, iotdec_b);\n        }}\n"
                    )
                }
            },
        }
    }

    /// Declares what amounts may be of.
    fn result_by_name(&self) -> &'static str {
        match returns(self.signature) {
            true => "            __typeof__(iotdec_r) result IOTDEC_UNUSED = iotdec_r;\n",
            false => "",
        }
    }

    /// Pointers that the library wrote: they may be into copies.
    fn pointers_after(&self, parameter: &Parameter, block: &Block, result: &str) -> String {
        let name = &parameter.name;
        let size = match &block.back {
            Some(count) => written(parameter, count, result),
            None => format!("            size_t iotdec_b = iotdec_n_{name};\n"),
        };
        let others = self.copied().filter(|other| other != name);
        let homes = others.map(|other| {
            format!(
                " &&\n                    !iotdec_home(&iotdec_u, iotdec_q_{other}, {other}, iotdec_n_{other})"
            )
        });
        let homes: String = homes.collect();
        let to = parameter.value.kind.pointee();
        let least = to.map_or("1".into(), |to| {
            checks::least(&to.kind, &format!("*{name}"))
        });
        let text = format!(
            "{} put a pointer to memory that is not shared into {name}",
            self.name
        );
        format!(
            "        if ({name} && iotdec_q_{name} != (const void *){name}) {{\n{size}            \
             for (size_t iotdec_i = 0; iotdec_i < iotdec_b / sizeof(uint64_t); iotdec_i++) {{\n                \
             uint64_t iotdec_u = IOTDEC_ONCE(((uint64_t *)iotdec_q_{name})[iotdec_i]);\n                \
             if (iotdec_u != IOTDEC_BITS({name}[iotdec_i]){homes})\n                    \
             iotdec_u = IOTDEC_BITS(iotdec_check_or(&iotdec_c, iotdec_u, {least}, {text:?}));\n                \
             {name}[iotdec_i] = (__typeof__({name}[iotdec_i]))(uintptr_t)iotdec_u;\n            \
             }}\n        }}\n"
        )
    }

    /// The parameters of which there are copies.
    pub fn copied(&self) -> impl Iterator<Item = &str> {
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
                follows,
                ..
            }) = crossing
            else {
                continue;
            };
            let to = parameter.value.kind.pointee();
            if *follows || !to.is_some_and(|to| matches!(to.kind, Type::Pointer(_))) {
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
}

pub fn element_size(parameter: &Parameter, count: &Count) -> String {
    let to = parameter.value.kind.pointee();
    if count.in_bytes || to.is_none_or(|to| to.kind == Type::Void) {
        "1".into()
    } else {
        format!("sizeof *{}", parameter.name)
    }
}

/// Says in `iotdec_b` how many bytes were written, at most as many as there is room for. They
/// may be of what `result` is, which it declares.
fn written(parameter: &Parameter, count: &Count, result: &str) -> String {
    let name = &parameter.name;
    format!(
        "            size_t iotdec_b;\n            {{\n{result}            \
         long long iotdec_w = (long long)({});\n            \
         iotdec_b = iotdec_w < 0 ? 0 : (size_t)iotdec_w * {};\n            }}\n            \
         iotdec_b = iotdec_b < iotdec_n_{name} ? iotdec_b : iotdec_n_{name};\n",
        count.expression,
        element_size(parameter, count)
    )
}

pub fn bytes(parameter: &Parameter, count: &Count) -> String {
    format!(
        "iotdec_bytes_at(&iotdec_c, (const void *){}, (long long)({}), {})",
        parameter.name,
        count.expression,
        element_size(parameter, count)
    )
}

//! File descriptors that a function of the library's returns, or puts behind pointers. The
//! library puts them into memory of the call; the program's see what has crossed.

use super::call::{Call, bytes, element_size};
use super::result::unqualified;
use crate::emit::bridge::message::member;
use crate::model::Parameter;
use crate::notes::Count;
use crate::rules::Crossing;
use std::fmt::Write;

impl Call<'_> {
    fn returned(&self) -> Option<bool> {
        match self.rule.result {
            Crossing::Descriptor { is_lent } => Some(is_lent),
            _ => None,
        }
    }

    /// The pointers, how many each is to, and whether those are lent.
    fn put(&self) -> impl Iterator<Item = (&Parameter, &Count, bool)> {
        self.parameters()
            .filter_map(|(parameter, crossing)| match crossing {
                Crossing::Descriptors { is_lent, count, .. } => Some((parameter, count, *is_lent)),
                _ => None,
            })
    }

    /// What a program finds that does not look at why a call has failed.
    pub fn without_descriptors(&self) -> String {
        let mut text = String::new();
        for (parameter, count, _) in self.put() {
            let (name, expression) = (&parameter.name, &count.expression);
            let size = element_size(parameter, count);
            let _ = writeln!(
                text,
                "        iotdec_no_descriptors({name}, (long long)({expression}) * (long long){size});"
            );
        }
        text
    }

    /// Declares where they are collected.
    pub fn room_for_descriptors(&self) -> String {
        let result = usize::from(self.returned().is_some());
        match result > 0 || self.put().next().is_some() {
            true => format!("    struct iotdec_descriptors iotdec_d = {{.room = {result}}};\n"),
            false => String::new(),
        }
    }

    /// Has them cross.
    pub fn descriptors(&self) -> String {
        if self.room_for_descriptors().is_empty() {
            return String::new();
        }
        let mut text = String::new();
        let mut taken = String::new();
        if let Some(is_lent) = self.returned() {
            let _ = writeln!(
                text,
                "    iotdec_add_descriptors(&iotdec_d, &iotdec_m->iotdec_result, sizeof(int32_t), {});",
                i32::from(is_lent)
            );
            let plain = unqualified(&self.signature.result);
            let _ = writeln!(
                taken,
                "    if (iotdec_ok)\n        iotdec_r = ({plain})iotdec_next_descriptor(&iotdec_d);"
            );
        }
        for (Parameter { name, .. }, _, is_lent) in self.put() {
            let _ = writeln!(
                text,
                "    iotdec_add_descriptors(&iotdec_d, iotdec_q_{name}, iotdec_w_{name}, {});",
                i32::from(is_lent)
            );
            let _ = write!(
                taken,
                "    if (iotdec_ok)\n        iotdec_put_descriptors(&iotdec_d, {name}, iotdec_w_{name});\n    \
                 else\n        iotdec_no_descriptors({name}, (long long)iotdec_n_{name});\n"
            );
        }
        text + "    iotdec_take_descriptors(&iotdec_c, iotdec_d.all, iotdec_d.count);\n    \
                iotdec_ok = !iotdec_call_failed(&iotdec_c);\n"
            + &taken
    }
}

/// Room for what the function puts behind a pointer.
pub fn before(parameter: &Parameter, count: &Count, has_back: bool) -> String {
    let name = &parameter.name;
    let written = match has_back {
        true => "0".to_owned(),
        false => format!("iotdec_n_{name}"),
    };
    format!(
        "    size_t iotdec_n_{name} = {name} ? {} : 0;\n    size_t iotdec_w_{name} = {written};\n    \
         int32_t *iotdec_q_{name} = iotdec_room_for_descriptors(&iotdec_c, &iotdec_d, iotdec_n_{name});\n    \
         iotdec_m->{} = {name} ? IOTDEC_BITS(iotdec_q_{name}) : 0;\n",
        bytes(parameter, count),
        member(name)
    )
}

/// How many of them it has set.
pub fn after(parameter: &Parameter, written: &str) -> String {
    let name = &parameter.name;
    format!(
        "        if ({name}) {{\n{written}            iotdec_w_{name} = iotdec_b;\n        }}\n"
    )
}

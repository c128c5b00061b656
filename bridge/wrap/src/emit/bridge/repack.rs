//! Conversion of structs that are laid out differently, in the host's part: messages, and
//! what pointers in them lead to, are as the guest has them.

use super::{Plan, member};
use crate::abi::Abi;
use crate::model::{Field, Parameter, Type};
use crate::rules::{Block, Crossing, Element, integer_type};
use std::fmt::Write;

/// What is converted, and where it is in the guest's struct.
struct Spot {
    /// In C, of the host's struct.
    name: String,
    /// Bits from the start of the guest's.
    offset: usize,
    /// What is to be added to that, in bytes, in C: where it is in arrays.
    further: String,
    /// Arrays around it.
    depth: usize,
}

impl Spot {
    /// Its address in the guest's struct.
    fn guest(&self) -> String {
        format!("g + {}{}", self.offset / 8, self.further)
    }

    fn field(&self, field: &Field) -> Self {
        let name = match field.name.as_str() {
            // What is in an anonymous one is named as if it were outside.
            "" => self.name.clone(),
            name => format!("{}.{name}", self.name),
        };
        Self {
            name,
            offset: self.offset + field.offset,
            further: self.further.clone(),
            depth: self.depth,
        }
    }
}

/// `iotdec_pack_TAG`, which makes the guest's struct of the host's, and `iotdec_unpack_TAG`, the reverse,
/// for each struct that is converted. Each byte of the guest's is read once.
pub fn source(plan: &Plan) -> String {
    let abi = Abi::new(plan.guest, plan.host);
    let mut text = String::new();
    for tag in &plan.rules.repacked {
        let record = &plan.guest.records[tag];
        let spelling = &record.spelling;
        let mut converter = Converter {
            abi: &abi,
            plan,
            pack: String::new(),
            unpack: String::new(),
        };
        let whole = Spot {
            name: "(*h)".into(),
            offset: 0,
            further: String::new(),
            depth: 0,
        };
        converter.record(tag, &whole);
        let _ = write!(
            text,
            "\n/* {spelling} */\n#define IOTDEC_SIZE_{tag} {size}\n{same}\
             static IOTDEC_UNUSED void iotdec_pack_{tag}(struct iotdec_call *c, unsigned char *g, const {spelling} *h)\n{{\n    \
             (void)c;\n    memset(g, 0, {size});\n{pack}}}\n\
             static IOTDEC_UNUSED void iotdec_unpack_{tag}(struct iotdec_call *c, {spelling} *h, const unsigned char *g)\n{{\n    \
             (void)c;\n{unpack}}}\n",
            size = guest_size(plan, tag),
            same = super::super::same_layout(&plan.host.records[tag], plan.host),
            pack = converter.pack,
            unpack = converter.unpack,
        );
    }
    text
}

/// Assertions that the guest's compiler lays out such structs as the host's part has them.
pub fn guest_assertions(plan: &Plan) -> String {
    let tags = plan.rules.repacked.iter();
    tags.map(|tag| super::super::same_layout(&plan.guest.records[tag], plan.guest))
        .collect()
}

/// Bytes of the guest's struct.
fn guest_size(plan: &Plan, tag: &str) -> usize {
    let layout = plan.guest.records[tag].layout.as_ref();
    layout.map_or(0, |layout| layout.size)
}

struct Converter<'a> {
    abi: &'a Abi<'a>,
    plan: &'a Plan<'a>,
    pack: String,
    unpack: String,
}

impl Converter<'_> {
    fn record(&mut self, tag: &str, spot: &Spot) {
        for (guest, host, _) in self.abi.field_pairs(tag, tag) {
            let spot = spot.field(guest);
            match guest.bits {
                Some(bits) => self.bits(&spot, bits),
                None => self.value(&guest.value.kind, &host.value.kind, &spot),
            }
        }
    }

    fn value(&mut self, guest: &Type, host: &Type, spot: &Spot) {
        let name = &spot.name;
        let at = spot.guest();
        if self.abi.is_same(guest, host) {
            let _ = writeln!(self.pack, "    memcpy({at}, &{name}, sizeof {name});");
            let _ = writeln!(
                self.unpack,
                "    memcpy((void *)&{name}, {at}, sizeof {name});"
            );
            return;
        }
        match (guest, host) {
            (
                Type::Array { element, count },
                Type::Array {
                    element: of_host, ..
                },
            ) => {
                let index = format!("i{}", spot.depth);
                let size = self.size(&element.kind);
                let count = count.unwrap_or(0);
                let open =
                    format!("    for (size_t {index} = 0; {index} < {count}; {index}++) {{\n");
                self.pack += &open;
                self.unpack += &open;
                let element_spot = Spot {
                    name: format!("{name}[{index}]"),
                    offset: spot.offset,
                    further: format!("{} + {size} * {index}", spot.further),
                    depth: spot.depth + 1,
                };
                self.value(&element.kind, &of_host.kind, &element_spot);
                self.pack += "    }\n";
                self.unpack += "    }\n";
            }
            (Type::Record(tag), _) => self.record(tag, spot),
            _ => self.integer(guest, spot),
        }
    }

    /// An integer that is wider on one side: a value that the other has no room for fails
    /// the call.
    fn integer(&mut self, guest: &Type, spot: &Spot) {
        let kind = integer_type(guest);
        let (name, at) = (&spot.name, spot.guest());
        let _ = write!(
            self.pack,
            "    {{\n        __typeof__({name}) v = {name};\n        {kind} w = ({kind})v;\n        \
             if ((__int128)w != (__int128)v)\n            \
             iotdec_call_fail(c, IOTDEC_TOO_LARGE(\"{what}\"));\n        \
             memcpy({at}, &w, sizeof w);\n    }}\n",
            what = name.trim_start_matches("(*h).")
        );
        let _ = write!(
            self.unpack,
            "    {{\n        {kind} w;\n        memcpy(&w, {at}, sizeof w);\n        \
             __typeof__({name}) v = (__typeof__({name}))w;\n        \
             if ((__int128)w != (__int128)v)\n            \
             iotdec_call_fail(c, IOTDEC_TOO_LARGE(\"{what}\"));\n        \
             memcpy((void *)&{name}, &v, sizeof v);\n    }}\n",
            what = name.trim_start_matches("(*h).")
        );
    }

    fn bits(&mut self, spot: &Spot, bits: usize) {
        let Spot {
            name,
            offset,
            further,
            ..
        } = spot;
        let _ = writeln!(
            self.pack,
            "    iotdec_put_bits(g{further}, {offset}, {bits}, (uint64_t){name});"
        );
        let _ = writeln!(
            self.unpack,
            "    {name} = iotdec_get_bits(g{further}, {offset}, {bits});"
        );
    }

    fn size(&self, kind: &Type) -> usize {
        match kind {
            Type::Record(tag) => guest_size(self.plan, tag),
            Type::Array { element, count } => count.unwrap_or(0) * self.size(&element.kind),
            kind => kind.integer_size().unwrap_or(8),
        }
    }
}

/// `COUNT` structs behind a pointer: the guest's are in `iotdec_q_NAME`, `iotdec_n_NAME` of
/// them. They are converted even where they are shared.
pub fn before(parameter: &Parameter, block: &Block, tag: &str) -> String {
    let name = &parameter.name;
    let count = match block.count.in_bytes {
        true => format!("({}) / (long long)sizeof *{name}", block.count.expression),
        false => block.count.expression.clone(),
    };
    let fill = match block.reads {
        true => format!(
            "iotdec_pack_{tag}(&iotdec_c, iotdec_q_{name} + iotdec_i * IOTDEC_SIZE_{tag}, &{name}[iotdec_i])"
        ),
        false => {
            format!("memset(iotdec_q_{name} + iotdec_i * IOTDEC_SIZE_{tag}, 0, IOTDEC_SIZE_{tag})")
        }
    };
    format!(
        "    size_t iotdec_n_{name} = {name} ? iotdec_bytes(&iotdec_c, (long long)({count}), 1) : 0;\n    \
         unsigned char *iotdec_q_{name} = {name} ? iotdec_take(&iotdec_c, iotdec_bytes(&iotdec_c, \
         (long long)iotdec_n_{name}, IOTDEC_SIZE_{tag})) : NULL;\n    \
         if (iotdec_call_failed(&iotdec_c))\n        iotdec_n_{name} = 0;\n    \
         for (size_t iotdec_i = 0; iotdec_i < iotdec_n_{name}; iotdec_i++)\n        {fill};\n    \
         iotdec_m->{} = IOTDEC_BITS(iotdec_q_{name});\n",
        member(name),
    )
}

/// What the library wrote there. `result` declares the function's result by that name.
pub fn after(parameter: &Parameter, block: &Block, tag: &str, result: &str) -> String {
    let name = &parameter.name;
    // Only where somebody may ask for it: it hides a parameter of that name.
    let result = block.back.as_ref().map_or("", |_| result);
    let count = match &block.back {
        None => format!("iotdec_n_{name}"),
        Some(count) => {
            let element = match count.in_bytes {
                true => format!(" / (long long)sizeof *{name}"),
                false => String::new(),
            };
            format!("(long long)({}){element}", count.expression)
        }
    };
    format!(
        "        if ({name}) {{\n{result}            long long iotdec_w = {count};\n            \
         for (size_t iotdec_i = 0; iotdec_i < iotdec_n_{name} && (long long)iotdec_i < iotdec_w; iotdec_i++)\n                \
         iotdec_unpack_{tag}(&iotdec_c, &{name}[iotdec_i], iotdec_q_{name} + iotdec_i * IOTDEC_SIZE_{tag});\n        }}\n"
    )
}

/// For a function of the program's that the library calls: the argument, and what is to be
/// done before and after.
pub fn serve(
    parameter: &Parameter,
    crossing: &Crossing,
    before: &mut String,
    after: &mut String,
) -> String {
    let name = &parameter.name;
    let field = format!("iotdec_m->{}", member(name));
    let (tag, writes) = match crossing {
        Crossing::Data(Block {
            element: Element::Repacked(tag),
            writes,
            ..
        }) => (tag, *writes),
        Crossing::Repacked(tag) => {
            let _ = write!(
                before,
                "    {} = {{0}};\n    iotdec_unpack_{tag}(&iotdec_c, &iotdec_h_{name}, {field});\n",
                super::declare(&parameter.value, &format!("iotdec_h_{name}"))
            );
            return format!("iotdec_h_{name}");
        }
        _ => return String::new(),
    };
    let to = format!("__typeof__(*({})0)", super::spelled(&parameter.value));
    let _ = write!(
        before,
        "    struct {{ {to} h; }} iotdec_h_{name};\n    memset(&iotdec_h_{name}, 0, sizeof iotdec_h_{name});\n    \
         unsigned char *iotdec_q_{name} = iotdec_check(&iotdec_c, {field}, IOTDEC_SIZE_{tag});\n    \
         if (iotdec_q_{name})\n        \
         iotdec_unpack_{tag}(&iotdec_c, (void *)&iotdec_h_{name}.h, iotdec_q_{name});\n"
    );
    if writes {
        let _ = write!(
            after,
            "    if (iotdec_q_{name})\n        iotdec_pack_{tag}(&iotdec_c, iotdec_q_{name}, &iotdec_h_{name}.h);\n"
        );
    }
    format!("iotdec_q_{name} ? (void *)&iotdec_h_{name}.h : NULL")
}

/// An integer of another size into a message.
pub fn give_integer(name: &str, kind: &str) -> String {
    format!(
        "    if ((__int128)({kind}){name} != (__int128){name})\n        \
         iotdec_call_fail(&iotdec_c, IOTDEC_TOO_LARGE(\"{name}\"));\n    \
         iotdec_m->{} = ({kind}){name};\n",
        member(name)
    )
}

/// The same as a result.
pub fn take_integer(field: &str, kind: &str, plain: &str) -> String {
    format!(
        "        {kind} iotdec_i = ({kind}){field};\n        iotdec_r = ({plain})iotdec_i;\n        \
         if ((__int128)iotdec_r != (__int128)iotdec_i)\n            \
         iotdec_call_fail(&iotdec_c, IOTDEC_TOO_LARGE(\"the result\"));\n"
    )
}

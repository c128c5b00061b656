//! What becomes of a parameter in C, place by place.

use super::functions::{Batch, Function, Hooks, Parameter, Way};
use super::source::see_pointer;
use super::types::Kind;
use std::fmt::Write;

/// What a parameter is in the several places that it is in.
#[derive(Default)]
pub struct Pieces {
    pub declared: Vec<String>,
    /// A line of `wrap.toml`.
    pub note: Option<String>,
    /// Statements of the library: before it makes anything up, and after.
    pub seen: String,
    pub done: String,
    /// Of the program: before the call, what is passed, and after the call.
    pub before: String,
    pub arguments: Vec<String>,
    pub after: String,
}

impl Batch {
    /// Of all parameters of a function.
    pub fn pieces(&self, function: &Function) -> Vec<Pieces> {
        let list = function.parameters.iter().enumerate();
        list.map(|(index, parameter)| self.piece(&format!("a{index}"), parameter))
            .collect()
    }

    fn piece(&self, name: &str, parameter: &Parameter) -> Pieces {
        let types = &self.types;
        match parameter {
            Parameter::Value(kind) => Pieces {
                declared: vec![format!("{} {name}", types.name(*kind))],
                seen: types.see(*kind, name),
                before: format!("{} {name}; {}", types.name(*kind), types.put(*kind, name)),
                arguments: vec![name.into()],
                ..Pieces::default()
            },
            Parameter::One { kind, way, null } => self.one(name, *kind, *way, *null),
            Parameter::Array { kind, count, way } => {
                let mut pieces = self.several(name, *kind, *count, *way);
                let constant = constant(*way);
                pieces.declared = vec![format!("{constant}{} {name}[{count}]", types.name(*kind))];
                if matches!(kind, Kind::Record(_)) || *way == Way::Out {
                    pieces.note = Some(format!("{name} = \"{}[{count}]\"", word(*way)));
                }
                pieces.arguments = vec![format!("q_{name}")];
                pieces
            }
            Parameter::Counted { kind, count, way } => {
                let mut pieces = self.several(name, *kind, *count, *way);
                let constant = constant(*way);
                pieces.declared = vec![
                    format!("{constant}{} *{name}", types.name(*kind)),
                    format!("size_t {name}_count"),
                ];
                if matches!(kind, Kind::Record(_)) || *way == Way::Out {
                    pieces.note = Some(format!("{name} = \"{}[{name}_count]\"", word(*way)));
                }
                pieces.arguments = vec![format!("q_{name}"), count.to_string()];
                let _ = write!(pieces.seen, "see_number(m, {name}_count); ");
                pieces
            }
            Parameter::Written { size } => Pieces {
                declared: vec![format!("void *{name}"), format!("size_t *{name}_len")],
                note: Some(format!(
                    "{name} = \"out[*{name}_len], back[*{name}_len]\"\n{name}_len = \"inout\""
                )),
                seen: format!("see_number(m, *{name}_len); "),
                done: format!(
                    "*{name}_len = next(s) % (*{name}_len + 1); put(s, {name}, *{name}_len); "
                ),
                before: format!(
                    "unsigned char {name}[{size}]; put(s, {name}, {size}); size_t {name}_len = {size}; "
                ),
                arguments: vec![name.into(), format!("&{name}_len")],
                after: format!("see_number(m, {name}_len); see(m, {name}, {size}); "),
            },
            Parameter::Text { null } => Pieces {
                declared: vec![format!("const char *{name}")],
                seen: format!("see_text(m, {name}); "),
                before: format!("const char *{name} = put_text(s); ")
                    + &match null {
                        true => format!("if (next(s) % 2) {name} = NULL; "),
                        false => String::new(),
                    },
                arguments: vec![name.into()],
                ..Pieces::default()
            },
            Parameter::Object => Pieces {
                declared: vec![format!("struct object *{name}")],
                seen: format!("see_number(m, object_value({name})); "),
                before: format!("struct object *{name} = object_new(next(s)); "),
                arguments: vec![name.into()],
                ..Pieces::default()
            },
            Parameter::Callback(signature) => Pieces {
                declared: vec![format!("s{signature} {name}"), format!("void *{name}_user")],
                seen: format!(
                    "for (int i = 0; i < 2; i++) call_s{signature}(m, {name}, {name}_user); "
                ),
                before: format!("uint64_t {name}_data = next(s); "),
                arguments: vec![format!("take_s{signature}"), format!("&{name}_data")],
                ..Pieces::default()
            },
            Parameter::Hooks { hooks, way } => self.hooks(name, *hooks, *way),
        }
    }

    fn one(&self, name: &str, kind: Kind, way: Way, null: bool) -> Pieces {
        let types = &self.types;
        let (constant, spelled) = (constant(way), types.name(kind));
        let is_default = match kind {
            Kind::Record(_) => way != Way::Out,
            Kind::Scalar(scalar) => way == Way::Inout && scalar.one_by_default,
            Kind::Enumeration(_) => false,
        };
        let mut pieces = Pieces {
            declared: vec![format!("{constant}{spelled} *{name}")],
            note: (!is_default).then(|| format!("{name} = \"{}\"", word(way))),
            before: format!(
                "{spelled} {name}; {}{spelled} *q_{name} = &{name}; ",
                types.put(kind, name)
            ),
            arguments: vec![format!("q_{name}")],
            after: types.see(kind, name),
            ..Pieces::default()
        };
        if null {
            let _ = write!(pieces.before, "if (next(s) % 2) q_{name} = NULL; ");
        }
        pieces.seen = match way {
            Way::Out => {
                format!("see_number(m, {name} ? (uintptr_t) {name} % _Alignof({spelled}) : 1); ")
            }
            _ => see_pointer(types, kind, name),
        };
        if way != Way::In {
            let put = types.put(kind, &format!("(*{name})"));
            pieces.done = format!("if ({name}) {{ {put}}} ");
        }
        pieces
    }

    fn several(&self, name: &str, kind: Kind, count: usize, way: Way) -> Pieces {
        let types = &self.types;
        let spelled = types.name(kind);
        let each = |what: String| format!("for (size_t i = 0; i < {count}; i++) {{ {what}}} ");
        let mut pieces = Pieces {
            before: format!("{spelled} q_{name}[{count}]; ")
                + &each(types.put(kind, &format!("q_{name}[i]"))),
            after: each(types.see(kind, &format!("q_{name}[i]"))),
            seen: format!("see_number(m, (uintptr_t) {name} % _Alignof({spelled})); "),
            ..Pieces::default()
        };
        if way != Way::Out {
            pieces.seen += &each(types.see(kind, &format!("{name}[i]")));
        }
        if way != Way::In {
            pieces.done = each(types.put(kind, &format!("{name}[i]")));
        }
        pieces
    }

    fn hooks(&self, name: &str, hooks: usize, way: Option<Way>) -> Pieces {
        let types = &self.types;
        let Hooks {
            before,
            signature,
            after,
        } = self.hooks[hooks];
        let (constant, star, arrow) = match way {
            None => ("", "", "."),
            Some(way) => (constant(way), "*", "->"),
        };
        let field = |what: &str| format!("{name}{arrow}{what}");
        let own = |what: &str| format!("{name}.{what}");
        let mut pieces = Pieces {
            declared: vec![format!("{constant}struct h{hooks} {star}{name}")],
            seen: types.see(before, &field("before"))
                + &types.see(after, &field("after"))
                + &format!("call_s{signature}(m, {}, {}); ", field("f"), field("user")),
            before: format!(
                "uint64_t {name}_data = next(s); struct h{hooks} {name}; {}{}\
                 {name}.f = take_s{signature}; {name}.user = &{name}_data; ",
                types.put(before, &own("before")),
                types.put(after, &own("after")),
            ),
            arguments: vec![match way {
                None => name.to_owned(),
                Some(_) => format!("&{name}"),
            }],
            ..Pieces::default()
        };
        if way == Some(Way::Inout) {
            pieces.done = types.put(before, &field("before"))
                + &types.put(after, &field("after"))
                + &format!("{} = take_s{signature}; ", field("f"));
            pieces.after = types.see(before, &own("before"))
                + &types.see(after, &own("after"))
                + &format!("if ({name}.f) call_s{signature}(m, {name}.f, NULL); ");
        }
        pieces
    }
}

fn constant(way: Way) -> &'static str {
    if way == Way::In { "const " } else { "" }
}

fn word(way: Way) -> &'static str {
    match way {
        Way::In => "in",
        Way::Out => "out",
        Way::Inout => "inout",
    }
}

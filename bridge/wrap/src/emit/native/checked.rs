//! The host's side over the ring: one function per function, which fetches what its
//! arguments lead to, calls, and puts back what was written. `iotdec_checked.h` is what all
//! of it shares.

use super::{Plan, returns};
use crate::checked::{Argument, Function, Member};
use crate::emit::qualified;
use crate::model::{Parameter, Record, Signature, Type};
use crate::notes::{Count, Data};
use crate::words::mentions;
use std::fmt::Write;

/// All of it; `host::source` goes before.
pub fn source(plan: &Plan) -> String {
    let mut text = String::from("\n/* Over the ring */\n");
    for (number, (tag, record, kept)) in plan.kept().enumerate() {
        if let Ok(members) = &plan.checked.records[tag] {
            let of = Object {
                number,
                tag,
                record,
                identity: &kept.identity,
                members,
            };
            object(&of, &mut text);
        }
    }
    for (name, _) in plan.carried() {
        match &plan.checked.functions[name] {
            Ok(function) => checked(plan, name, function, &mut text),
            Err(why) => {
                let _ = write!(text, "\n/* {name}: {why} */\n");
            }
        }
    }
    text += "\nint (*const iotdec_checked_functions[])(struct iotdec_guest *, uint64_t *) = {\n";
    for (name, _) in plan.carried() {
        let _ = match &plan.checked.functions[name] {
            Ok(_) => writeln!(text, "    checked_{name},"),
            Err(_) => writeln!(text, "    0, /* {name} */"),
        };
    }
    text += "};\n";
    end(plan, &mut text);
    text
}

/// A struct whose objects have an identity.
struct Object<'a> {
    number: usize,
    tag: &'a str,
    record: &'a Record,
    identity: &'a str,
    members: &'a [(String, Member)],
}

/// `use_TAG`, which gives the host's object for the guest's, with what is now in the
/// guest's; `made_TAG`, a new one; and `back_TAG`, which gives the guest's what is now in
/// the host's.
fn object(of: &Object, text: &mut String) {
    let Object {
        number,
        tag,
        record,
        identity,
        members,
    } = of;
    let spelling = &record.spelling;
    let mut copies = String::new();
    let mut give = String::new();
    let mut back = String::new();
    for (field, member) in *members {
        match member {
            Member::Number => {
                let _ = writeln!(give, "    o->{field} = s->sent.{field};");
                let _ = writeln!(back, "    now.{field} = o->{field};");
            }
            Member::Text => {
                let _ = writeln!(
                    back,
                    "    now.{field} = (__typeof__(now.{field}))(uintptr_t)iotdec_put_text(c, o->{field});"
                );
            }
            Member::Data(data) => {
                let _ = writeln!(copies, "    void *q_{field};");
                data_member(of, field, data, &mut give, &mut back);
            }
            Member::Identity | Member::Own => {}
        }
    }
    let _ = write!(
        text,
        r#"
/* {spelling} */

/* What is in the guest's, and copies of what that leads to. */
struct s_{tag} {{
    {spelling} sent;
{copies}}};

static IOTDEC_UNUSED void give_{tag}(struct iotdec_call *c, {spelling} *o, struct s_{tag} *s, int counts)
{{
    (void)c, (void)counts;
{give}}}

static IOTDEC_UNUSED {spelling} *use_{tag}(struct iotdec_call *c, uint64_t at, unsigned kind, struct s_{tag} *s, int counts)
{{
    {spelling} *o;
    if (!at)
        return NULL;
    if (c->guest->read(c->guest->process, &s->sent, at, sizeof s->sent) != 0)
        return iotdec_fail(c);
    o = iotdec_use(c, {number}, kind, (uint64_t)(uintptr_t)s->sent.{identity});
    if (o)
        give_{tag}(c, o, s, counts);
    return o;
}}

static IOTDEC_UNUSED {spelling} *make_{tag}(struct iotdec_call *c, uint64_t at, unsigned kind, struct s_{tag} *s, int counts)
{{
    {spelling} *o;
    if (!at)
        return NULL;
    if (c->guest->read(c->guest->process, &s->sent, at, sizeof s->sent) != 0)
        return iotdec_fail(c);
    o = iotdec_make(c, {number}, kind, sizeof *o);
    if (o) {{
        give_{tag}(c, o, s, counts);
        o->{identity} = iotdec_nowhere(c, 1);
    }}
    return o;
}}

/* The object is no more if the library says so, or if it was not made. */
static IOTDEC_UNUSED void back_{tag}(struct iotdec_call *c, uint64_t at, {spelling} *o, struct s_{tag} *s, const void *unmade, int counts)
{{
    {spelling} now;
    (void)counts;
    if (!o)
        return;
    memcpy(&now, &s->sent, sizeof now);
{back}    if (!o->{identity})
        now.{identity} = 0;
    else if (o->{identity} != unmade)
        now.{identity} = (__typeof__(now.{identity}))(uintptr_t)iotdec_object(o)->token;
    if (c->guest->write(c->guest->process, at, &now, sizeof now) != 0)
        c->failed = 1;
    iotdec_object(o)->is_new = 0;
    if (!o->{identity} || o->{identity} == unmade)
        iotdec_drop(c, o);
}}
"#
    );
}

fn data_member(of: &Object, field: &str, data: &Data, give: &mut String, back: &mut String) {
    let to = of.record.field(field).and_then(|f| f.value.kind.pointee());
    let is_void = to.is_none_or(|to| to.kind == Type::Void);
    let one = Count {
        expression: "1".into(),
        in_bytes: false,
    };
    let bytes = |count: &Count, name: &str| {
        let each = match is_void || count.in_bytes {
            true => "1".into(),
            false => format!("sizeof *o->{field}"),
        };
        let count = qualified(&count.expression, of.record, name);
        format!("iotdec_amount(c, (long long)({count}), {each})")
    };
    let size = bytes(data.count.as_ref().unwrap_or(&one), "s->sent");
    let is_partly = data.moves || data.back.is_some();
    let how = how(data.reads, is_partly, data.count.as_ref().unwrap_or(&one));
    let at = format!("(uint64_t)(uintptr_t)s->sent.{field}");
    let _ = write!(
        give,
        "    s->q_{field} = counts ? iotdec_fetch(c, {at}, {size}, {how}) : iotdec_nowhere(c, {at});\n    \
         o->{field} = (__typeof__(o->{field}))s->q_{field};\n"
    );
    if data.writes {
        let written = match &data.back {
            _ if data.moves => format!("(uint64_t)((char *)o->{field} - (char *)s->q_{field})"),
            Some(count) => bytes(count, "(*o)"),
            None => size,
        };
        let _ = write!(
            back,
            "    if (counts && s->q_{field})\n        iotdec_put(c, s->q_{field}, {written});\n"
        );
    }
    let _ = writeln!(
        back,
        "    now.{field} = (__typeof__(now.{field}))(uintptr_t)iotdec_home(c, o->{field});"
    );
}

/// How memory is fetched that the library reads or else writes, all of it or partly.
fn how(reads: bool, is_partly: bool, count: &Count) -> &'static str {
    match (reads, is_partly) {
        (true, _) if count.expression != "1" => "IOTDEC_ALL",
        (true, _) => "IOTDEC_READ",
        (false, true) => "IOTDEC_BLANK",
        (false, false) => "IOTDEC_MAYBE",
    }
}

/// One function.
fn checked(plan: &Plan, name: &str, function: &Function, text: &mut String) {
    let called = &plan.guest.functions[name];
    let signature = &called.signature;
    let makes = plan.notes.makes(name);
    let Function { kind, counts, .. } = function;
    let counts = u8::from(*counts);
    let mut body = String::new();
    let mut back = String::new();
    // Amounts speak of numbers, and of what single pointers lead to.
    let arguments = || function.parameters.iter().enumerate();
    for (index, _) in arguments().filter(|(_, it)| **it == Argument::Number) {
        let Parameter { name, value, .. } = &signature.parameters[index];
        let kind = &value.spelling;
        let _ = writeln!(body, "    {kind} {name} = ({kind})words[{index}];");
    }
    let blocks = arguments().filter_map(|(index, argument)| match argument {
        Argument::Block(block) => Some((index, block)),
        _ => None,
    });
    let mut blocks: Vec<_> = blocks.collect();
    let depends = |expression: &str| {
        let parameters = signature.parameters.iter();
        parameters.filter(|p| mentions(expression, &p.name)).count()
    };
    blocks.sort_by_key(|(_, block)| depends(&block.count.expression) > 0);
    for (index, block) in &blocks {
        let parameter = &signature.parameters[*index];
        let size = amount(parameter, &block.count);
        let how = how(block.reads, block.back.is_some(), &block.count);
        let Parameter { name, value, .. } = parameter;
        let counts = [Some(&block.count), block.back.as_ref()];
        let counts = counts.into_iter().flatten();
        for needed in counts.flat_map(|count| needed(count, signature, name)) {
            let _ = write!(
                body,
                "    if (!{needed})\n        return iotdec_fail(c), iotdec_release(c);\n"
            );
        }
        let _ = writeln!(
            body,
            "    {} {name} = iotdec_fetch(c, words[{index}], {size}, {how});",
            value.spelling
        );
        if block.writes {
            let size = block
                .back
                .as_ref()
                .map_or(size, |back| amount(parameter, back));
            let _ = writeln!(
                back,
                "    if ({name})\n        iotdec_put(c, {name}, {size});"
            );
        }
    }
    for (index, argument) in arguments() {
        let Parameter { name, value, .. } = &signature.parameters[index];
        let kind_of = &value.spelling;
        match argument {
            Argument::Text => {
                let _ = writeln!(
                    body,
                    "    {kind_of} {name} = iotdec_fetch_text(c, words[{index}]);"
                );
            }
            Argument::Object(tag) => {
                let spelling = &plan.guest.records[tag].spelling;
                let is_new = makes == Some(name);
                let [verb, unmade] = match is_new {
                    true => ["make", &format!("iotdec_unmade_{name}")],
                    false => ["use", "NULL"],
                };
                let identity = &plan.kept[tag].identity;
                let _ = write!(
                    body,
                    "    struct s_{tag} iotdec_sent_{name};\n    {spelling} *{name} = {verb}_{tag}(c, \
                     words[{index}], {kind}, &iotdec_sent_{name}, {counts});\n"
                );
                if is_new {
                    let _ = writeln!(
                        body,
                        "    const void *iotdec_unmade_{name} = {name} ? (const void *){name}->{identity} : NULL;"
                    );
                }
                let _ = writeln!(
                    back,
                    "    back_{tag}(c, words[{index}], {name}, &iotdec_sent_{name}, {unmade}, {counts});"
                );
            }
            _ => {}
        }
    }
    let names: Vec<_> = signature
        .parameters
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    let call = format!("({name})({})", names.join(", "));
    let (call, result) = match (&signature.result.kind, returns(called)) {
        (_, false) => (format!("    {call};\n"), String::new()),
        (Type::Pointer(_), _) => (
            format!("    {} result = {call};\n", signature.result.spelling),
            "    words[0] = iotdec_home(c, result);\n".to_owned(),
        ),
        _ => (
            format!("    {} result = {call};\n", signature.result.spelling),
            "    words[0] = (uint64_t)result;\n".to_owned(),
        ),
    };
    let _ = write!(
        text,
        "\nstatic int checked_{name}(struct iotdec_guest *guest, uint64_t *words)\n{{\n    \
         struct iotdec_call call = {{.guest = guest}}, *c = &call;\n    (void)words;\n{body}    \
         if (c->failed)\n        return iotdec_release(c);\n    errno = 0;\n{call}    \
         guest->error = errno;\n{back}{result}    return iotdec_release(c);\n}}\n"
    );
}

fn amount(parameter: &Parameter, count: &Count) -> String {
    let to = parameter.value.kind.pointee();
    let each = match count.in_bytes || to.is_none_or(|to| to.kind == Type::Void) {
        true => "1".into(),
        false => format!("sizeof *{}", parameter.name),
    };
    format!(
        "iotdec_amount(c, (long long)({}), {each})",
        count.expression
    )
}

/// The pointers without which an amount cannot be computed.
fn needed<'a>(
    count: &'a Count,
    signature: &'a Signature,
    own: &'a str,
) -> impl Iterator<Item = &'a str> {
    let parameters = signature.parameters.iter();
    let pointers = parameters.filter(move |p| p.value.kind.pointee().is_some() && p.name != own);
    let names = pointers.map(|p| p.name.as_str());
    names.filter(|name| {
        mentions(&count.expression, name) && !count.expression.contains(&format!("{name} ?"))
    })
}

/// Ends the objects that a guest leaves behind, where a function does that which takes
/// nothing else.
fn end(plan: &Plan, text: &mut String) {
    *text += "\nstatic void iotdec_end(struct iotdec_object *object)\n{\n";
    for (number, (tag, record, _)) in plan.kept().enumerate() {
        for (name, function) in plan.carried() {
            let Some(Ok(checked)) = plan.checked.functions.get(name) else {
                continue;
            };
            let [Argument::Object(of)] = &checked.parameters[..] else {
                continue;
            };
            let parameter = &function.signature.parameters[0].name;
            if of == tag && plan.notes.ends(name) == Some(parameter) {
                let _ = write!(
                    text,
                    "    if (object->type == {number} && object->kind == {})\n        \
                     ({name})(({} *)object->object);\n",
                    checked.kind, record.spelling
                );
            }
        }
    }
    *text += "    (void)object;\n}\n";
}

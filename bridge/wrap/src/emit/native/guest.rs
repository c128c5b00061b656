//! The guest's side: a library with the exports of the one it stands in for.

use super::{Object, Plan, parameter_list, returns};
use crate::choose::Choice;
use crate::kept::Kept;
use crate::model::Function;
use std::fmt::Write;

pub fn source(plan: &Plan, fingerprint: u64) -> String {
    let mut text = String::from("\n");
    own(plan, fingerprint, &mut text);
    text += "\n/* What the host does, by number. */\nenum {\n";
    for (name, _) in plan.carried() {
        let _ = writeln!(text, "    HOST_{name},");
    }
    text += "};\n\n/* Which of them over the ring, too. */\nconst unsigned char iotdec_over_ring[] = {\n";
    for (name, _) in plan.carried() {
        let is_checked = plan.checked.functions.get(name).is_some_and(Result::is_ok);
        let _ = writeln!(text, "    {}, /* {name} */", u8::from(is_checked));
    }
    text += "};\n";
    for (tag, record, kept) in plan.kept() {
        helpers(tag, &record.spelling, kept, &mut text);
    }
    for (name, function) in plan.carried() {
        text += "\n";
        stub(plan, name, function, &mut text);
    }
    let left = plan.choices.iter().enumerate();
    for (index, (name, choice)) in left.filter(|(_, (_, c))| **c != Choice::Carried) {
        let function = plan.guest.functions.get(name);
        let objects = function.map(|function| plan.objects(function));
        match (function, objects) {
            (Some(function), Some(objects)) if !objects.is_empty() => {
                text += "\n";
                guarded(plan, name, function, &objects, &mut text);
            }
            _ => {
                if let Choice::Left(why) = choice {
                    let _ = write!(text, "\n/* {why} */\n");
                }
                let _ = writeln!(text, "IOTDEC_JUMP({name}, {index});");
            }
        }
    }
    text
}

/// The guest's own library: all its functions.
fn own(plan: &Plan, fingerprint: u64, text: &mut String) {
    let names = || plan.choices.keys();
    let library = &plan.exports.name;
    let _ = writeln!(text, "const char iotdec_library[] = \"{library}\";");
    let _ = writeln!(
        text,
        "const uint64_t iotdec_fingerprint = {fingerprint:#x};"
    );
    *text += "\nenum {\n";
    for name in names() {
        let _ = writeln!(text, "    OWN_{name},");
    }
    *text += "    OWN_COUNT\n};\n\nconst char *const iotdec_own_names[] = {\n";
    for name in names() {
        let _ = writeln!(text, "    \"{name}\",");
    }
    *text += "};\nconst size_t iotdec_own_count = OWN_COUNT;\nvoid *iotdec_own[OWN_COUNT];\n\
              #define OWN(name) ((__typeof__(&(name)))iotdec_own[OWN_##name])\n";
}

/// What has to be done around calls with a kind of object.
fn helpers(tag: &str, spelling: &str, kept: &Kept, text: &mut String) {
    let identity = &kept.identity;
    let each = |template: &str, fields: &[String]| -> String {
        fields
            .iter()
            .map(|field| template.replace('@', field))
            .collect()
    };
    let calls_back = each(
        "    if (object->@ && !iotdec_is_host_function((uintptr_t)object->@))\n        return 1;\n",
        &kept.callbacks,
    );
    let functions = [&kept.callbacks[..], &kept.waived].concat();
    let forget = each(
        "    if (iotdec_is_host_function((uintptr_t)object->@))\n        object->@ = 0;\n",
        &functions,
    );
    let note = each(
        "    iotdec_note_host_function((uintptr_t)object->@);\n",
        &functions,
    );
    let blank = [&kept.text[..], &kept.waived].concat();
    let no_text = each("        object->@ = 0;\n", &blank);
    let texts = each("    object->@ = iotdec_text(object->@);\n", &kept.text);
    let _ = write!(
        text,
        r#"
/* {spelling} */

static __attribute__((__unused__)) void *{tag}_identity(const {spelling} *object)
{{
    return object ? (void *)object->{identity} : NULL;
}}

/* Whether it brings functions of the guest along. */
static __attribute__((__unused__)) int {tag}_calls_back(const {spelling} *object)
{{
    if (!object)
        return 0;
{calls_back}    return 0;
}}

/* Before the guest's library makes it: what the host left in it means nothing here. */
static __attribute__((__unused__)) void {tag}_forget_host({spelling} *object)
{{
    if (!object)
        return;
{forget}}}

/* Before the host makes it: marked, so as to see whether it did. */
static __attribute__((__unused__)) void *{tag}_mark({spelling} *object)
{{
    void *before = {tag}_identity(object);
    if (object) {{
        object->{identity} = (void *)iotdec_nobody;
{no_text}    }}
    return before;
}}

static __attribute__((__unused__)) void {tag}_made({spelling} *object, void *before)
{{
    if (!object)
        return;
{texts}    if ((void *)object->{identity} == iotdec_nobody) {{
        object->{identity} = before;
        return;
    }}
    if (object->{identity})
        iotdec_own_object((void *)object->{identity});
{note}}}

static __attribute__((__unused__)) void {tag}_used({spelling} *object, void *identity, const char *function)
{{
    if ({tag}_identity(object) != identity)
        iotdec_die("it makes or ends objects, and the configuration does not say so", function);
{texts}}}

static __attribute__((__unused__)) void {tag}_ended({spelling} *object, void *identity)
{{
{texts}    /* It failed, and the object still is. */
    if ((void *)object->{identity} == identity)
        iotdec_own_object(identity);
}}
"#
    );
}

/// A function that the host does for its own objects, and the guest's library for all
/// others.
fn stub(plan: &Plan, name: &str, function: &Function, text: &mut String) {
    let [makes, ends] = [plan.notes.makes(name), plan.notes.ends(name)];
    let objects = plan.objects(function);
    let is = |object: &Object, role: Option<&str>| role == Some(object.parameter);
    let new = objects.iter().find(|object| is(object, makes));
    let old: Vec<_> = objects.iter().filter(|o| !is(o, makes)).collect();

    open_function(name, function, text);
    for (index, object) in old.iter().enumerate() {
        let Object { parameter, tag } = object;
        let _ = writeln!(
            text,
            "    void *iotdec_{parameter} = {tag}_identity({parameter});"
        );
        if index > 0 {
            let first = old[0].parameter;
            let _ = write!(
                text,
                "    if (iotdec_owns(iotdec_{first}) != iotdec_owns(iotdec_{parameter}))\n        \
                 iotdec_die(\"objects of both sides in one call\", \"{name}\");\n"
            );
        }
    }
    let guests = match (old.first(), new) {
        (Some(object), _) => format!("!iotdec_owns(iotdec_{})", object.parameter),
        (None, Some(Object { parameter, tag })) => {
            format!("!iotdec_serves(HOST_{name}) || {tag}_calls_back({parameter})")
        }
        (None, None) => format!("!iotdec_serves(HOST_{name})"),
    };
    let _ = writeln!(text, "    if ({guests}) {{");
    if let Some(Object { parameter, tag }) = new {
        let _ = writeln!(text, "        {tag}_forget_host({parameter});");
    }
    call_own(name, function, "        ", text);
    *text += "    }\n";

    if let Some(Object { parameter, tag }) = new {
        let _ = writeln!(text, "    void *iotdec_before = {tag}_mark({parameter});");
    }
    for object in old.iter().filter(|object| is(object, ends)) {
        // Before it ends: another thread may be given its identity right after.
        let _ = writeln!(
            text,
            "    iotdec_disown_object(iotdec_{});",
            object.parameter
        );
    }
    let words: Vec<_> = function
        .signature
        .parameters
        .iter()
        .map(|parameter| format!("(uint64_t){}", parameter.name))
        .collect();
    let words = if words.is_empty() {
        "0".into()
    } else {
        words.join(", ")
    };
    let _ = write!(
        text,
        "    uint64_t iotdec_words[] = {{{words}}};\n    \
         iotdec_invoke(HOST_{name}, \"{name}\", iotdec_words, sizeof iotdec_words / sizeof *iotdec_words);\n"
    );
    if let Some(Object { parameter, tag }) = new {
        let _ = writeln!(text, "    {tag}_made({parameter}, iotdec_before);");
    }
    for object in &old {
        let Object { parameter, tag } = object;
        let _ = if is(object, ends) {
            writeln!(text, "    {tag}_ended({parameter}, iotdec_{parameter});")
        } else {
            writeln!(
                text,
                "    {tag}_used({parameter}, iotdec_{parameter}, \"{name}\");"
            )
        };
    }
    if returns(function) {
        let _ = writeln!(
            text,
            "    return ({})iotdec_words[0];",
            function.signature.result.spelling
        );
    }
    *text += "}\n";
}

/// A function that the guest's library does, and to which no object of the host may
/// get.
fn guarded(plan: &Plan, name: &str, function: &Function, objects: &[Object], text: &mut String) {
    let makes = plan.notes.makes(name);
    open_function(name, function, text);
    for Object { parameter, tag } in objects {
        let _ = if makes == Some(parameter) {
            writeln!(text, "    {tag}_forget_host({parameter});")
        } else {
            write!(
                text,
                "    if (iotdec_owns({tag}_identity({parameter})))\n        \
                 iotdec_die(\"an object of the host in a function of the guest\", \"{name}\");\n"
            )
        };
    }
    call_own(name, function, "    ", text);
    *text += "}\n";
}

fn open_function(name: &str, function: &Function, text: &mut String) {
    let result = &function.signature.result.spelling;
    // In parentheses, so that a macro of that name does not stand in for it.
    let _ = write!(
        text,
        "{result} ({name})({})\n{{\n",
        parameter_list(function)
    );
}

fn call_own(name: &str, function: &Function, indent: &str, text: &mut String) {
    let arguments: Vec<_> = function
        .signature
        .parameters
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    let arguments = arguments.join(", ");
    let _ = if returns(function) {
        writeln!(text, "{indent}return OWN({name})({arguments});")
    } else {
        writeln!(text, "{indent}OWN({name})({arguments});\n{indent}return;")
    };
}

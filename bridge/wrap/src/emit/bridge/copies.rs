//! Copies of structs with pointers in them: what goes there, and what comes back.

use super::checks::least;
use crate::emit::qualified;
use crate::model::{Record, Type};
use crate::notes::Count;
use crate::rules::{Block, Crossing, RecordRule};
use std::fmt::Write;

/// `iotdec_gives_TAG`, which makes a copy and gives its address, and `iotdec_back_TAG`, which brings back
/// what the library wrote. Between the two, a `struct iotdec_k_TAG` knows what was sent.
///
/// Where the struct itself is shared, its pointers are replaced in place and put back.
pub fn copies(tag: &str, record: &Record, rule: &RecordRule) -> String {
    let spelling = &record.spelling;
    let mut state = String::new();
    let mut give = String::new();
    let mut back = String::new();
    // Functions count always: the library calls them whenever it likes.
    let mut give_functions = String::new();
    let mut back_functions = String::new();
    for (field, crossing) in &rule.fields {
        if let Crossing::Function(number) = crossing {
            function(field, *number, &mut give_functions, &mut back_functions);
            continue;
        }
        if let Crossing::Data(_) | Crossing::Text = crossing {
            let _ = writeln!(state, "    void *q_{field};\n    size_t n_{field};");
        }
        one(tag, record, field, crossing, &mut give, &mut back);
    }
    let (open, find) = if rule.kept {
        (
            String::from(
                "    struct iotdec_kept *kept = iotdec_kept(c, p, sizeof *p, sizeof *k);\n    \
                 if (!kept)\n        return NULL;\n    k = kept->state;\n    k->copy = kept->copy;\n",
            ),
            "    struct iotdec_kept *kept = iotdec_kept(c, p, sizeof *p, sizeof *k);\n    \
             if (!kept)\n        return;\n    k = kept->state;\n"
                .to_owned(),
        )
    } else {
        (
            "    k->copy = iotdec_is_shared(p, sizeof *p) ? p : iotdec_take(c, sizeof *p);\n"
                .into(),
            String::new(),
        )
    };
    format!(
        r#"
/* {spelling} */
struct iotdec_k_{tag} {{
    {spelling} sent, *copy;
{state}}};

static IOTDEC_UNUSED {spelling} *iotdec_gives_{tag}(struct iotdec_call *c, {spelling} *p, struct iotdec_k_{tag} *k, int counts, int writes)
{{
    if (!p)
        return NULL;
{open}    {spelling} now;
    memcpy(&now, p, sizeof now);
    memcpy(&k->sent, p, sizeof now);
{give_functions}    if (counts) {{
{give}    }}
    /* It may be a constant. */
    if (k->copy == p && !writes && memcmp(p, &now, sizeof now))
        k->copy = iotdec_take(c, sizeof now);
    iotdec_store(k->copy, &now, sizeof now);
    return k->copy;
}}

static IOTDEC_UNUSED void iotdec_back_{tag}(struct iotdec_call *c, {spelling} *p, struct iotdec_k_{tag} *k, int counts, int writes)
{{
    if (!p)
        return;
{find}    {spelling} now;
    memcpy(&now, k->copy, sizeof now);
    IOTDEC_KEEP(now);
    if (!writes) {{
        if (k->copy == p)
            iotdec_store(p, &k->sent, sizeof now);
        return;
    }}
{back_functions}    if (counts) {{
{back}    }}
    (void)c;
    iotdec_store(p, &now, sizeof now);
}}
"#
    )
}

fn set(field: &str, value: &str) -> String {
    format!("now.{field} = (__typeof__(now.{field}))(uintptr_t){value};\n")
}

fn function(field: &str, number: usize, give: &mut String, back: &mut String) {
    let given = format!("iotdec_give_function(c, (void (*)(void))now.{field}, {number})");
    let _ = write!(give, "    {}", set(field, &given));
    let taken = format!("iotdec_take_function(c, IOTDEC_BITS(now.{field}), {number})");
    let _ = write!(
        back,
        "    if (now.{field} != k->sent.{field})\n        {}",
        set(field, &taken)
    );
}

fn one(
    tag: &str,
    record: &Record,
    field: &str,
    crossing: &Crossing,
    give: &mut String,
    back: &mut String,
) {
    let text = text(tag, field);
    match crossing {
        Crossing::Shared => {
            let _ = writeln!(
                give,
                "        iotdec_shared(c, (const void *)now.{field}, \"{tag}.{field}\");"
            );
            let kind = record.field(field).map(|field| &field.value.kind);
            let least = kind.map_or("1".into(), |kind| least(kind, &format!("now.{field}")));
            let _ = writeln!(
                back,
                "        if (now.{field} != k->sent.{field})\n            \
                 iotdec_check_or(c, IOTDEC_BITS(now.{field}), {least}, {text:?});"
            );
        }
        Crossing::Text => {
            let _ = write!(
                give,
                "        k->q_{field} = (void *)iotdec_text(c, now.{field});\n        {}",
                set(field, &format!("k->q_{field}"))
            );
            let _ = write!(
                back,
                "        if ((const void *)now.{field} == k->q_{field})\n            \
                 now.{field} = k->sent.{field};\n        \
                 else if (now.{field} != k->sent.{field})\n            \
                 iotdec_check_string(c, IOTDEC_BITS(iotdec_check_or(c, IOTDEC_BITS(now.{field}), 1, {text:?})));\n"
            );
        }
        Crossing::Data(block) => data(record, field, block, &text, give, back),
        _ => {}
    }
}

/// What is said of a pointer that the library put into a field.
fn text(tag: &str, field: &str) -> String {
    format!(
        "the library put a pointer to memory that is not shared into {tag}.{field}; if nobody \
         follows it, say in wrap.toml: [struct.{tag}] {field} = \"value\""
    )
}

fn data(
    record: &Record,
    field: &str,
    block: &Block,
    text: &str,
    give: &mut String,
    back: &mut String,
) {
    let kind = record.field(field).map(|field| &field.value.kind);
    let to = kind.and_then(|kind| kind.pointee());
    let is_void = to.is_none_or(|to| to.kind == Type::Void);
    let least = kind.map_or("1".into(), |kind| least(kind, &format!("now.{field}")));
    let bytes = |count: &Count, of: &str| {
        let element = match is_void || count.in_bytes {
            true => "1".into(),
            false => format!("sizeof *now.{field}"),
        };
        let count = qualified(&count.expression, record, of);
        format!("iotdec_bytes(c, (long long)({count}), {element})")
    };
    let copy = match (block.keeps, block.reads) {
        (true, _) => "keep",
        (_, true) => "in",
        (_, false) => "out",
    };
    let _ = write!(
        give,
        "        k->n_{field} = now.{field} ? {} : 0;\n        \
         k->q_{field} = iotdec_{copy}(c, (void *)now.{field}, k->n_{field});\n        \
         now.{field} = (__typeof__(now.{field}))k->q_{field};\n",
        bytes(&block.count, "k->sent")
    );
    let _ = writeln!(
        back,
        "        {{\n            uint64_t at = IOTDEC_BITS(now.{field});"
    );
    if block.writes && !block.keeps {
        let size = match &block.back {
            _ if block.moves => format!("at - IOTDEC_BITS(k->q_{field})"),
            Some(count) => bytes(count, "now"),
            None => format!("k->n_{field}"),
        };
        let _ = write!(
            back,
            "            size_t size = {size};\n            \
             if (k->q_{field} && size <= k->n_{field})\n                \
             iotdec_back(c, (void *)k->sent.{field}, k->q_{field}, size);\n"
        );
    }
    let _ = write!(
        back,
        "            if (!iotdec_home(&at, k->q_{field}, k->sent.{field}, k->n_{field}) &&\n                \
         at != IOTDEC_BITS(k->sent.{field}))\n                \
         iotdec_check_or(c, at, {least}, {text:?});\n            \
         now.{field} = (__typeof__(now.{field}))(uintptr_t)at;\n        }}\n"
    );
}

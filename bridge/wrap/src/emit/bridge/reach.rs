//! Functions in structs that both sides use where they are.

use super::Plan;
use crate::rules::Reached;
use std::fmt::Write;

/// Structs behind structs that are looked at.
const DEPTH: usize = 4;

/// `meet_TAG` for each struct: has the runtime meet the functions in it, and in those that
/// it points to. What is there may be anything, as long as it is shared.
pub fn source(plan: &Plan) -> String {
    let reached = &plan.rules.reached;
    let head = |tag: &str| {
        format!(
            "static IOTDEC_UNUSED void meet_{tag}(struct iotdec_call *c, const void *p, int depth)"
        )
    };
    let mut text = String::new();
    for tag in reached.keys() {
        let _ = writeln!(text, "{};", head(tag));
    }
    for (tag, fields) in reached {
        let spelling = &plan.guest.records[tag].spelling;
        let _ = write!(
            text,
            "\n{}\n{{\n    {spelling} now;\n\n    \
             if (!p || !depth || !iotdec_is_shared(p, sizeof now))\n        return;\n    \
             memcpy(&now, p, sizeof now);\n    (void)c;\n",
            head(tag)
        );
        for (path, reached) in fields {
            let _ = match reached {
                Reached::Function(number) => writeln!(
                    text,
                    "    iotdec_meet_function(c, (void *)now.{path}, {number});"
                ),
                Reached::Record(inner) => {
                    writeln!(text, "    meet_{inner}(c, now.{path}, depth - 1);")
                }
            };
        }
        text += "}\n";
    }
    text
}

/// The same for a pointer, if anything is known of what it leads to.
pub fn meet(plan: &Plan, tag: Option<&str>, pointer: &str) -> String {
    match tag.filter(|tag| plan.rules.reached.contains_key(*tag)) {
        Some(tag) => format!("meet_{tag}(&iotdec_c, (const void *){pointer}, {DEPTH});\n"),
        None => "\n".into(),
    }
}

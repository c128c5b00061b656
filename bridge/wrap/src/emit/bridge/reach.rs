//! Functions in structs that both sides use where they are.

use super::Plan;
use crate::model::Type;
use crate::rules::Reached;
use std::fmt::Write;

/// Structs behind structs that are looked at.
const DEPTH: usize = 4;

/// `iotdec_meets_TAG` for each struct: has the runtime meet the functions in it, and in those that
/// it points to. What is there may be anything, as long as it is shared.
pub fn source(plan: &Plan) -> String {
    let reached = &plan.rules.reached;
    let head = |tag: &str| {
        format!(
            "static IOTDEC_UNUSED void iotdec_meets_{tag}(struct iotdec_call *c, const void *p, int depth, int writes)"
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
                    "    iotdec_meet(c, (const char *)p + __builtin_offsetof({spelling}, {path}), \
                     (void *)now.{path}, {number}, writes);"
                ),
                Reached::Record { tag, writes } => {
                    let writes = if *writes { "writes" } else { "0" };
                    writeln!(
                        text,
                        "    iotdec_meets_{tag}(c, now.{path}, depth - 1, {writes});"
                    )
                }
            };
        }
        text += "}\n";
    }
    text
}

/// The same for a pointer, if anything is known of what it leads to.
pub fn meet(plan: &Plan, kind: &Type, pointer: &str) -> Option<String> {
    let to = kind.pointee()?;
    let Type::Record(tag) = &to.kind else {
        return None;
    };
    let writes = i32::from(!to.is_const);
    plan.rules.reached.contains_key(tag).then(|| {
        format!("iotdec_meets_{tag}(&iotdec_c, (const void *){pointer}, {DEPTH}, {writes});\n")
    })
}

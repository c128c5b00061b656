//! What `iotdec wrap --direction guest-to-host` says.

use iotdec_wrap::native::Report;
use std::collections::BTreeMap;

/// For people.
pub fn summary(report: &Report) -> String {
    // By reason: there are few, which many functions share.
    let mut left: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for function in &report.functions {
        if let Some(why) = &function.why {
            left.entry(why).or_default().push(&function.name);
        }
    }
    let total = report.functions.len();
    let guests: usize = left.values().map(Vec::len).sum();
    let mut text = format!(
        "{}: the host does {} of {total} functions, the guest's own library these:\n",
        report.library,
        total - guests
    );
    for (why, functions) in left {
        text += &format!("  {}\n    {why}\n", functions.join(", "));
    }
    let mut refused: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for function in &report.functions {
        if let Some(why) = &function.not_over_ring {
            refused.entry(why).or_default().push(&function.name);
        }
    }
    if !refused.is_empty() {
        text += "of those, the host does these with the accelerator alone, not over the ring:\n";
    }
    for (why, functions) in refused {
        text += &format!("  {}\n    {why}\n", functions.join(", "));
    }
    text + &format!(
        "made {}\nmade {}\n",
        report.guest.display(),
        report.host.display()
    )
}

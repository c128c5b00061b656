//! Makes the wrapper of a recipe's library, as anybody would.

use super::recipe::Recipe;
use super::{Material, run::With};
use crate::environment::variable_or_advice;
use iotdec_wrap::notes::{self, Pointers};
use iotdec_wrap::wrap::{Report, Request, wrap};
use std::path::Path;
use std::time::Duration;

/// Wraps the library below a directory. What was made, or what was wrong.
///
/// # Errors
/// The generator's.
pub fn make(recipe: &Recipe, material: &Material, made: &Path) -> Result<Report, String> {
    let config = recipe.wrap_toml();
    let request = Request {
        headers: recipe.header_files(material),
        include: recipe.include_directories(material),
        library: material.guest_library(&recipe.library),
        config: config.exists().then_some(config),
        output: made.join(&recipe.name),
        runtime: Some(variable_or_advice("IOTDEC_RUNTIME")),
    };
    wrap(&request).map_err(|error| error.to_string())
}

/// How programs run with it. Those of libraries whose `wrap.toml` takes pointers for
/// shared have their heap, their variables and their stack there.
pub fn with(recipe: &Recipe, report: &Report, material: &Material) -> With {
    let notes = notes::read(&recipe.wrap_toml()).unwrap_or_default();
    let is_shared = notes.defaults.pointers == Pointers::Shared;
    let sysroot = material.sysroot.display().to_string();
    let mut variables = vec![("IOTDEC_SYSROOT".into(), sysroot)];
    if is_shared {
        variables.push(("IOTDEC_SHARE_PROGRAM".into(), "1".into()));
    }
    With {
        directory: report.native.parent().expect("a directory").to_owned(),
        preload: is_shared.then(|| variable_or_advice("IOTDEC_MALLOC")),
        variables,
        // An emulator. What takes this long hangs.
        patience: 20,
        limit: Some(Duration::from_secs(900)),
    }
}

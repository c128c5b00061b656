//! aarch64 libraries that misbehave, compiled for the purpose.

use crate::compile::{self, GUEST};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A stand-in for libde265: every function the adapter needs is there, does
/// nothing and returns 0, unless a test says otherwise.
const FUNCTIONS: &[&str] = &[
    "de265_get_version",
    "de265_get_error_text",
    "de265_new_decoder",
    "de265_start_worker_threads",
    "de265_set_image_allocation_functions",
    "de265_get_default_image_allocation_functions",
    "de265_set_image_plane",
    "de265_get_image_plane_user_data",
    "de265_push_NAL",
    "de265_push_end_of_frame",
    "de265_push_end_of_NAL",
    "de265_push_data",
    "de265_flush_data",
    "de265_reset",
    "de265_decode",
    "de265_get_warning",
    "de265_get_number_of_NAL_units_pending",
    "de265_get_number_of_input_bytes_pending",
    "de265_peek_next_picture",
    "de265_get_next_picture",
    "de265_release_next_picture",
    "de265_set_parameter_bool",
    "de265_set_parameter_int",
    "de265_get_image_width",
    "de265_get_image_height",
    "de265_get_chroma_format",
    "de265_get_bits_per_pixel",
    "de265_get_image_plane",
    "de265_get_image_PTS",
    "de265_get_image_user_data",
    "de265_set_image_user_data",
];

/// The library with some functions replaced: `(name, body)`, an empty body leaves
/// the function out. `extra` is C code of its own.
pub fn fake_de265(directory: &Path, bodies: &[(&str, &str)], extra: &str) -> PathBuf {
    fake_de265_with(directory, bodies, extra, &[])
}

/// The same with arguments for the compiler.
pub fn fake_de265_with(
    directory: &Path,
    bodies: &[(&str, &str)],
    extra: &str,
    arguments: &[&str],
) -> PathBuf {
    let mut source = String::from("#include <stdlib.h>\n#include <unistd.h>\n");
    source.push_str(extra);
    for function in FUNCTIONS {
        let default = match *function {
            "de265_get_version" | "de265_get_error_text" => "return \"fake\";",
            "de265_new_decoder" => "static int object; return &object;",
            _ => "return 0;",
        };
        let replaced = bodies.iter().find(|(name, _)| name == function);
        let body = replaced.map_or(default, |(_, body)| body);
        if !body.is_empty() {
            source.push_str(&format!("\nconst void *{function}(void) {{ {body} }}"));
        }
    }
    library(directory, "libfake265.so", &source, arguments)
}

/// Compiles an aarch64 shared library.
///
/// # Panics
/// If it does not compile.
pub fn library(directory: &Path, name: &str, source: &str, arguments: &[&str]) -> PathBuf {
    let code = directory.join(format!("{name}.c"));
    std::fs::write(&code, source).expect("a writable directory");
    let library = directory.join(name);
    let mut compiler = Command::new(GUEST);
    compiler.args(["-shared", "-fPIC", "-w"]).arg(&code);
    compile::make(compiler.args(arguments), &library);
    library
}

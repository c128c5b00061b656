//! Libraries that do nothing, so that tests can be seen to fail.

use crate::compile::{self, HOST};
use iotdec_wrap::elf;
use std::fmt::Write;
use std::path::Path;

/// A library with the name and the exported functions of `like`, all of which return
/// zero and do nothing else.
///
/// # Panics
/// If it cannot be made.
pub fn library(like: &Path, directory: &Path) {
    let exports = elf::exports(like).unwrap_or_else(|error| panic!("{error}"));
    let mut assembly = String::from("\t.text\n");
    for name in exports.functions.keys() {
        let _ = writeln!(
            assembly,
            "\t.globl {name}\n\t.type {name}, @function\n{name}:"
        );
    }
    assembly += "\txorl %eax, %eax\n\txorps %xmm0, %xmm0\n\tret\n\t.bss\n\t.balign 16\n";
    for name in exports.variables.keys() {
        let _ = writeln!(
            assembly,
            "\t.globl {name}\n\t.type {name}, @object\n\t.size {name}, 4096\n{name}:"
        );
    }
    assembly += "\t.zero 4096\n\t.section .note.GNU-stack,\"\",@progbits\n";
    std::fs::create_dir_all(directory).expect("room for a library");
    let source = directory.join("broken.s");
    std::fs::write(&source, assembly).expect("room for its source");
    let mut compiler = compile::shared(HOST, &exports.name);
    compiler.arg("-nostdlib").arg(source);
    compile::make(&mut compiler, &directory.join(&exports.name));
}

//! Memory that a program and an aarch64 library hand to each other: hand-written wrapper, real worker.
//! `library-bridge/memory/program.c` has what is tried, with the functions of `iotdec.h` and, with
//! libiotdec-malloc.so preloaded, with malloc and free themselves.

use iotdec_tests::compile::{self, GUEST, GUEST_CPP, HOST};
use iotdec_tests::environment::{root, variable_or_advice};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Where what is compiled once for all tests is.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let to = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bridge-memory");
        std::fs::create_dir_all(&to).expect("room");
        let path = |name: &str| to.join(name).display().to_string();
        let runtime = variable_or_advice("IOTDEC_RUNTIME");
        let runtime = runtime.to_str().expect("a path without strange characters");
        let rpath = format!("-Wl,-rpath,{runtime}");
        let link = ["-L", runtime, "-liotdec", &rpath];
        let zlib = variable_or_advice("IOTDEC_SYSROOT").join("lib/aarch64-linux-gnu/libz.so.1");
        let zlib = zlib.display().to_string();
        let (library, guest, native) = (
            path("libmemory-arm.so"),
            path("libmemory-guest.so"),
            path("libmemory.so"),
        );
        let shared = ["-fPIC", "-shared"];
        compile(
            GUEST_CPP,
            "memory.cpp",
            &library,
            &[&shared[..], &["-pthread", &zlib]].concat(),
        );
        compile(
            GUEST,
            "guest.c",
            &guest,
            &[&shared[..], &["-ffixed-x18", &library]].concat(),
        );
        let define = format!("-DLIBRARY=\"{library}\"");
        compile(
            HOST,
            "native.c",
            &native,
            &[&shared[..], &["-ffixed-r10", &define], &link].concat(),
        );
        let rpath = format!("-Wl,-rpath,{}", to.display());
        compile(
            HOST,
            "program.c",
            &path("program"),
            &[&["-pthread", &*native, &*rpath], &link[..]].concat(),
        );
        to
    })
}

fn compile(compiler: &str, source: &str, to: &str, options: &[&str]) {
    let sources = root().join("tests/library-bridge/memory");
    let mut compiler = Command::new(compiler);
    compiler
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("bridge/runtime/include"))
        .arg(sources.join(source))
        .args(options);
    compile::make(&mut compiler, Path::new(to));
}

fn run(what: &str) {
    for preloaded in [false, true] {
        let mut command = Command::new("timeout");
        // cargo's would be searched before the directory that was linked with.
        command.env_remove("LD_LIBRARY_PATH");
        command.arg("100");
        if preloaded {
            let library = variable_or_advice("IOTDEC_MALLOC");
            let preload = format!("LD_PRELOAD={}", library.display());
            command.args(["env", "MEMORY=libc", &preload]);
        }
        let output = command
            .arg(made().join("program"))
            .arg(what)
            .output()
            .expect("timeout is part of the system");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.ends_with("ok\n"),
            "preloaded {preloaded}: {output:?}"
        );
    }
}

#[test]
fn each_side_reads_and_frees_what_the_other_made() {
    run("both");
}

#[test]
fn from_many_threads() {
    run("threads");
}

#[test]
fn what_the_other_side_frees_is_used_again() {
    run("no-leak");
}

#[test]
fn a_million_blocks_that_the_other_side_frees_take_no_memory() {
    run("pairs");
}

#[test]
fn what_a_worker_freed_before_its_end_is_free() {
    run("ended");
}

#[test]
fn a_library_that_frees_what_it_must_not_fails_alone() {
    run("wild");
}

#[test]
fn a_child_has_its_own_memory_and_no_library() {
    run("forked");
}

#[test]
fn all_of_the_library_allocates_in_shared_memory() {
    run("libraries");
}

//! Compiles the C++ shim against the translator that the crate `dynarmic` has built.

use std::path::PathBuf;

fn main() {
    let root = PathBuf::from(std::env::var_os("DEP_DYNARMIC_ROOT").expect("set by dynarmic"));
    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .opt_level(2)
        // Exclusive accesses to 16 bytes.
        .flag("-mcx16")
        .file("shim/translator.cpp")
        .include(root.join("include"))
        .compile("iotdec-translator");
    // A symbol that nothing defines fails the build: QEMU would refuse the plugin.
    println!("cargo:rustc-cdylib-link-arg=-Wl,--no-undefined");
    println!("cargo:rerun-if-changed=shim");
}

//! Compiles the C++ shim against the translator that the crate `dynarmic` has built.

use std::path::{Path, PathBuf};

/// Libraries that the translator's headers include.
const EXTERNALS: [&str; 5] = [
    "xbyak",
    "mcl/include",
    "fmt/include",
    "robin-map/include",
    "ext-boost",
];
/// The class whose functions shim/registers.cpp stands before, and these functions.
const REGISTERS: &str = "_ZN8Dynarmic7Backend3X648RegAlloc";
const WRAPPED: [&str; 3] = [
    "C1ERNS1_11BlockOfCodeESt6vectorINS1_7HostLocESaIS6_EES8_",
    "13UseScratchGprERNS1_8ArgumentE",
    "13UseScratchXmmERNS1_8ArgumentE",
];

fn main() {
    let root = PathBuf::from(std::env::var_os("DEP_DYNARMIC_ROOT").expect("set by dynarmic"));
    let source = source(&root);
    let externals = source.join("externals");
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .opt_level(2)
        // Exclusive accesses to 16 bytes.
        .flag("-mcx16")
        // As the translator itself is compiled, whose own headers are used.
        .define("NDEBUG", None)
        .define("XBYAK_STRICT_CHECK_MEM_REG_SIZE", "0")
        .define("DYNARMIC_ENABLE_CPU_FEATURE_DETECTION", "1")
        .warnings(false)
        .include("shim")
        .include(source.join("src"))
        .include(root.join("include"))
        .includes(EXTERNALS.map(|name| externals.join(name)));
    build
        .clone()
        .files(["translator", "superblocks", "passes"].map(shim))
        .compile("iotdec-translator");
    build
        // What it does is the private business of a class.
        .flag("-fno-access-control")
        .file(shim("registers"))
        .compile("iotdec-registers");
    for function in WRAPPED {
        println!("cargo:rustc-link-arg=-Wl,--wrap={REGISTERS}{function}");
    }
    // A symbol that nothing defines fails the build: QEMU would refuse the plugin.
    println!("cargo:rustc-cdylib-link-arg=-Wl,--no-undefined");
    println!("cargo:rerun-if-changed=shim");
}

/// Where the translator's source is: its build tells.
fn source(root: &Path) -> PathBuf {
    let cache = root.join("build/CMakeCache.txt");
    let text = std::fs::read_to_string(&cache)
        .unwrap_or_else(|error| panic!("{}: {error}", cache.display()));
    let source = text
        .lines()
        .find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
    source.expect("CMake notes its source directory").into()
}

fn shim(name: &str) -> PathBuf {
    format!("shim/{name}.cpp").into()
}

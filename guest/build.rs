//! Libraries in the worker's process find these functions of the worker before the C
//! library's.

const EXPORTED: &[&str] = &[
    "pthread_create",
    "memcpy",
    "memmove",
    "memset",
    "memcmp",
    "bcmp",
    "memchr",
    "__memcpy_chk",
    "__memmove_chk",
    "__memset_chk",
    "strlen",
    "strchr",
    "strcmp",
    "strncmp",
    "exp",
    "log",
    "log2",
    "log10",
    "pow",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "fmod",
    "expf",
    "exp2f",
    "logf",
    "log2f",
    "log10f",
    "powf",
    "sinf",
    "cosf",
    "fmodf",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("aarch64") {
        for symbol in EXPORTED {
            println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol={symbol}");
        }
    }
}

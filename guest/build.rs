//! Libraries in the worker's process find these functions of the worker before the C
//! library's.

const EXPORTED: &[&str] = &["pthread_create"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("aarch64") {
        for symbol in EXPORTED {
            println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol={symbol}");
        }
    }
}

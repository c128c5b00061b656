//! The name under which wrappers ask for the runtime; it is never unloaded, for its threads
//! run its code.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for option in ["-soname,libiotdec.so", "-z,nodelete"] {
        println!("cargo:rustc-cdylib-link-arg=-Wl,{option}");
    }
}

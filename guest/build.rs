//! Libraries in a worker's process find these functions of the worker before the C
//! library's.

const EXPORTED_BY_WORKER: &[&str] = &[
    "pthread_create",
    "thrd_create",
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

/// What guest parts of wrappers use, and what libraries may not have of the C library.
const EXPORTED_BY_CALLS: &[&str] = &[
    "pthread_create",
    "thrd_create",
    "mmap",
    "mmap64",
    "munmap",
    "mremap",
    "madvise",
    "iotdec_callback_begin",
    "iotdec_callback_run",
    "iotdec_callback_end",
    "fflush",
    "fork",
    "_Fork",
    "vfork",
    "posix_spawn",
    "posix_spawnp",
    "system",
    "popen",
    "pclose",
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("aarch64") {
        for (program, symbols) in [
            ("iotdec-worker", EXPORTED_BY_WORKER),
            ("iotdec-calls", EXPORTED_BY_CALLS),
        ] {
            for symbol in symbols {
                // The first has the linker take the function out of our library at all.
                for option in ["--undefined", "--export-dynamic-symbol"] {
                    println!("cargo:rustc-link-arg-bin={program}=-Wl,{option}={symbol}");
                }
            }
        }
    }
}

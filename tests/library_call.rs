//! Calls of libraries for aarch64 without generated code: by `iotdec_bridge::Library` and by
//! `iotdec call`.

use iotdec_bridge::Acceleration;
use iotdec_bridge::Library;
use iotdec_bridge::calls::ErrorKind;
use iotdec_bridge::dynamic::{CallError, Options, Signature, Type, Value};
use iotdec_tests::compile::{self, GUEST};
use iotdec_tests::environment::{self, root};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

#[path = "library-call/apart.rs"]
mod apart;
#[path = "library-call/command.rs"]
mod command;
#[path = "library-call/passing.rs"]
mod passing;

fn place() -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("library-call");
    std::fs::create_dir_all(&place).expect("room");
    place
}

/// Compiles a library for aarch64. Each in a directory of its own: then it has a worker of its
/// own, and its crash ends no other test's calls.
fn compile(source: &Path, name: &str) -> PathBuf {
    let directory = place().join(name);
    std::fs::create_dir_all(&directory).expect("room");
    let library = directory.join(format!("lib{name}.so"));
    let mut compiler = compile::shared(GUEST, &format!("lib{name}.so"));
    compiler.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]);
    compile::make(compiler.arg("-pthread").arg(source), &library);
    library
}

fn sample_source() -> PathBuf {
    root().join("tests/library-call/sample.c")
}

fn sample_path() -> &'static Path {
    static SAMPLE: OnceLock<PathBuf> = OnceLock::new();
    SAMPLE.get_or_init(|| compile(&sample_source(), "sample"))
}

fn open(path: impl AsRef<Path>) -> Library {
    Library::open(path, &Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn call(
    library: &Library,
    name: &str,
    result: Type,
    parameters: &[Type],
    arguments: &[Value],
) -> Value {
    let signature = Signature::new(result, parameters.to_vec()).expect("it can be passed");
    let function = library.function(name, signature);
    let function = function.unwrap_or_else(|error| panic!("{error}"));
    function
        .call(arguments)
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn numbers_of_all_sizes_cross() {
    use Type::*;
    let library = open(sample_path());
    let kinds = [U8, I8, U16, I16, U32, I32, U64, I64, I8, I64];
    let values: [Value; 10] = [
        255u8.into(),
        (-128i8).into(),
        65535u16.into(),
        (-32768i16).into(),
        u32::MAX.into(),
        i32::MIN.into(),
        (1u64 << 40).into(),
        (-1i64 << 41).into(),
        (-1i8).into(),
        (1i64 << 50).into(),
    ];
    let sum: i128 = values.iter().filter_map(Value::integer).sum();
    // As in C: the first seven as 32-bit numbers, that do not overflow here.
    let expected = sum as u64;
    assert_eq!(
        call(&library, "add_ten", U64, &kinds, &values),
        expected.into()
    );
    let values = [1.5f32.into(), 0.25.into(), 4.into()];
    assert_eq!(
        call(&library, "weighted", F64, &[F32, F64, I32], &values),
        7.0.into()
    );
}

#[test]
fn structs_strings_and_arrays_cross() {
    let library = open(sample_path());
    let name = Type::Array(Box::new(Type::U8), 8);
    let point = Type::Struct(vec![Type::I16, Type::F64, name]);
    let letters = |text: &[u8; 8]| Value::List(text.iter().map(|it| Value::from(*it)).collect());
    let value = Value::List(vec![5.into(), 1.5.into(), letters(b"origin\0\0")]);
    let moved = call(
        &library,
        "moved",
        point.clone(),
        &[point, Type::I32],
        &[value, (-7).into()],
    );
    let expected = [Value::from(-2), (-1.5).into(), letters(b"mrigin\0\0")];
    assert_eq!(moved.list(), Some(&expected[..]));

    let text = library.share_string(c"abcd").expect("memory");
    call(
        &library,
        "reverse",
        Type::Void,
        &[Type::Pointer],
        &[(&text).into()],
    );
    assert_eq!(text.read(), b"dcba\0");

    let numbers = library.share(&[3i32, -4, 5]).expect("memory");
    let squares = library.allocate::<i64>(3).expect("memory");
    let sum = call(
        &library,
        "sum",
        Type::I64,
        &[Type::Pointer, Type::U64, Type::Pointer],
        &[(&numbers).into(), numbers.len().into(), (&squares).into()],
    );
    assert_eq!((sum, squares.read()), (4.into(), vec![9, 16, 25]));

    let null = [Value::NULL];
    assert_eq!(
        call(&library, "is_null", Type::I32, &[Type::Pointer], &null),
        1.into()
    );
    let text = call(&library, "greeting", Type::Pointer, &[], &[]);
    let text = library.read_string(text.pointer().expect("a pointer"));
    assert_eq!(text.expect("shared").as_c_str(), c"hello from aarch64");
    let bad = library.read::<u8>(sample_path as *const () as u64, 1);
    assert!(matches!(bad, Err(CallError::NotShared(_))), "{bad:?}");
}

#[test]
fn errno_comes_back() {
    let library = open(sample_path());
    let signature = Signature::new(Type::I32, []).expect("it can be passed");
    let function = library.function("fails", signature).expect("it is there");
    let (result, errno) = function.call_with_errno(&[]).expect("it returns");
    assert_eq!((result, errno), ((-1).into(), libc::ENOSPC));
}

#[test]
fn threads_call_at_once() {
    let library = open(sample_path());
    let signature = Signature::new(Type::F64, [Type::F32, Type::F64, Type::I32]);
    let function = library.function("weighted", signature.expect("it can be passed"));
    let function = function.expect("it is there");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let function = &function;
            scope.spawn(move || {
                for n in 0..200 {
                    let result = function.call(&[1f32.into(), f64::from(thread).into(), n.into()]);
                    let expected = f64::from((1 + thread) * n);
                    assert_eq!(result.expect("it returns"), expected.into());
                }
            });
        }
    });
}

#[test]
fn the_library_calls_closures() {
    let library = open(sample_path());
    let kind = || Signature::new(Type::I32, [Type::I32]).expect("it can be passed");
    let number = |values: &[Value]| values[0].integer().expect("an integer") as i32;
    let seen = std::sync::Arc::new(AtomicU32::new(0));
    let count = seen.clone();
    let ten_times = library.callback(kind(), move |values| {
        count.fetch_add(1, Ordering::Relaxed);
        (10 * number(values)).into()
    });
    let ten_times = ten_times.expect("not too many");
    let parameters = [Type::Pointer, Type::I32];
    let apply = |name, callback: Value| {
        let signature = Signature::new(Type::I32, parameters.clone()).expect("it can be passed");
        let function = library.function(name, signature).expect("it is there");
        function.call(&[callback, 3.into()])
    };
    assert_eq!(
        apply("apply", (&ten_times).into()).expect("it returns"),
        70.into()
    );
    let elsewhere = apply("apply_elsewhere", (&ten_times).into());
    assert_eq!(elsewhere.expect("it returns"), 30.into());
    assert_eq!(seen.load(Ordering::Relaxed), 3);

    // A call within the callback, of a callback that the closure owns.
    let inner = library.function("apply", {
        Signature::new(Type::I32, parameters.clone()).expect("it can be passed")
    });
    let inner = inner.expect("it is there");
    let nested = library.callback(kind(), move |values| {
        inner
            .call(&[(&ten_times).into(), values[0].clone()])
            .expect("it returns")
    });
    let nested = nested.expect("not too many");
    for _ in 0..2 {
        let result = apply("apply", (&nested).into());
        assert_eq!(result.expect("it returns"), (70 + 90).into());
        // A panic leaves all calls that it is within.
        let angry = library.callback(kind(), |_| panic!("on purpose"));
        let angry = angry.expect("not too many");
        let call = AssertUnwindSafe(|| apply("apply", (&angry).into()));
        assert!(catch_unwind(call).is_err());
    }
    drop(nested);

    // What a closure returns is not believed, and what is gone is not called.
    let wrong = library
        .callback(kind(), |_| 1.5.into())
        .expect("not too many");
    let error = apply("apply", (&wrong).into()).expect_err("no int");
    assert!(error.to_string().contains("callback returned"), "{error}");
    let gone = Value::from(&wrong);
    drop(wrong);
    let error = apply("apply", gone).expect_err("it was dropped");
    assert!(error.to_string().contains("dropped"), "{error}");
}

#[test]
fn functions_that_the_library_returns_are_called() {
    let library = open(sample_path());
    let pointer = call(&library, "get_function", Type::Pointer, &[], &[]);
    let signature = Signature::new(Type::I32, [Type::I32]).expect("it can be passed");
    let twice = library.function_at(pointer.pointer().expect("a pointer"), signature);
    let twice = twice.expect("the worker runs");
    assert_eq!(twice.call(&[21.into()]).expect("it returns"), 42.into());
}

#[test]
fn a_crash_is_an_error_and_the_next_call_starts_anew() {
    let library = open(compile(&sample_source(), "crashing"));
    let function = |name, result, parameters: &[Type]| {
        let signature = Signature::new(result, parameters.to_vec()).expect("it can be passed");
        library.function(name, signature).expect("it is there")
    };
    let count = function("count", Type::I32, &[]);
    assert_eq!(count.call(&[]).expect("it returns"), 1.into());
    assert_eq!(count.call(&[]).expect("it returns"), 2.into());
    let of_first = {
        let get = function("get_function", Type::Pointer, &[]).call(&[]);
        let address = get.expect("it returns").pointer().expect("a pointer");
        let signature = Signature::new(Type::I32, [Type::I32]).expect("it can be passed");
        library.function_at(address, signature).expect("it runs")
    };

    let crash = function("crash", Type::Void, &[]);
    let leave = function("leave", Type::Void, &[Type::I32]);
    match crash.call(&[]) {
        Err(CallError::Failed(record)) => {
            assert_eq!(record.kind, ErrorKind::Crashed as i32);
            assert_eq!((record.signal, record.address), (libc::SIGSEGV, 16));
            assert!(record.text().contains("SIGSEGV"), "{}", record.text());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(count.call(&[]).expect("anew"), 1.into());
    match of_first.call(&[1.into()]) {
        Err(CallError::Failed(record)) => assert_eq!(record.kind, ErrorKind::Stale as i32),
        other => panic!("{other:?}"),
    }
    match leave.call(&[3.into()]) {
        Err(CallError::Failed(record)) => {
            assert_eq!((record.kind, record.status), (ErrorKind::Exited as i32, 3));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(count.call(&[]).expect("anew"), 1.into());
}

#[test]
fn what_cannot_be_called_is_told() {
    let library = open(sample_path());
    let signature = || Signature::new(Type::I32, [Type::I32]).expect("it can be passed");
    let error = library
        .function("fail", signature())
        .expect_err("not there");
    assert!(error.to_string().contains("is it fails"), "{error}");
    let function = library.function("other", signature()).expect("it is there");
    let error = function.call(&[]).expect_err("no argument");
    assert!(
        error.to_string().contains("takes 1 arguments, not 0"),
        "{error}"
    );
    let error = function.call(&[1.5.into()]).expect_err("no integer");
    assert!(error.to_string().contains("argument 1 of other"), "{error}");
    let error = Library::open("libnothing.so.9", &Options::default()).expect_err("not there");
    assert!(error.to_string().contains("is not in sysroot"), "{error}");
    let error = Library::open("/proc/self/exe", &Options::default()).expect_err("not aarch64");
    assert!(error.to_string().contains("not for aarch64"), "{error}");
}

#[test]
fn zlib_computes_a_checksum() {
    let library = open("libz.so.1");
    let text = library.share(b"123456789").expect("memory");
    let result = call(
        &library,
        "crc32",
        Type::U64,
        &[Type::U64, Type::Pointer, Type::U32],
        &[0.into(), (&text).into(), text.len().into()],
    );
    // The check value of this CRC.
    assert_eq!(result, 0xcbf4_3926u32.into());
}

#[test]
fn turbo_comes_on_when_there_is_work() {
    if environment::accelerator("turbo for calls").is_none() {
        return;
    }
    let wish = std::env::var("IOTDEC_ACCEL_MODE").unwrap_or_default();
    let library = open("libz.so.1");
    let takes = [Type::U64, Type::Pointer, Type::U32];
    let signature = Signature::new(Type::U64, takes).expect("a signature");
    let crc32 = library.function("crc32", signature).expect("zlib");
    let data: Vec<u8> = (0..4_000_000u32).map(|at| (at / 7) as u8).collect();
    let data = library.share(&data).expect("room");
    let sum = || crc32.call(&[0.into(), (&data).into(), data.len().into()]);
    let by_qemu = sum().expect("a sum");
    let state = || library.accelerator().expect("a worker");
    match &wish[..] {
        "off" => return assert_eq!(state(), (Acceleration::Off, 0)),
        "native" => return assert_eq!(state(), (Acceleration::Native, 0)),
        "turbo" => assert_eq!(state().0, Acceleration::Turbo),
        // Not for one call.
        _ => assert_eq!(state().0, Acceleration::Native),
    }
    let start = std::time::Instant::now();
    // Once at least for this thread, beyond what the accelerator tries out.
    let mut entries = None;
    while entries.is_none_or(|before| state().1 < before + 3) {
        assert!(start.elapsed().as_secs() < 60, "{:?}", state());
        assert_eq!(sum().expect("a sum"), by_qemu);
        if entries.is_none() && state().0 == Acceleration::Turbo {
            entries = Some(state().1);
        }
    }
    let check = library.share_string(c"123456789").expect("room");
    let sum = crc32.call(&[0.into(), (&check).into(), 9.into()]);
    assert_eq!(sum.expect("a sum"), Value::Integer(0xcbf4_3926));
}

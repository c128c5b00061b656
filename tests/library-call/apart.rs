//! Several libraries at once, with all that they have at the same addresses.

use super::{compile, open, place, root};
use iotdec_bridge::Library;
use iotdec_bridge::dynamic::{Options, Signature, Type, Value};
use std::path::PathBuf;

/// Two workers that would have everything at the same addresses.
#[test]
fn libraries_of_two_workers_are_told_apart() {
    let twin = |name: &str| {
        let source = place().join(format!("{name}.c"));
        let text = std::fs::read_to_string(root().join("tests/library-call/twin.c"));
        let text = text.expect("it is there");
        std::fs::write(&source, format!("#define NAME {name:?}\n{text}")).expect("room");
        open(compile(&source, name))
    };
    let twins = ["left-one", "right-one"].map(|name| (name, twin(name)));
    let function = |library: &Library, name: &str, result: Type, takes: Vec<Type>| {
        let signature = Signature::new(result, takes).expect("a signature");
        library.function(name, signature).expect("it is exported")
    };
    let mut seen = Vec::new();
    for round in 1..=3 {
        for (name, library) in &twins {
            let by = if *name == "left-one" { 1 } else { 100 };
            let who = function(library, "name", Type::Pointer, vec![]);
            let bump = function(library, "bump", Type::Pointer, vec![Type::I32]);
            let text = who.call(&[]).expect("a name").pointer().expect("it");
            let read = library.read_string(text).expect("a constant is seen");
            assert_eq!(read.to_str(), Ok(*name));
            let count = bump.call(&[by.into()]).expect("a count");
            let count = library.read::<i32>(count.pointer().expect("it"), 1);
            assert_eq!(count.expect("a variable is seen"), [by * round]);
            seen.push(text);
        }
    }
    assert_ne!(seen[0], seen[1]);
    // A constant of the one is nothing for the other.
    let length = function(&twins[1].1, "length", Type::U64, vec![Type::Pointer]);
    let result = length.call(&[Value::Pointer(seen[0])]);
    let error = result.expect_err("there is nothing in this worker");
    assert!(error.to_string().contains("SIGSEGV"), "{error}");
}

/// The C libraries of both are at the same addresses.
#[test]
fn libraries_of_two_systems_are_told_apart() {
    iotdec_tests::fetch::libraries();
    let systems = [None, Some(PathBuf::from("libraries"))];
    let libraries = systems.map(|sysroot| {
        let options = Options {
            sysroot,
            ..Options::default()
        };
        Library::open("libz.so.1", &options).unwrap_or_else(|error| panic!("{error}"))
    });
    for library in &libraries {
        for (name, code, text) in [
            ("zError", -3, "data error"),
            ("strerror", 2, "No such file"),
        ] {
            let signature = Signature::new(Type::Pointer, [Type::I32]).expect("a signature");
            let function = library.function(name, signature).expect("it is exported");
            // Another test of this process may crash the worker that they have in common.
            let address = function.call(&[code.into()]);
            let address = address.or_else(|_| function.call(&[code.into()]));
            let address = address.expect("text");
            // What cannot be seen is refused; what can is right.
            match library.read_string(address.pointer().expect("a pointer")) {
                Ok(read) => assert!(read.to_string_lossy().starts_with(text), "{read:?}"),
                Err(error) => assert_eq!(name, "strerror", "{error}"),
            }
        }
    }
}

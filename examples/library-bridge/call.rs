//! Calls the question's function of an aarch64 library, without generating or compiling
//! anything: `library-call LIBRARY`. The same on the command line:
//! `iotdec call LIBRARY 'uint32_t so_lib_function_a(uint32_t c[2])' '[20,1]'`

use iotdec_bridge::Library;
use iotdec_bridge::dynamic::{CallError, Options, Signature, Type, Value};
use std::process::ExitCode;

fn run(path: &str) -> Result<(), CallError> {
    let library = Library::open(path, &Options::default())?;
    let signature = Signature::new(Type::U32, [Type::Pointer])?;
    let function = library.function("so_lib_function_a", signature)?;

    // What a pointer points to lies in memory that the library sees, too.
    let numbers = library.share(&[20u32, 1])?;
    let result = function.call(&[Value::from(&numbers)])?;
    if let Value::Integer(result) = result {
        println!("{result}, {:?}", numbers.read());
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: library-call LIBRARY");
        return ExitCode::FAILURE;
    };
    // A crash of the library is an error like any other.
    match run(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

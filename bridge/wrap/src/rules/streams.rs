//! Streams of the C library: `FILE *`. The other side cannot use one, so the library gets a
//! stream of its own, whose reads and writes the program does: `iotdec_streams.h`.

use super::Whose;
use crate::model::{Parameter, Signature, Type, Value};

/// Whether it is a `FILE *`.
pub(super) fn is_stream(kind: &Type) -> bool {
    kind.pointed_record() == Some("_IO_FILE")
}

/// Whether it is the program that gives it to the library.
pub(super) fn can_cross(whose: Whose) -> bool {
    whose.table == "function"
}

/// What the library calls to read, write, seek and close.
pub(super) fn operation() -> Signature {
    let value = |spelling: &str, kind| Value {
        spelling: spelling.into(),
        is_const: false,
        is_restrict: false,
        is_nullable: None,
        typedef: None,
        kind,
    };
    let long = || {
        value(
            "long",
            Type::Integer {
                size: 8,
                signed: true,
            },
        )
    };
    let parameter = |name: &str, value| Parameter {
        name: name.into(),
        value,
        is_array: false,
        elements: None,
        is_nonnull: false,
    };
    let memory = || value("void *", Type::Pointer(Box::new(value("void", Type::Void))));
    Signature {
        result: long(),
        parameters: vec![
            parameter("stream", memory()),
            parameter(
                "operation",
                value(
                    "int",
                    Type::Integer {
                        size: 4,
                        signed: true,
                    },
                ),
            ),
            parameter("memory", memory()),
            parameter("number", long()),
        ],
        variadic: false,
        prototype: true,
    }
}

//! Functions of every shape, against the compiler: what they are called with and return, and
//! what they call back with. Signatures are drawn by lot, the same ones each time.

use super::{compile, open, place};
use iotdec_bridge::dynamic::{Memory, Signature, Type, Value};
use iotdec_tests::environment::is_full;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

/// xorshift64*
struct Lot(u64);

impl Lot {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn scalar(&mut self) -> Type {
        use Type::*;
        let all = [
            Bool, I8, U8, I16, U16, I32, U32, I64, U64, F32, F64, Pointer,
        ];
        all[self.below(all.len())].clone()
    }

    fn field(&mut self, depth: usize) -> Type {
        match self.below(8) {
            0 if depth < 2 => self.structure(depth + 1),
            1 => Type::Array(Box::new(self.scalar()), 1 + self.below(4)),
            _ => self.scalar(),
        }
    }

    /// Often with floating point alone: that is passed in another way.
    fn structure(&mut self, depth: usize) -> Type {
        let count = 1 + self.below(5);
        if self.below(3) == 0 {
            let kind = [Type::F32, Type::F64][self.below(2)].clone();
            return Type::Struct(vec![kind; count]);
        }
        Type::Struct((0..count).map(|_| self.field(depth)).collect())
    }

    fn parameter(&mut self) -> Type {
        match self.below(3) {
            0 => self.structure(0),
            _ => self.scalar(),
        }
    }

    fn value(&mut self, kind: &Type) -> Value {
        match kind {
            Type::Void => Value::Void,
            Type::Bool => Value::Integer(self.below(2) as i128),
            Type::F32 | Type::F64 => Value::Float(self.below(1 << 20) as f64 / 8.0 - 1000.0),
            Type::Pointer => Value::Pointer(self.next()),
            Type::Struct(fields) => {
                Value::List(fields.iter().map(|field| self.value(field)).collect())
            }
            Type::Array(element, count) => {
                Value::List((0..*count).map(|_| self.value(element)).collect())
            }
            integer => {
                let bytes = (self.next() << 20 ^ self.next()).to_le_bytes();
                Value::from_bytes(integer, &bytes).expect("enough bytes")
            }
        }
    }
}

/// A type's name in C; structs are declared in `text`.
fn name(kind: &Type, text: &mut String, structs: &mut usize) -> String {
    match kind {
        Type::Void => "void".into(),
        Type::Bool => "_Bool".into(),
        Type::I8 => "int8_t".into(),
        Type::U8 => "uint8_t".into(),
        Type::I16 => "int16_t".into(),
        Type::U16 => "uint16_t".into(),
        Type::I32 => "int32_t".into(),
        Type::U32 => "uint32_t".into(),
        Type::I64 => "int64_t".into(),
        Type::U64 => "uint64_t".into(),
        Type::F32 => "float".into(),
        Type::F64 => "double".into(),
        Type::Pointer => "void *".into(),
        Type::Struct(fields) => {
            let mut inside = String::new();
            for (number, field) in fields.iter().enumerate() {
                let (field, many) = match field {
                    Type::Array(element, count) => (&**element, format!("[{count}]")),
                    field => (field, String::new()),
                };
                let field = name(field, text, structs);
                write!(inside, "{field} f{number}{many}; ").expect("a string");
            }
            *structs += 1;
            writeln!(text, "struct s{structs} {{ {inside}}};").expect("a string");
            format!("struct s{structs}")
        }
        Type::Array(..) => unreachable!("only in structs"),
    }
}

/// Bytes that each value has for itself in `arguments` and `seen`.
const ROOM: usize = 1024;

/// `void set(void *arguments, void *result)`; of each function `R fN(T...)`, which stores
/// what it was called with and returns what it is told to, and `void cN(R (*)(T...))`, which
/// calls with what it is told to and stores what that returns.
fn source(functions: &[(Type, Vec<Type>)]) -> String {
    let mut text = "#include <stdint.h>\n#include <string.h>\n\
        static char *arguments, *result;\n\
        void set(void *a, void *r) { arguments = a; result = r; }\n"
        .to_owned();
    let mut structs = 0;
    for (number, (result, parameters)) in functions.iter().enumerate() {
        let result = name(result, &mut text, &mut structs);
        let kinds: Vec<_> = parameters
            .iter()
            .map(|kind| name(kind, &mut text, &mut structs))
            .collect();
        let (mut declared, mut stored, mut loaded) = (vec![], String::new(), String::new());
        for (index, kind) in kinds.iter().enumerate() {
            let at = index * ROOM;
            declared.push(format!("{kind} a{index}"));
            write!(
                stored,
                "memcpy(arguments + {at}, &a{index}, sizeof a{index}); "
            )
            .expect("text");
            write!(
                loaded,
                "{kind} a{index}; memcpy(&a{index}, arguments + {at}, sizeof a{index}); "
            )
            .expect("text");
        }
        let declared = match declared.is_empty() {
            true => "void".to_owned(),
            false => declared.join(", "),
        };
        let names: Vec<_> = (0..kinds.len()).map(|index| format!("a{index}")).collect();
        let names = names.join(", ");
        let (give, take) = match &result[..] {
            "void" => (String::new(), format!("f({names});")),
            _ => (
                format!("{result} r; memcpy(&r, result, sizeof r); return r;"),
                format!("{result} r = f({names}); memcpy(result, &r, sizeof r);"),
            ),
        };
        writeln!(text, "{result} f{number}({declared}) {{ {stored}{give} }}").expect("text");
        writeln!(
            text,
            "void c{number}({result} (*f)({declared})) {{ {loaded}{take} }}"
        )
        .expect("text");
    }
    text
}

/// Puts each value where the C code has it.
fn lay_out(values: &[Value], kinds: &[Type], to: &Memory<u8>) {
    let mut bytes = vec![0xa5; to.len()];
    for (index, (value, kind)) in values.iter().zip(kinds).enumerate() {
        let value = value.to_bytes(kind).expect("of this type");
        bytes[index * ROOM..][..value.len()].copy_from_slice(&value);
    }
    to.write(&bytes);
}

fn found(kinds: &[Type], from: &Memory<u8>) -> Vec<Value> {
    let bytes = from.read();
    let values = kinds.iter().enumerate();
    let values = values.map(|(index, kind)| Value::from_bytes(kind, &bytes[index * ROOM..]));
    values.map(|value| value.expect("enough bytes")).collect()
}

#[test]
fn values_are_passed_as_the_compiler_passes_them() {
    const MOST: usize = 14;
    let mut lot = Lot(0x9e37_79b9_7f4a_7c15);
    let count = if is_full() { 400 } else { 120 };
    let functions: Vec<_> = (0..count)
        .map(|_| {
            let result = match lot.below(6) {
                0 => Type::Void,
                1 | 2 => lot.scalar(),
                _ => lot.structure(0),
            };
            let parameters = (0..lot.below(MOST + 1)).map(|_| lot.parameter()).collect();
            (result, parameters)
        })
        .collect();
    let file = place().join("passing.c");
    std::fs::write(&file, source(&functions)).expect("room");
    let library = open(compile(&file, "passing"));
    let arguments = library.allocate::<u8>(MOST * ROOM).expect("memory");
    let result = library.allocate::<u8>(ROOM).expect("memory");
    let pointers = [Type::Pointer, Type::Pointer];
    let signature = Signature::new(Type::Void, pointers).expect("it can be passed");
    let set = library.function("set", signature).expect("it is there");
    set.call(&[(&arguments).into(), (&result).into()])
        .expect("it returns");

    for (number, (kind, kinds)) in functions.iter().enumerate() {
        let what = format!("function {number}: {kind:?} of {kinds:?}");
        let signature = Signature::new(kind.clone(), kinds.clone()).expect("it can be passed");
        let values: Vec<_> = kinds.iter().map(|kind| lot.value(kind)).collect();
        let returned = lot.value(kind);
        arguments.write(&vec![0; arguments.len()]);
        lay_out(
            std::slice::from_ref(&returned),
            std::slice::from_ref(kind),
            &result,
        );
        let function = library.function(&format!("f{number}"), signature.clone());
        let function = function.expect("it is there");
        let back = function.call(&values).expect("it returns");
        assert_eq!(found(kinds, &arguments), values, "{what}");
        assert_eq!(back, returned, "{what}");

        // The other way round.
        lay_out(&values, kinds, &arguments);
        result.write(&vec![0; ROOM]);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (to, answer) = (seen.clone(), returned.clone());
        let callback = library.callback(signature, move |values| {
            *to.lock().expect("no panic") = values.to_vec();
            answer.clone()
        });
        let callback = callback.expect("not too many");
        let signature = Signature::new(Type::Void, [Type::Pointer]).expect("it can be passed");
        let function = library.function(&format!("c{number}"), signature);
        let called = function.expect("it is there").call(&[(&callback).into()]);
        called.expect("it returns");
        assert_eq!(*seen.lock().expect("no panic"), values, "{what}");
        let back = found(std::slice::from_ref(kind), &result);
        assert_eq!(back, [returned], "{what}");
    }
}

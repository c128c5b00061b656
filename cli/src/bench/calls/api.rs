//! The contender `api`: calls without generated code.

use super::contender::{BYTES, Calls};
use super::sample::tick;
use crate::failure::Failure;
use iotdec_bridge::Wish;
use iotdec_bridge::dynamic::{
    CallError, Callback, Function, Library, Memory, Options, Signature, Type, Value,
};
use std::path::Path;

/// The functions, and memory for what they are passed pointers to.
pub struct Api {
    empty: Function,
    two: Function,
    block: Function,
    bytes: Function,
    back: Function,
    question: Function,
    tick: Callback,
    data: Memory<u8>,
    numbers: Memory<u32>,
}

impl Api {
    /// Loads the library.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self::try_open(path)?)
    }

    fn try_open(path: &Path) -> Result<Self, CallError> {
        let options = Options {
            accel: Some(Wish::Off),
            ..Options::default()
        };
        let library = Library::open(path, &options)?;
        let function = |name: &str, result: Type, parameters: &[Type]| {
            let signature = Signature::new(result, parameters.iter().cloned())?;
            library.function(name, signature)
        };
        let block = Type::Struct(vec![Type::Array(Box::new(Type::U64), 8)]);
        let signature = Signature::new(Type::I32, [Type::I32])?;
        Ok(Self {
            empty: function("calls_empty", Type::Void, &[])?,
            two: function("calls_two", Type::I32, &[Type::I32, Type::I32])?,
            block: function("calls_block", block.clone(), &[block])?,
            bytes: function("calls_bytes", Type::Void, &[Type::Pointer, Type::U64])?,
            back: function("calls_back", Type::I32, &[Type::Pointer, Type::I32])?,
            question: function("so_lib_function_a", Type::U32, &[Type::Pointer])?,
            tick: library.callback(signature, |arguments| {
                let number = arguments.first().and_then(Value::integer).unwrap_or(0);
                tick(number as i32).into()
            })?,
            data: library.allocate(BYTES)?,
            numbers: library.allocate(2)?,
        })
    }
}

fn integer(value: &Value) -> i128 {
    value.integer().unwrap_or_default()
}

impl Calls for Api {
    fn empty(&mut self) -> Result<(), Failure> {
        self.empty.call(&[])?;
        Ok(())
    }

    fn two(&mut self, a: i32, b: i32) -> Result<i32, Failure> {
        let result = self.two.call(&[a.into(), b.into()])?;
        Ok(integer(&result) as i32)
    }

    fn block(&mut self, block: [u64; 8]) -> Result<[u64; 8], Failure> {
        let words = block.map(Value::from).to_vec();
        let argument = Value::List(vec![Value::List(words)]);
        let result = self.block.call(&[argument])?;
        let words = result.list().and_then(|fields| fields.first()?.list());
        let mut words = words.unwrap_or_default().iter();
        Ok(block.map(|_| words.next().map_or(0, integer) as u64))
    }

    fn bytes(&mut self, data: &mut [u8; BYTES]) -> Result<(), Failure> {
        self.data.write(data);
        let arguments = [Value::from(&self.data), BYTES.into()];
        self.bytes.call(&arguments)?;
        data.copy_from_slice(&self.data.read());
        Ok(())
    }

    fn back(&mut self, count: i32) -> Result<i32, Failure> {
        let arguments = [Value::from(&self.tick), count.into()];
        let result = self.back.call(&arguments)?;
        Ok(integer(&result) as i32)
    }

    fn question(&mut self, numbers: &mut [u32; 2]) -> Result<u32, Failure> {
        self.numbers.write(numbers);
        let arguments = [Value::from(&self.numbers)];
        let result = self.question.call(&arguments)?;
        numbers.copy_from_slice(&self.numbers.read());
        Ok(integer(&result) as u32)
    }
}

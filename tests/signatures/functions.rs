//! Functions, drawn by lot.

use super::types::{Kind, Types};
use iotdec_tests::random::Random;

/// How memory behind a pointer is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The function reads it.
    In,
    /// It writes it.
    Out,
    /// Both.
    Inout,
}

/// A parameter of a library's function.
#[derive(Clone, Debug)]
pub enum Parameter {
    /// A value.
    Value(Kind),
    /// A pointer to one element, or a null pointer.
    One { kind: Kind, way: Way, null: bool },
    /// `T name[count]`
    Array { kind: Kind, count: usize, way: Way },
    /// A pointer, and a parameter that says to how many.
    Counted { kind: Kind, count: usize, way: Way },
    /// A buffer, and a pointer to how much may be and is written.
    Written { size: usize },
    /// A string, or a null pointer.
    Text { null: bool },
    /// An object of the library.
    Object,
    /// A function of the program and data of its own.
    Callback(usize),
    /// A struct with a function in it.
    Hooks { hooks: usize, way: Option<Way> },
}

/// What a library's function returns.
#[derive(Clone, Debug)]
pub enum Returned {
    Nothing,
    Value(Kind),
    /// A string of the library.
    Text,
    /// A pointer to memory of the library.
    Memory(Kind),
    Object,
    /// A function of the library.
    Function(usize),
    /// The function that parameter so-and-so points at.
    Same {
        parameter: usize,
        signature: usize,
    },
}

/// A function of the library.
#[derive(Clone, Debug)]
pub struct Function {
    pub parameters: Vec<Parameter>,
    pub returned: Returned,
}

/// A parameter of a function that is called by its address.
#[derive(Clone, Copy, Debug)]
pub enum Passed {
    Value(Kind),
    Text,
    /// Whatever the program gave with the function.
    Data,
    /// A pointer to memory of the library.
    Memory(Kind, Way),
    /// A function of the library.
    Function(usize),
}

/// The type of functions that are called by their addresses.
#[derive(Clone, Debug)]
pub struct Signature {
    pub parameters: Vec<Passed>,
    pub result: Option<Kind>,
}

impl Signature {
    /// Whether functions of the library can be called like this.
    pub fn is_both_ways(&self) -> bool {
        let both = |it: &Passed| matches!(it, Passed::Value(_) | Passed::Text);
        self.parameters.iter().all(both)
    }
}

/// A struct with a function in it, between two other things.
#[derive(Clone, Debug)]
pub struct Hooks {
    pub before: Kind,
    pub signature: usize,
    pub after: Kind,
}

/// What one header has.
#[derive(Debug)]
pub struct Batch {
    pub types: Types,
    pub signatures: Vec<Signature>,
    pub hooks: Vec<Hooks>,
    pub functions: Vec<Function>,
}

impl Batch {
    /// A batch with so many functions.
    pub fn draw(seed: u64, count: usize) -> Self {
        let lot = &mut Random(seed);
        let types = Types::new(lot);
        let mut batch = Self {
            types,
            signatures: Vec::new(),
            hooks: Vec::new(),
            functions: Vec::new(),
        };
        for _ in 0..count {
            let function = batch.draw_function(lot);
            batch.functions.push(function);
        }
        batch
    }

    /// Function types of the batch, besides the functions themselves.
    pub fn signatures_both_ways(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.signatures.len()).filter(|number| self.signatures[*number].is_both_ways())
    }

    fn draw_function(&mut self, lot: &mut Random) -> Function {
        let count = match lot.below(8) {
            0 => 8 + lot.below(7),
            _ => lot.below(8),
        };
        let parameters: Vec<_> = (0..count).map(|_| self.draw_parameter(lot)).collect();
        let returned = self.draw_returned(lot, &parameters);
        Function {
            parameters,
            returned,
        }
    }

    fn draw_parameter(&mut self, lot: &mut Random) -> Parameter {
        let way = [Way::In, Way::Out, Way::Inout][lot.below(3)];
        let null = lot.below(5) == 0;
        let count = 1 + lot.below(9);
        match lot.below(20) {
            0..10 => Parameter::Value(self.types.any(lot)),
            10 | 11 => Parameter::One {
                kind: self.types.any(lot),
                way,
                null,
            },
            12 => Parameter::Array {
                kind: self.types.any(lot),
                count,
                way,
            },
            13 => Parameter::Counted {
                kind: self.types.any(lot),
                count,
                way,
            },
            14 => Parameter::Written {
                size: 1 + lot.below(300),
            },
            15 => Parameter::Text { null },
            16 => Parameter::Object,
            17 | 18 => Parameter::Callback(self.draw_signature(lot, false)),
            _ => {
                let signature = self.draw_signature(lot, true);
                self.hooks.push(Hooks {
                    before: self.types.any(lot),
                    signature,
                    after: self.types.any(lot),
                });
                Parameter::Hooks {
                    hooks: self.hooks.len() - 1,
                    way: [None, Some(Way::In), Some(Way::Inout)][lot.below(3)],
                }
            }
        }
    }

    fn draw_returned(&mut self, lot: &mut Random, parameters: &[Parameter]) -> Returned {
        let callback = parameters
            .iter()
            .enumerate()
            .find_map(|(index, it)| match it {
                Parameter::Callback(signature) => Some((index, *signature)),
                _ => None,
            });
        match (lot.below(16), callback) {
            (0..3, Some((parameter, signature))) => Returned::Same {
                parameter,
                signature,
            },
            (0 | 1, _) => Returned::Nothing,
            (2, _) => Returned::Text,
            (3, _) => Returned::Memory(self.types.any(lot)),
            (4, _) => Returned::Object,
            (5 | 6, _) => Returned::Function(self.draw_signature(lot, true)),
            _ => Returned::Value(self.types.any(lot)),
        }
    }

    /// A type of functions, sometimes one that there is already.
    fn draw_signature(&mut self, lot: &mut Random, both_ways: bool) -> usize {
        if lot.below(4) == 0
            && let Some(known) = self.signatures_both_ways().last()
        {
            return known;
        }
        let count = match lot.below(6) {
            0 => 8 + lot.below(4),
            _ => lot.below(6),
        };
        let parameters = (0..count)
            .map(|_| self.draw_passed(lot, both_ways))
            .collect();
        let result = (lot.below(5) > 0).then(|| self.types.any(lot));
        self.signatures.push(Signature { parameters, result });
        self.signatures.len() - 1
    }

    fn draw_passed(&mut self, lot: &mut Random, both_ways: bool) -> Passed {
        match lot.below(if both_ways { 7 } else { 12 }) {
            0..6 => Passed::Value(self.types.any(lot)),
            6 => Passed::Text,
            7 | 8 => {
                let way = [Way::In, Way::Inout][lot.below(2)];
                Passed::Memory(self.types.any(lot), way)
            }
            9 | 10 => Passed::Data,
            _ => match self.signatures_both_ways().last() {
                Some(known) => Passed::Function(known),
                None => Passed::Text,
            },
        }
    }
}

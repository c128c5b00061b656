//! How things cross, as it is decided.

use super::Variable;
use crate::notes::{Count, fits};
use std::collections::BTreeMap;

/// How a call crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The parameters, in their order.
    pub parameters: Vec<Crossing>,
    /// What it returns.
    pub result: Crossing,
    /// The result when the library is lost, if not zero.
    pub on_crash: Option<String>,
    /// For functions that take more than they declare.
    pub variable: Option<Box<Variable>>,
    /// Names and signatures of the functions that it looks up.
    pub procs: BTreeMap<String, usize>,
}

/// How one thing crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// There is nothing.
    Nothing,
    /// A number.
    Number,
    /// A struct or union by value, or a number of more than a register.
    Record,
    /// An integer that is wider on one side; the guest's C type.
    Resized(String),
    /// A struct by value that is converted, of [`Rules::repacked`](super::Rules::repacked).
    Repacked(String),
    /// A struct by value with pointers to functions in it: fields and signatures.
    RecordWith(Vec<(String, usize)>),
    /// A file descriptor, of which the other side gets a duplicate.
    Descriptor {
        /// It is not the other side's to close: a parameter's is closed when the function
        /// returns, a result's stays.
        is_lent: bool,
    },
    /// A pointer to where the function puts file descriptors, as if it returned them.
    Descriptors {
        /// They stay open in the library.
        is_lent: bool,
        /// How many there can be.
        count: Count,
        /// How many of those the function has set, if not all.
        back: Option<Count>,
    },
    /// A `FILE *`, which the library uses through functions of this signature.
    Stream(usize),
    /// A pointer, as it is.
    Value,
    /// A pointer to an object of the library, which must be of the worker that runs now.
    Handle,
    /// A pointer to an object of the library that begins with the address of a table of
    /// functions, by [`Rules::tables`](super::Rules::tables).
    Object(String),
    /// A pointer that must be to shared memory.
    Shared,
    /// A pointer to a function of this signature.
    Function(usize),
    /// A pointer to text that ends with a zero.
    Text,
    /// A pointer to strings: so many, or up to a null.
    Texts(Option<Count>),
    /// A pointer to memory that is copied.
    Data(Block),
}

/// Memory that is copied where it is not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The function reads it.
    pub reads: bool,
    /// The function writes it.
    pub writes: bool,
    /// How much it is.
    pub count: Count,
    /// How much of it the function writes, if not all.
    pub back: Option<Count>,
    /// The copy stays for ever.
    pub keeps: bool,
    /// The function moves the pointer on, where that is a field.
    pub moves: bool,
    /// It consists of pointers, and programs follow what the function puts there.
    pub follows: bool,
    /// What it consists of.
    pub element: Element,
}

/// What a [`Block`] consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// Bytes, which are the same on both sides.
    Bytes,
    /// Structs with pointers in them, by [`Rules::records`](super::Rules::records).
    Record(String),
    /// Structs that are converted, of [`Rules::repacked`](super::Rules::repacked).
    Repacked(String),
    /// Pointers to functions of this signature.
    Functions(usize),
    /// Pointers to objects that begin with the address of a table, by [`Rules::tables`](super::Rules::tables).
    Objects(String),
}

/// How a struct with pointers in it is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRule {
    /// The copy stays at its address.
    pub kept: bool,
    /// Functions in which the pointers count; patterns, all if there is none.
    pub only: Vec<String>,
    /// The pointers.
    pub fields: Vec<(String, Crossing)>,
}

impl RecordRule {
    /// Whether the pointers in it count in this function.
    pub fn counts_in(&self, function: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| fits(only, function))
    }
}

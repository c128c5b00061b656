//! Where arguments and results are, by the procedure call standard of aarch64 (AAPCS64, 6.8:
//! parameter passing), on Linux, where variable arguments are no exception. Rules are named
//! as there.

use super::types::Type;
use iotdec_wire::exchange::MAX_MESSAGE;
use iotdec_wire::registers::Registers;

/// Bytes of a message.
const LIMIT: usize = MAX_MESSAGE - 4096;
const HEAD: usize = size_of::<Registers>();
/// Registers for arguments, of either kind.
const REGISTERS: usize = 8;

/// Where the bytes of something are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// x`first` and the next ones, eight bytes in each.
    General { first: usize, count: usize },
    /// v`first` and the next ones, `each` bytes in each.
    Vector {
        first: usize,
        count: usize,
        each: usize,
    },
    /// On the stack, so many bytes from its top.
    Stack { offset: usize },
}

/// Where an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) place: Place,
    /// If that has a pointer to it: where in the message we put it.
    pub(super) copy: Option<usize>,
}

/// Where a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    Nowhere,
    Here(Place),
    /// Where x8 points to: in the message, there.
    Indirect(usize),
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) arguments: Vec<Argument>,
    /// Bytes on the stack, a multiple of 16.
    pub(super) stack: usize,
    pub(super) returned: Returned,
    /// Bytes of the message.
    pub(super) size: usize,
}

fn up(value: usize, to: usize) -> usize {
    value.next_multiple_of(to)
}

/// Next general and vector register, next stacked argument.
#[derive(Default)]
struct Next {
    general: usize,
    vector: usize,
    stack: usize,
}

impl Next {
    fn on_stack(&mut self, size: usize, alignment: usize) -> Place {
        let offset = up(self.stack, alignment.max(8));
        self.stack = offset + up(size, 8);
        Place::Stack { offset }
    }

    /// For something of at most 16 bytes, or homogeneous.
    fn place(&mut self, kind: &Type) -> Place {
        let (size, alignment) = (kind.size(), kind.alignment());
        if let Some((each, count)) = kind.homogeneous().filter(|(_, count)| *count <= 4) {
            // C.1, C.2
            if self.vector + count <= REGISTERS {
                let first = self.vector;
                self.vector += count;
                return Place::Vector { first, count, each };
            }
            // C.3 to C.6
            self.vector = REGISTERS;
            return self.on_stack(size, alignment);
        }
        // C.9 and C.12; C.10 is about alignments of 16, which nothing here has.
        let count = size.div_ceil(8);
        if self.general + count <= REGISTERS {
            let first = self.general;
            self.general += count;
            return Place::General { first, count };
        }
        // C.13 to C.17
        self.general = REGISTERS;
        self.on_stack(size, alignment)
    }
}

/// Whether it is passed by the address of a copy: B.4.
fn by_reference(kind: &Type) -> bool {
    let few = kind.homogeneous().is_some_and(|(_, count)| count <= 4);
    kind.size() > 16 && !few
}

/// Where arguments and result of a function are; none if they are too large.
pub(super) fn assign(result: &Type, parameters: &[Type]) -> Option<Assignment> {
    let total = parameters.iter().chain([result]);
    let sizes = total.map(|kind| kind.size().saturating_add(32));
    if sizes.fold(HEAD, usize::saturating_add) > LIMIT {
        return None;
    }
    let mut next = Next::default();
    let mut copied = Vec::new();
    let mut arguments: Vec<_> = parameters
        .iter()
        .map(|kind| {
            let is_copied = by_reference(kind);
            copied.push(is_copied);
            Argument {
                place: next.place(if is_copied { &Type::Pointer } else { kind }),
                copy: None,
            }
        })
        .collect();
    let stack = up(next.stack, 16);
    let mut size = HEAD + stack;
    for ((argument, kind), is_copied) in arguments.iter_mut().zip(parameters).zip(copied) {
        if is_copied {
            argument.copy = Some(size);
            size += up(kind.size(), 16);
        }
    }
    let returned = match result {
        Type::Void => Returned::Nowhere,
        large if by_reference(large) => {
            let at = size;
            size += up(large.size(), 16);
            Returned::Indirect(at)
        }
        // As if it were the only argument.
        other => Returned::Here(Next::default().place(other)),
    };
    Some(Assignment {
        arguments,
        stack,
        returned,
        size,
    })
}

/// Bytes as a little-endian number; those that are missing are zero.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Puts something into registers or onto the stack.
pub(super) fn put(registers: &mut Registers, stack: &mut [u8], place: Place, bytes: &[u8]) {
    match place {
        Place::General { first, count } => {
            let to = &mut registers.general[first..first + count];
            for (register, bytes) in to.iter_mut().zip(bytes.chunks(8)) {
                *register = word(bytes);
            }
        }
        Place::Vector { first, count, each } => {
            let to = &mut registers.vector[first..first + count];
            for (register, bytes) in to.iter_mut().zip(bytes.chunks(each)) {
                *register = [word(bytes), 0];
            }
        }
        Place::Stack { offset } => stack[offset..offset + bytes.len()].copy_from_slice(bytes),
    }
}

/// Takes so many bytes from where they are.
pub(super) fn get(registers: &Registers, stack: &[u8], place: Place, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    match place {
        Place::General { first, count } => {
            let from = &registers.general[first..first + count];
            bytes.extend(from.iter().flat_map(|register| register.to_le_bytes()));
        }
        Place::Vector { first, count, each } => {
            for register in &registers.vector[first..first + count] {
                bytes.extend(&register[0].to_le_bytes()[..each]);
            }
        }
        Place::Stack { offset } => bytes.extend(&stack[offset..offset + size]),
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(parameters: &[Type]) -> Vec<Place> {
        let assignment = assign(&Type::Void, parameters).expect("small");
        assignment.arguments.iter().map(|it| it.place).collect()
    }

    #[test]
    fn a_struct_is_not_split_and_nothing_comes_back_into_registers() {
        let two = Type::Struct(vec![Type::U64, Type::U32]);
        let mut parameters = vec![Type::I32; 7];
        parameters.extend([two, Type::I32]);
        let all = places(&parameters);
        assert_eq!(all[6], Place::General { first: 6, count: 1 });
        assert_eq!(all[7..], [0, 16].map(|offset| Place::Stack { offset }));
    }

    #[test]
    fn floating_point_has_registers_of_its_own() {
        let four = Type::Struct(vec![Type::F32; 4]);
        let kinds = [Type::U8, four.clone(), Type::F64, four, Type::F32, Type::U8];
        let vector = |first, count, each| Place::Vector { first, count, each };
        let all = places(&kinds);
        assert_eq!(all[1..3], [vector(0, 4, 4), vector(4, 1, 8)]);
        assert_eq!(
            all[3..5],
            [0, 16].map(|offset| Place::Stack { offset }),
            "what does not fit uses them up"
        );
        assert_eq!(all[5], Place::General { first: 1, count: 1 });
    }

    #[test]
    fn large_structs_are_copied() {
        let large = Type::Struct(vec![Type::Array(Box::new(Type::U8), 17)]);
        let assignment = assign(&large, &[large.clone(), Type::U8]).expect("small");
        let first = assignment.arguments[0];
        assert_eq!(first.place, Place::General { first: 0, count: 1 });
        assert_eq!(first.copy, Some(HEAD));
        assert_eq!(assignment.returned, Returned::Indirect(HEAD + 32));
        assert_eq!(assignment.size, HEAD + 64);
    }
}

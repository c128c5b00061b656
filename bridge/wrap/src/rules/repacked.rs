//! Structs that are laid out differently on the two sides, and are converted field by
//! field: by value, and behind pointers that functions take.

use super::{Crossing, Decider, Element};
use crate::abi::Verdict;
use crate::model::{Header, Place, Type, Value};

impl Crossing {
    /// Whether what crosses is converted.
    pub fn converts(&self) -> bool {
        match self {
            Self::Repacked(_) => true,
            Self::Data(block) => matches!(block.element, Element::Repacked(_)),
            _ => false,
        }
    }
}

impl Decider<'_> {
    /// Whether a struct consists of the same fields on both sides, which lie differently.
    pub(super) fn is_repacked(&self, tag: &str) -> bool {
        matches!(self.abi.record(tag).verdict, Verdict::Repacked(_))
    }

    /// The struct that this is, or is a pointer to, if that has to be converted.
    pub(super) fn repacked_in<'a>(&self, kind: &'a Type) -> Option<&'a str> {
        let tag = match kind {
            Type::Record(tag) => tag,
            kind => kind.pointed_record()?,
        };
        self.is_repacked(tag).then_some(tag)
    }

    /// How a pointer crosses with which the library calls a function of the program's: to one
    /// struct, as nothing there says to how many.
    pub(super) fn repacked_inward(&mut self, value: &Value) -> Option<Result<Crossing, String>> {
        let tag = self.repacked_in(&value.kind)?.to_owned();
        Some(self.repack(&tag).map(|()| match value.kind.pointee() {
            None => Crossing::Repacked(tag),
            Some(to) => Crossing::Data(super::Block {
                reads: true,
                writes: !to.is_const,
                count: super::pointers::one(),
                back: None,
                keeps: false,
                moves: false,
                follows: false,
                element: Element::Repacked(tag),
            }),
        }))
    }

    /// Takes note that a struct is to be converted, or says why it cannot be.
    pub(super) fn repack(&mut self, tag: &str) -> Result<(), String> {
        if self.rules.repacked.contains(tag) {
            return Ok(());
        }
        let spelling = &self.guest.records[tag].spelling;
        if !self.guest.records[tag].is_named {
            return Err(format!(
                "{spelling} is laid out differently, and has no name to convert it by"
            ));
        }
        self.convertible(tag)?;
        self.rules.repacked.insert(tag.to_owned());
        Ok(())
    }

    /// Whether all that is in a struct can be converted.
    fn convertible(&mut self, tag: &str) -> Result<(), String> {
        let (guest, host) = (self.guest, self.host);
        let fields: Vec<_> = self.abi.field_pairs(tag, tag);
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(of_guest, of_host, at)| (of_guest.clone(), of_host.clone(), at))
            .collect();
        for (of_guest, of_host, at) in fields {
            let place = format!("{} ({})", at.path, at.place);
            if is_macro(guest, &of_guest.name) || is_macro(host, &of_guest.name) {
                return Err(format!(
                    "{place}: a macro has its name, and it has to be converted"
                ));
            }
            if of_guest.bits != of_host.bits {
                return Err(format!("{place}: it has more bits on one side"));
            }
            self.convertible_field(tag, &of_guest.name, &of_guest.value, &of_host.value)
                .map_err(|why| match why.contains("[struct.") {
                    true => why,
                    false => format!("{place}: {why}"),
                })?;
        }
        Ok(())
    }

    fn convertible_field(
        &mut self,
        tag: &str,
        name: &str,
        guest: &Value,
        host: &Value,
    ) -> Result<(), String> {
        match (&guest.kind, &host.kind) {
            (Type::Record(inner), _) if self.is_repacked(inner) => self.convertible(inner),
            (Type::Array { element: a, .. }, Type::Array { element: b, .. }) => {
                self.convertible_field(tag, name, a, b)
            }
            (Type::Pointer(to), _) if matches!(to.kind, Type::Function(_)) => {
                match self.noted_field(tag, name, guest) {
                    Some(crate::notes::Pass::Value) => Ok(()),
                    _ => Err(format!(
                        "a function, in a struct that is laid out differently; if nobody ever \
                         calls it, say in wrap.toml: [struct.{tag}] {name} = \"value\""
                    )),
                }
            }
            _ => match self.field(tag, name, guest)? {
                None => Ok(()),
                Some(_) => Err(format!(
                    "a pointer to data, in a struct that is laid out differently; say in \
                     wrap.toml: [struct.{tag}] {name} = \"value\", and have it point to shared memory"
                )),
            },
        }
    }

    /// What a type differs in, as a refusal says it.
    pub(super) fn difference(&self, kind: &Type) -> String {
        let comparison = self.abi.kinds(kind, kind, &Place::default());
        match comparison.verdict {
            Verdict::Repacked(changes) => format!(
                "{} is laid out differently: {}",
                changes[0].what, changes[0].difference
            ),
            _ => "it is laid out differently".into(),
        }
    }
}

/// How an integer crosses that has another size on the host.
pub(super) fn resized(guest: &Type, host: Option<&Type>) -> Option<Crossing> {
    let size = guest.integer_size()?;
    let is_wide = |size: usize| size > 8;
    let other = host?.integer_size().filter(|other| *other != size)?;
    (!is_wide(size) && !is_wide(other)).then(|| Crossing::Resized(integer_type(guest)))
}

/// The C type of the guest's integer.
pub(crate) fn integer_type(kind: &Type) -> String {
    let bits = 8 * kind.integer_size().unwrap_or(8);
    match kind {
        Type::Integer { signed: true, .. } | Type::Enum { signed: true, .. } => {
            format!("int{bits}_t")
        }
        _ => format!("uint{bits}_t"),
    }
}

/// What is also a macro cannot be named.
fn is_macro(header: &Header, name: &str) -> bool {
    header.macros.contains_key(name)
}

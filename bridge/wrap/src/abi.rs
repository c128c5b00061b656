//! Compares what crosses between the two targets: whether it is the same bytes with the
//! same meaning on both.
//!
//! How arguments are passed is for the two compilers to know; what they pass, and what
//! pointers lead to, has to mean the same on both sides. docs/abi.md says what is
//! compared.

mod layout;
pub mod passing;
mod verdict;

use crate::model::{Float, Header, Place, Record, Signature, Type, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use verdict::At;

pub(crate) use layout::is_bound;

pub use verdict::{Call, Change, Comparison, Refusal, Verdict};

/// The same headers, as two targets read them.
#[derive(Debug)]
pub struct Abi<'a> {
    guest: &'a Header,
    host: &'a Header,
    /// By the names on both sides: what became of records.
    records: RefCell<BTreeMap<(String, String), Verdict>>,
    /// Patterns of the names of those of which only addresses cross.
    handles: &'a [String],
    /// Whether somebody else decides on functions that are pointed to and variadic.
    leaves_variadic: bool,
}

impl<'a> Abi<'a> {
    /// To compare what these two say.
    pub fn new(guest: &'a Header, host: &'a Header) -> Self {
        Self {
            guest,
            host,
            records: RefCell::default(),
            handles: &[],
            leaves_variadic: false,
        }
    }

    /// Of these records, which patterns may describe, only addresses cross.
    pub fn with_handles(self, handles: &'a [String]) -> Self {
        Self { handles, ..self }
    }

    /// Variadic functions that are pointed to are compared as if they took nothing more than
    /// they declare: whether they can be called is for others to say.
    pub fn leaving_variadic(self) -> Self {
        Self {
            leaves_variadic: true,
            ..self
        }
    }

    /// A function that both sides declare.
    pub fn function(&self, name: &str) -> Option<Call> {
        let guest = self.guest.functions.get(name)?;
        let at = At {
            path: String::new(),
            place: guest.place.clone(),
        };
        let Some(host) = self.host.functions.get(name) else {
            return Some(Call {
                refused: Some(at.refusal("only the guest's headers declare it")),
                ..Call::empty()
            });
        };
        Some(self.call(&guest.signature, &host.signature, &at, &mut BTreeSet::new()))
    }

    /// A record, all of it and what its pointers lead to, by its name in
    /// [`Header::records`].
    pub fn record(&self, name: &str) -> Comparison {
        let kind = Type::Record(name.to_owned());
        let place = self.guest.records.get(name).map(|r| r.place.clone());
        self.kinds(&kind, &kind, &place.unwrap_or_default())
    }

    /// A type where it is passed by value, or lies in memory, on both sides.
    pub fn value(&self, guest: &Value, host: &Value, place: &Place) -> Comparison {
        self.kinds(&guest.kind, &host.kind, place)
    }

    /// A record where pointers lead to it, by its name in [`Header::records`]: what is
    /// opaque is an address and crosses.
    pub fn pointed(&self, name: &str) -> Comparison {
        let record = Value {
            spelling: name.to_owned(),
            is_const: false,
            is_restrict: false,
            is_nullable: None,
            typedef: None,
            kind: Type::Record(name.to_owned()),
        };
        let kind = Type::Pointer(Box::new(record));
        let place = self.guest.records.get(name).map(|r| r.place.clone());
        self.kinds(&kind, &kind, &place.unwrap_or_default())
    }

    /// Whether the same bytes mean the same, pointers not followed.
    pub(crate) fn is_same(&self, guest: &Type, host: &Type) -> bool {
        let at = At {
            path: String::new(),
            place: Place::default(),
        };
        self.bytes(guest, host, &at) == Verdict::Identical
    }

    pub(crate) fn kinds(&self, guest: &Type, host: &Type, place: &Place) -> Comparison {
        let at = At {
            path: String::new(),
            place: place.clone(),
        };
        self.crossing(guest, host, &at, &mut BTreeSet::new())
    }

    /// What crosses by itself: a parameter, a result, a whole object.
    fn crossing(&self, guest: &Type, host: &Type, at: &At, seen: &mut Seen) -> Comparison {
        let mut comparison = Comparison {
            notes: self.notes(guest),
            ..Comparison::default()
        };
        let (Type::Pointer(to_guest), Type::Pointer(to_host)) = (guest, host) else {
            comparison.verdict = self.bytes(guest, host, at);
            self.behind(guest, host, at, seen, &mut comparison);
            return comparison;
        };
        let (guest, host) = (&to_guest.kind, &to_host.kind);
        // A pointer to characters is one to text, which is bytes.
        if *guest != Type::Char {
            comparison.notes = self.notes(guest);
        }
        if let (Type::Function(guest), Type::Function(host)) = (guest, host) {
            if let Some(refusal) = self.pointed_function(guest, host, at, seen) {
                comparison.verdict = Verdict::Refused(refusal);
            }
            return comparison;
        }
        // Of what is opaque nothing crosses but the address.
        if let Some(verdict) = self.opaque(guest, host, at) {
            comparison.verdict = verdict;
            return comparison;
        }
        comparison.verdict = self.bytes(guest, host, at);
        self.behind(guest, host, at, seen, &mut comparison);
        comparison
    }

    /// A value that a function takes or returns.
    fn passed(&self, guest: &Type, host: &Type, at: &At, seen: &mut Seen) -> Comparison {
        let mut comparison = self.crossing(guest, host, at, seen);
        if let Type::Record(name) = guest
            && self
                .guest
                .records
                .get(name)
                .is_some_and(Record::is_flexible)
        {
            let note = format!("{name} is passed without the array at its end");
            comparison.notes.insert(note);
        }
        comparison
    }

    fn call(&self, guest: &Signature, host: &Signature, at: &At, seen: &mut Seen) -> Call {
        let refused = if !guest.prototype || !host.prototype {
            Some("nothing says what it takes")
        } else if guest.parameters.len() != host.parameters.len() || guest.variadic != host.variadic
        {
            Some("it takes other parameters on the guest than on the host")
        } else {
            None
        };
        if let Some(why) = refused {
            return Call {
                refused: Some(at.refusal(why)),
                ..Call::empty()
            };
        }
        let within = |what: &str| At {
            path: match at.path.as_str() {
                "" => what.to_owned(),
                path => format!("{path}, {what}"),
            },
            place: at.place.clone(),
        };
        let result = &within("the result");
        let (of_guest, of_host) = (&guest.result.kind, &host.result.kind);
        let result = match of_guest {
            Type::Void if *of_host == Type::Void => Comparison::default(),
            _ => self.passed(of_guest, of_host, result, seen),
        };
        let pairs = guest.parameters.iter().zip(&host.parameters);
        let parameters = pairs.map(|(guest, host)| {
            let at = within(&format!("parameter {}", guest.name));
            self.passed(&guest.value.kind, &host.value.kind, &at, seen)
        });
        Call {
            parameters: parameters.collect(),
            result,
            refused: None,
        }
    }

    /// Why a function that is pointed to cannot be called from the other side.
    fn pointed_function(
        &self,
        guest: &Signature,
        host: &Signature,
        at: &At,
        seen: &mut Seen,
    ) -> Option<Refusal> {
        let at = At {
            path: match at.path.as_str() {
                "" => "the function that it points to".into(),
                path => format!("{path}, the function that it points to"),
            },
            place: at.place.clone(),
        };
        if guest.variadic && !self.leaves_variadic {
            return Some(at.refusal("it takes more arguments than it declares"));
        }
        // What comes in a list is variadic, too.
        let verdict = match self.leaves_variadic {
            true => self.call(&guest.without_lists(), &host.without_lists(), &at, seen),
            false => self.call(guest, host, &at, seen),
        };
        verdict.refusal().cloned()
    }

    /// Whether the same bytes mean the same, pointers not followed.
    fn bytes(&self, guest: &Type, host: &Type, at: &At) -> Verdict {
        match (guest, host) {
            (Type::Void, Type::Void)
            | (Type::Bool, Type::Bool)
            | (Type::Char, Type::Char)
            | (Type::WideChar, Type::WideChar)
            | (Type::Pointer(_), Type::Pointer(_))
            | (Type::Function(_), Type::Function(_)) => Verdict::Identical,
            (Type::VaList, _) | (_, Type::VaList) => {
                at.refuse("a va_list, of which each target has its own")
            }
            (Type::Float(a), Type::Float(b)) | (Type::Complex(a), Type::Complex(b)) => {
                self.floats(*a, *b, at)
            }
            (Type::Vector { size: 17.., .. }, _) | (_, Type::Vector { size: 17.., .. }) => at
                .refuse(
                    "a vector of more than 16 bytes; how it is aligned and passed on the host \
                 depends on the options of the compiler",
                ),
            (Type::Vector { .. }, Type::Vector { .. }) if guest == host => Verdict::Identical,
            (
                Type::Array { element, count },
                Type::Array {
                    element: host_element,
                    count: host_count,
                },
            ) => {
                if count != host_count {
                    let elements = |count: &Option<usize>| match count {
                        Some(count) => format!("{count} elements"),
                        None => "no size".into(),
                    };
                    return at.refuse(format_args!(
                        "an array with {} on the guest and {} on the host",
                        elements(count),
                        elements(host_count)
                    ));
                }
                self.bytes(&element.kind, &host_element.kind, at)
            }
            (Type::Record(a), Type::Record(b)) => self.records(a, b, at),
            (Type::Enum { name: a, .. }, Type::Enum { name: b, .. }) if self.differ(a, b) => at
                .refuse(format_args!(
                    "the constants of {} have other values on the guest than on the host",
                    self.guest.enums[a].spelling
                )),
            (Type::Other(name), _) | (_, Type::Other(name)) => {
                at.refuse(format_args!("{name}, of which nothing more is known"))
            }
            _ => match (guest.integer_size(), host.integer_size()) {
                (Some(a), Some(b)) if a == b => Verdict::Identical,
                (Some(a), Some(b)) => Verdict::Repacked(vec![
                    at.change(format!("{a} bytes on the guest, {b} on the host")),
                ]),
                _ => at.refuse(format_args!(
                    "{} on the guest, and {} on the host",
                    self.guest.describe(guest),
                    self.host.describe(host)
                )),
            },
        }
    }

    fn floats(&self, guest: Float, host: Float, at: &At) -> Verdict {
        let name = |format| match format {
            Float::Extended => "the x87's 80 bits",
            Float::Quad => "binary128",
            Float::Half => "binary16",
            Float::Single => "binary32",
            Float::Double => "binary64",
        };
        match (guest, host) {
            _ if guest == host => Verdict::Identical,
            (Float::Quad, Float::Extended) => at.refuse(format_args!(
                "a long double, {} on the guest and {} on the host",
                name(guest),
                name(host)
            )),
            _ => at.refuse(format_args!(
                "{} on the guest and {} on the host",
                name(guest),
                name(host)
            )),
        }
    }

    /// Whether two enumerations have other constants.
    fn differ(&self, guest: &str, host: &str) -> bool {
        let guest = self.guest.enums.get(guest).map(|e| &e.values);
        guest != self.host.enums.get(host).map(|e| &e.values)
    }

    /// Collects what cannot be used behind pointers that are in memory.
    fn behind(&self, guest: &Type, host: &Type, at: &At, seen: &mut Seen, found: &mut Comparison) {
        match (guest, host) {
            (Type::Array { element: a, .. }, Type::Array { element: b, .. }) => {
                self.behind(&a.kind, &b.kind, at, seen, found);
            }
            (Type::Record(a), Type::Record(b)) => {
                if !seen.insert((a.clone(), b.clone())) {
                    return;
                }
                for (guest, host, at) in self.field_pairs(a, b) {
                    self.behind(&guest.value.kind, &host.value.kind, &at, seen, found);
                }
            }
            (Type::Pointer(a), Type::Pointer(b)) => {
                let (guest, host) = (&a.kind, &b.kind);
                if let (Type::Function(a), Type::Function(b)) = (guest, host) {
                    let refusal = self.pointed_function(a, b, at, seen);
                    found.behind.extend(refusal);
                    return;
                }
                if let Some(verdict) = self.opaque(guest, host, at) {
                    if let Verdict::Refused(refusal) = verdict {
                        found.behind.push(refusal);
                    }
                    return;
                }
                let refusal = match self.bytes(guest, host, at) {
                    Verdict::Identical => return self.behind(guest, host, at, seen, found),
                    Verdict::Refused(refusal) => refusal,
                    Verdict::Repacked(changes) => at.refusal(format_args!(
                        "points to {}, which is laid out differently ({}: {})",
                        self.guest.describe(guest),
                        changes[0].what,
                        changes[0].difference
                    )),
                };
                found.misread.push(refusal.clone());
                found.behind.push(refusal);
            }
            _ => {}
        }
    }

    /// What is to be known of a type that means the same.
    fn notes(&self, kind: &Type) -> BTreeSet<String> {
        let mut notes = BTreeSet::new();
        let mut seen = BTreeSet::new();
        self.guest.visit(kind, &mut seen, &mut |kind, is_element| {
            let sign = |signed| if signed { "signed" } else { "unsigned" };
            let (name, guest, host) = match kind {
                // Strings are bytes.
                Type::Char if !is_element => {
                    ("char", self.guest.char_is_signed, self.host.char_is_signed)
                }
                Type::WideChar => (
                    "wchar_t",
                    self.guest.wide_char_is_signed,
                    self.host.wide_char_is_signed,
                ),
                _ => return,
            };
            if guest != host {
                notes.insert(format!(
                    "{name} is {} on the guest and {} on the host: a value whose highest bit is set is \
                     another number",
                    sign(guest),
                    sign(host)
                ));
            }
        });
        notes
    }
}

type Seen = BTreeSet<(String, String)>;

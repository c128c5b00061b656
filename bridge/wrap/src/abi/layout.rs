//! Compares records.

use super::{Abi, At, Change, Seen, Verdict};
use crate::model::{Field, Header, Layout, Record, Type};
use crate::notes::fits;

/// Records of the C library that nobody but the one that made them can use, and why.
const BOUND: [(&str, &str); 16] = [
    ("_IO_FILE", STREAM),
    ("__dirstream", STREAM),
    ("__locale_struct", "a locale of the C library that made it"),
    ("__jmp_buf_tag", STATE),
    ("ucontext_t", STATE),
    ("mcontext_t", STATE),
    ("sigcontext", STATE),
    ("fenv_t", STATE),
    ("pthread_attr_t", THREAD),
    ("pthread_mutex_t", THREAD),
    ("pthread_cond_t", THREAD),
    ("pthread_rwlock_t", THREAD),
    ("pthread_barrier_t", THREAD),
    ("sem_t", THREAD),
    (
        "re_pattern_buffer",
        "a pattern of the C library that compiled it",
    ),
    ("_ENTRY", "an object of the C library that made it"),
];
const STREAM: &str = "a stream of the C library that opened it";
const STATE: &str = "the saved state of a processor";
const THREAD: &str = "threads of one C library wait for each other with it";

impl Abi<'_> {
    /// What a pointer to something is good for of which nothing more is known.
    pub(super) fn opaque(&self, guest: &Type, host: &Type, at: &At) -> Option<Verdict> {
        let (Type::Record(guest), Type::Record(host)) = (guest, host) else {
            return None;
        };
        if self.handles.iter().any(|pattern| fits(pattern, guest)) {
            return Some(Verdict::Identical);
        }
        if let Some(why) = bound(guest) {
            return Some(at.refuse(format_args!("{}, {why}", self.guest.spelling(guest))));
        }
        match (self.guest.layout(guest), self.host.layout(host)) {
            (None, None) => Some(Verdict::Identical),
            _ => None,
        }
    }

    /// Compares two records, pointers not followed.
    pub(super) fn records(&self, guest: &str, host: &str, at: &At) -> Verdict {
        let key = (guest.to_owned(), host.to_owned());
        let known = self.records.borrow().get(&key).cloned();
        let verdict = known.unwrap_or_else(|| {
            let verdict = self.compare_records(guest, host);
            self.records.borrow_mut().insert(key, verdict.clone());
            verdict
        });
        match verdict {
            Verdict::Refused(mut refusal) if !at.path.is_empty() => {
                refusal.reason = format!("{}: {}", at.path, refusal.reason);
                Verdict::Refused(refusal)
            }
            verdict => verdict,
        }
    }

    fn compare_records(&self, guest_name: &str, host_name: &str) -> Verdict {
        let spelling = self.guest.spelling(guest_name);
        let record = self.guest.records.get(guest_name);
        let at = At {
            path: String::new(),
            place: record
                .map(|record| record.place.clone())
                .unwrap_or_default(),
        };
        if let Some(why) = bound(guest_name) {
            return at.refuse(format_args!("{spelling}, {why}"));
        }
        let (Some(guest), Some(host)) =
            (self.guest.layout(guest_name), self.host.layout(host_name))
        else {
            return at.refuse(format_args!(
                "{spelling}, of which not both sides know what is in it"
            ));
        };
        let is_union = record.is_some_and(|record| record.is_union);
        if let Some(verdict) = self.members(guest_name, host_name, &at) {
            return verdict;
        }
        let mut changes = Vec::new();
        for (guest, host, at) in self.field_pairs(guest_name, host_name) {
            let verdict = match (guest.bits, host.bits) {
                (Some(a), Some(b)) if a != b => {
                    let widths = format!("{a} bits on the guest, {b} on the host");
                    Verdict::Repacked(vec![at.change(widths)])
                }
                _ => self.bytes(&guest.value.kind, &host.value.kind, &at),
            };
            match verdict {
                Verdict::Identical => {}
                // It says itself where in it.
                Verdict::Repacked(inner) => changes.extend(inner),
                Verdict::Refused(refusal) => return Verdict::Refused(refusal),
            }
            if guest.offset != host.offset {
                match changes
                    .last_mut()
                    .filter(|last: &&mut Change| last.what == at.path)
                {
                    Some(last) => {
                        last.difference = format!("{}; {}", last.difference, moved(guest, host))
                    }
                    None => changes.push(at.change(moved(guest, host))),
                }
            }
        }
        let whole = At {
            path: spelling.clone(),
            place: at.place.clone(),
        };
        if guest.size != host.size {
            let sizes = format!(
                "{} bytes on the guest, {} on the host",
                guest.size, host.size
            );
            changes.push(whole.change(sizes));
        }
        if changes.is_empty() {
            return self.alignment(guest, host, &whole);
        }
        if is_union {
            return at.refuse(format_args!(
                "{spelling}, a union whose members differ ({}: {}), and nothing says which is \
                 in use",
                changes[0].what, changes[0].difference
            ));
        }
        if record.is_some_and(Record::is_flexible) {
            return at.refuse(format_args!(
                "{spelling}, which is laid out differently ({}: {}) and ends in an array of \
                 unknown length",
                changes[0].what, changes[0].difference
            ));
        }
        Verdict::Repacked(changes)
    }

    /// The same bytes at other addresses: what one side allocates, the other may not be
    /// able to use.
    fn alignment(&self, guest: &Layout, host: &Layout, at: &At) -> Verdict {
        if guest.alignment == host.alignment {
            return Verdict::Identical;
        }
        Verdict::Repacked(vec![at.change(format!(
            "aligned to {} bytes on the guest, to {} on the host",
            guest.alignment, host.alignment
        ))])
    }

    /// Refuses two records that do not have the same fields.
    fn members(&self, guest: &str, host: &str, at: &At) -> Option<Verdict> {
        let pairs = self.field_pairs(guest, host).len();
        let sides = [
            (self.guest, guest, self.host, host, "guest"),
            (self.host, host, self.guest, guest, "host"),
        ];
        for (header, name, other, other_name, side) in sides {
            let fields = named(header.layout(name)?);
            if fields.len() == pairs {
                continue;
            }
            let others = named(other.layout(other_name)?);
            let only = fields
                .iter()
                .find(|(key, _)| others.iter().all(|(k, _)| k != key));
            if let Some((key, field)) = only {
                let at = At {
                    path: at.path.clone(),
                    place: if side == "guest" {
                        field.place.clone()
                    } else {
                        at.place.clone()
                    },
                };
                return Some(at.refuse(format_args!(
                    "{}, which has {key} on the {side} alone",
                    header.spelling(name)
                )));
            }
        }
        None
    }

    /// The fields that both sides have, in the guest's order.
    pub(crate) fn field_pairs(&self, guest: &str, host: &str) -> Vec<(&Field, &Field, At)> {
        let (Some(of_guest), Some(of_host)) = (self.guest.layout(guest), self.host.layout(host))
        else {
            return Vec::new();
        };
        let spelling = self.guest.spelling(guest);
        let others = named(of_host);
        let pairs = named(of_guest).into_iter().filter_map(|(key, field)| {
            let (_, other) = others.iter().find(|(k, _)| *k == key)?;
            let at = At {
                path: format!("{spelling}.{key}"),
                place: field.place.clone(),
            };
            Some((field, *other, at))
        });
        pairs.collect()
    }
}

fn moved(guest: &Field, host: &Field) -> String {
    match guest.bits {
        Some(_) => format!(
            "at bit {} on the guest, {} on the host",
            guest.offset, host.offset
        ),
        None => format!(
            "at byte {} on the guest, {} on the host",
            guest.offset / 8,
            host.offset / 8
        ),
    }
}

/// Whether it is a record of the C library that is of no use on the other side, whatever is
/// in it.
pub(crate) fn is_bound(name: &str) -> bool {
    bound(name).is_some()
}

fn bound(name: &str) -> Option<&'static str> {
    let entry = BOUND.iter().find(|(bound, _)| *bound == name);
    entry.map(|(_, why)| *why)
}

/// The fields that mean something, by name, and those without one by number.
fn named(layout: &Layout) -> Vec<(String, &Field)> {
    let mut nameless = 0;
    let fields = layout.fields.iter().filter_map(|field| {
        let is_padding = match (field.name.as_str(), field.bits) {
            ("", Some(_)) => true,
            (name, _) => {
                let reserved = ["__pad", "__glibc_reserved", "__unused", "__reserved"];
                reserved.iter().any(|reserved| name.starts_with(reserved))
            }
        };
        if is_padding {
            return None;
        }
        if field.name.is_empty() {
            nameless += 1;
            return Some((format!("(nameless {nameless})"), field));
        }
        Some((field.name.clone(), field))
    });
    fields.collect()
}

impl Header {
    fn layout(&self, name: &str) -> Option<&Layout> {
        self.records.get(name)?.layout.as_ref()
    }

    fn spelling(&self, name: &str) -> String {
        let record = self.records.get(name);
        record.map_or_else(|| name.to_owned(), |record| record.spelling.clone())
    }

    /// A type in words.
    pub(super) fn describe(&self, kind: &Type) -> String {
        match kind {
            Type::Void => "nothing".into(),
            Type::Bool => "a _Bool".into(),
            Type::Char => "a char".into(),
            Type::WideChar => "a wchar_t".into(),
            Type::Integer { size, signed: true } => format!("a signed integer of {size} bytes"),
            Type::Integer { size, .. } => format!("an unsigned integer of {size} bytes"),
            Type::Enum { name, .. } => format!("the enumeration {name}"),
            Type::Float(_) => "a floating point number".into(),
            Type::Complex(_) => "a complex number".into(),
            Type::Vector { size, .. } => format!("a vector of {size} bytes"),
            Type::Pointer(_) => "a pointer".into(),
            Type::Function(_) => "a function".into(),
            Type::Record(name) => self.spelling(name),
            Type::Array { .. } => "an array".into(),
            Type::VaList => "a va_list".into(),
            Type::Other(name) => name.clone(),
        }
    }

    /// Shows everything that a type consists of, pointers not followed, and whether it is
    /// an element of an array.
    pub(super) fn visit(&self, kind: &Type, seen: &mut Seen, see: &mut dyn FnMut(&Type, bool)) {
        self.visit_within(kind, false, seen, see);
    }

    fn visit_within(
        &self,
        kind: &Type,
        is_element: bool,
        seen: &mut Seen,
        see: &mut dyn FnMut(&Type, bool),
    ) {
        see(kind, is_element);
        match kind {
            Type::Array { element, .. } => self.visit_within(&element.kind, true, seen, see),
            Type::Record(name) if seen.insert((name.clone(), String::new())) => {
                let fields = self.layout(name).map_or(&[][..], |layout| &layout.fields);
                for field in fields {
                    self.visit_within(&field.value.kind, false, seen, see);
                }
            }
            _ => {}
        }
    }
}

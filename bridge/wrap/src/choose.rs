//! Decides for every function whether the host can do it, and says why not.
//!
//! Both sides see the same memory and lay out the same data model (LP64) in it, so an
//! address means the same on both. What does not cross is code: the host cannot call a
//! function of the guest. And what one side's library has made belongs to that side, as
//! the two libraries may differ within.

use crate::elf::Exports;
use crate::model::{Field, Float, Function, Header, Parameter, Type};
use crate::notes::{Notes, Pass, Serve, Way, fits, said};
use crate::rules::names::is_user_data;
use crate::rules::pointers::is_amount;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The host does it.
    Carried,
    /// The guest's own library does it; why.
    Left(String),
    /// What has to be said before anything can be generated.
    Refused(String),
}

/// What becomes of every exported function.
pub fn choose(
    exports: &Exports,
    guest: &Header,
    host: &Header,
    notes: &Notes,
) -> BTreeMap<String, Choice> {
    let chooser = Chooser { guest, host, notes };
    let names = exports.functions.keys();
    let mut choices: BTreeMap<String, Choice> = names
        .map(|name| (name.clone(), chooser.by_itself(name)))
        .collect();
    chooser.leave_families(&mut choices);
    chooser.refuse_mixtures(&mut choices);
    choices
}

struct Chooser<'a> {
    guest: &'a Header,
    host: &'a Header,
    notes: &'a Notes,
}

impl Chooser<'_> {
    /// What can be said of a function without looking at others.
    fn by_itself(&self, name: &str) -> Choice {
        let Some(function) = self.guest.functions.get(name) else {
            return Choice::Left("the header does not declare it".into());
        };
        if self.notes.serve(name) == Serve::Guest {
            return Choice::Left("wrap.toml says so".into());
        }
        let refused = self.notes.defaults.refuse.iter();
        if let Some((_, why)) = refused.into_iter().find(|(pattern, _)| fits(pattern, name)) {
            return Choice::Left(format!("wrap.toml refuses it: {why}"));
        }
        if let Some(why) = self.obstacle(name, function) {
            return Choice::Left(why);
        }
        let host = self.host.functions.get(name);
        if host.map(|host| &host.signature) != Some(&function.signature) {
            return Choice::Left("its types differ between guest and host".into());
        }
        Choice::Carried
    }

    fn returns_argument(&self, name: &str) -> bool {
        let returns = said(&self.notes.functions, name).find_map(|notes| notes.returns.as_ref());
        returns == Some(&Pass::Argument)
    }

    /// Whether a pointer to anything is to bytes.
    fn is_to_bytes(&self, name: &str, function: &Function, index: usize) -> bool {
        let parameters = &function.signature.parameters;
        let Parameter {
            name: parameter,
            value,
            ..
        } = &parameters[index];
        if value.kind.pointee().is_none_or(|to| to.kind != Type::Void) {
            return false;
        }
        let functions = &self.notes.functions;
        let noted = self
            .notes
            .parameter(functions, name, index, parameter, &value.spelling);
        noted.is_some() || parameters.get(index + 1).is_some_and(is_amount)
    }

    fn obstacle(&self, name: &str, function: &Function) -> Option<String> {
        let signature = &function.signature;
        if !signature.prototype {
            return Some("the header does not say what it takes".into());
        }
        if signature.variadic {
            return Some("it takes more arguments than it declares".into());
        }
        match &signature.result.kind {
            Type::Void => {}
            kind if is_word(kind) => {}
            Type::Pointer(_) if self.returns_argument(name) => {}
            Type::Pointer(_) => {
                return Some("returns a pointer, and not to memory that the guest gave".into());
            }
            other => return Some(format!("returns {}", describe(other))),
        }
        let mut parameters = signature.parameters.iter().enumerate();
        parameters.find_map(|(index, parameter)| {
            let why = match &parameter.value.kind {
                kind if is_word(kind) => None,
                Type::Pointer(_) if self.is_to_bytes(name, function, index) => None,
                Type::Pointer(to) => self.behind(&to.kind, &mut BTreeSet::new()),
                other => Some(describe(other)),
            };
            let is_of_record = parameter.value.kind.pointed_record().is_some();
            // Of a struct it is the same for whatever takes one.
            why.map(|why| match is_of_record {
                true => why,
                false => format!("{}: {why}", parameter.name),
            })
        })
    }

    /// Why what a pointer points at cannot be used by both sides.
    fn behind(&self, kind: &Type, seen: &mut BTreeSet<String>) -> Option<String> {
        match kind {
            kind if kind.integer_size().is_some() => None,
            Type::Float(Float::Single | Float::Double) => None,
            Type::Array { element, .. } => self.behind(&element.kind, seen),
            Type::Record(name) => self.in_record(name, seen),
            Type::Void => {
                Some("a pointer to anything; if it is to bytes, say so, as \"in[COUNT]\"".into())
            }
            Type::Pointer(to) if matches!(to.kind, Type::Function(_)) => Some(describe(&to.kind)),
            Type::Pointer(_) => {
                Some("a pointer to a pointer, of which nothing says who sets it".into())
            }
            _ => Some(describe(kind)),
        }
    }

    fn in_record(&self, name: &str, seen: &mut BTreeSet<String>) -> Option<String> {
        if !seen.insert(name.to_owned()) {
            return None;
        }
        let record = &self.guest.records[name];
        let host = self.host.records.get(name);
        if host.map(|host| &host.layout) != Some(&record.layout) {
            return Some(format!(
                "{} differs between guest and host",
                record.spelling
            ));
        }
        let way = said(&self.notes.records, name).find_map(|notes| notes.way);
        if way == Some(Way::Handle) {
            return Some(format!(
                "{} belongs to whose library made it",
                record.spelling
            ));
        }
        let Some(layout) = &record.layout else {
            return Some(format!("{} is opaque", record.spelling));
        };
        layout.fields.iter().find_map(|field| {
            if self.is_known(name, field) {
                return None;
            }
            let why = match &field.value.kind {
                Type::Pointer(to) if matches!(to.kind, Type::Function(_)) => {
                    Some(describe(&to.kind))
                }
                Type::Pointer(_) => Some(format!(
                    "a pointer; say in [struct.{name}] what it is: identity = \"{0}\", or {0} = \
                     \"text\", \"in[COUNT]\", \"out[COUNT]\" or \"value\"",
                    field.name
                )),
                other => self.behind(other, seen),
            };
            why.map(|why| format!("{}.{}: {why}", record.spelling, field.name))
        })
    }

    /// Whether it is known what a field is to both sides.
    fn is_known(&self, tag: &str, field: &Field) -> bool {
        let noted = || said(&self.notes.records, tag);
        let Type::Pointer(to) = &field.value.kind else {
            return false;
        };
        let identity = self.notes.identity(tag);
        if identity == Some(&field.name)
            || noted().any(|notes| notes.fields.contains_key(&field.name))
        {
            return true;
        }
        match &to.kind {
            // An object that brings some along when it is made is the guest's.
            Type::Function(_) => identity.is_some(),
            Type::Void if is_user_data(&field.name) => true,
            _ => noted().find_map(|notes| notes.way) == Some(Way::Shared),
        }
    }

    /// What a function that is left returns is the guest's library's: whatever may
    /// change or free such a thing is left too.
    fn leave_families(&self, choices: &mut BTreeMap<String, Choice>) {
        loop {
            let mut more = Vec::new();
            for (name, _) in choices.iter().filter(|(_, c)| **c == Choice::Carried) {
                if let Some(maker) = self.maker_of_argument(name, choices) {
                    let why = format!("may change or free what {maker} returns, which is left");
                    more.push((name.clone(), Choice::Left(why)));
                }
            }
            if more.is_empty() {
                return;
            }
            choices.extend(more);
        }
    }

    fn maker_of_argument(&self, name: &str, choices: &BTreeMap<String, Choice>) -> Option<&str> {
        let changes = |kind: &Type| match kind {
            Type::Pointer(to) => (!to.is_const).then(|| to.kind.clone()),
            _ => None,
        };
        let function = &self.guest.functions[name];
        let parameters = function.signature.parameters.iter().enumerate();
        let changed: Vec<Type> = parameters
            .filter(|(index, _)| !self.is_to_bytes(name, function, *index))
            .filter_map(|(_, parameter)| changes(&parameter.value.kind))
            .collect();
        let maker = self.guest.functions.iter().find(|(other, function)| {
            matches!(choices.get(*other), Some(Choice::Left(_)))
                && !self.returns_argument(other)
                && changes(&function.signature.result.kind)
                    .is_some_and(|made| changed.contains(&made))
        });
        maker.map(|(name, _)| name.as_str())
    }

    /// Objects of the host must not get into functions of the guest's library that
    /// were left for some other reason than that somebody thought of it.
    fn refuse_mixtures(&self, choices: &mut BTreeMap<String, Choice>) {
        let mut records = self.guest.records.keys();
        let has_objects = records.any(|tag| self.notes.identity(tag).is_some());
        for (name, choice) in choices {
            let is_thought_of = self.notes.serve(name) == Serve::Guest;
            let why = match choice {
                Choice::Left(why) if !is_thought_of => why,
                _ => continue,
            };
            let say = format!("say serve = \"guest\" in [function.{name}]");
            let Some(function) = self.guest.functions.get(name) else {
                if has_objects {
                    *choice = Choice::Refused(format!(
                        "{why}, so nobody knows whether it takes objects; declare it (flags), or {say}"
                    ));
                }
                continue;
            };
            let mut objects = function
                .signature
                .parameters
                .iter()
                .filter_map(|parameter| {
                    let record = parameter.value.kind.pointed_record()?;
                    self.notes.identity(record)?;
                    Some(&self.guest.records[record].spelling)
                });
            if let Some(object) = objects.next() {
                *choice = Choice::Refused(format!(
                    "{why}; it takes {object}, of which the host may have made some; if it never \
                     gets those, {say}"
                ));
            }
        }
    }
}

/// Whether it is an integer that fits into a word.
fn is_word(kind: &Type) -> bool {
    kind.integer_size().is_some_and(|size| size <= 8)
}

fn describe(kind: &Type) -> String {
    match kind {
        Type::Function(_) => "a function of the guest, which the host cannot call".into(),
        Type::Float(Float::Single | Float::Double) => {
            "floating point: the guest's rounding mode does not cross".into()
        }
        Type::Float(Float::Half) => "_Float16".into(),
        Type::Float(_) => "long double, which has another form on the host".into(),
        Type::Complex(_) => "a complex number".into(),
        Type::Vector { .. } => "a vector".into(),
        Type::VaList => "va_list, which has another form on the host".into(),
        Type::Record(name) => format!("{name} by value"),
        Type::Other(name) => format!("{name}, of which it is not known how it is passed"),
        Type::Void => "nothing".into(),
        Type::Pointer(_) => "a pointer".into(),
        Type::Array { .. } => "an array".into(),
        _ => match kind.integer_size() {
            Some(16) => "__int128".into(),
            _ => "an integer".into(),
        },
    }
}

//! What is in structs, and whether both sides mean the same by them.

use super::{Crossing, Decider, Element, RecordRule, names};
use crate::abi::{Change, Verdict};
use crate::model::{Place, Type, Value};
use crate::notes::{Pass, Pointers, Way, fits, said};

impl Decider<'_> {
    /// How `wrap.toml` says that pointers to a struct cross.
    pub(super) fn way(&self, tag: &str) -> Option<Way> {
        let noted = said(&self.notes.records, tag).find_map(|notes| notes.way);
        let handles = &self.notes.defaults.handles;
        let is_handle = handles.iter().any(|pattern| fits(pattern, tag));
        noted.or(is_handle.then_some(Way::Handle))
    }

    /// Whether it is an object of the library, of which programs know an address.
    pub(super) fn is_handle(&self, tag: &str) -> bool {
        match self.way(tag) {
            Some(way) => way == Way::Handle,
            None => self.guest.records[tag].layout.is_none(),
        }
    }

    /// How a struct is copied.
    pub(super) fn record(&mut self, tag: &str) -> Result<Element, String> {
        let record = &self.guest.records[tag];
        let spelling = &record.spelling;
        let Some(layout) = &record.layout else {
            return Err(format!("{spelling} is opaque: nothing can be copied"));
        };
        if self.is_repacked(tag) {
            self.repack(tag)?;
            return Ok(Element::Repacked(tag.into()));
        }
        if record.is_flexible() {
            return Err(format!(
                "{spelling} ends in an array without a size; say in wrap.toml: [struct.{tag}] \
                 as = \"handle\" or \"shared\""
            ));
        }
        let kept = self.way(tag) == Some(Way::Kept);
        if self.rules.records.contains_key(tag) {
            return Ok(Element::Record(tag.into()));
        }
        if !self.busy.insert(tag.to_owned()) {
            return Err(format!(
                "{spelling} leads to itself; say in wrap.toml: [struct.{tag}] as = \"handle\" if \
                 the library makes it, or \"shared\""
            ));
        }
        let mut fields = Vec::new();
        let mut wrong = None;
        let host = self.host.records.get(tag);
        for field in &layout.fields {
            if let Some(there) = host.and_then(|record| record.field(&field.name))
                && field.value.kind.pointed_signature().is_some()
                && let Err(why) = self.same(&field.value, &there.value)
            {
                let noted = said(&self.notes.records, tag).find_map(|n| n.fields.get(&field.name));
                if noted != Some(&Pass::Value) {
                    wrong = Some(format!(
                        "{spelling}.{0} ({1}): {why}; if nobody ever calls it, say in wrap.toml: \
                         [struct.{tag}] {0} = \"value\"",
                        field.name, field.value.spelling
                    ));
                    break;
                }
            }
            match self.field(tag, &field.name, &field.value) {
                Ok(Some(crossing)) => fields.push((field.name.clone(), crossing)),
                Ok(None) => {}
                Err(why) => {
                    wrong = Some(why);
                    break;
                }
            }
        }
        self.busy.remove(tag);
        if let Some(why) = wrong {
            return Err(why);
        }
        if fields.is_empty() && !kept {
            return Ok(Element::Bytes);
        }
        let only = said(&self.notes.records, tag).find(|notes| !notes.only.is_empty());
        let rule = RecordRule {
            kept,
            only: only.map(|notes| notes.only.clone()).unwrap_or_default(),
            fields,
        };
        self.rules.records.insert(tag.to_owned(), rule);
        Ok(Element::Record(tag.into()))
    }

    /// How a struct crosses by value. The library may call the functions in it.
    pub(super) fn record_by_value(&mut self, tag: &str) -> Result<Crossing, String> {
        self.all_by_value(tag, true)?;
        let record = &self.guest.records[tag];
        let fields = record.layout.iter().flat_map(|layout| &layout.fields);
        let mut functions = Vec::new();
        for field in fields {
            let Some(signature) = field.value.kind.pointed_signature() else {
                continue;
            };
            let place = format!("{tag}.{}", field.name);
            let name = field.value.typedef.clone().unwrap_or(place);
            // What cannot be called crosses as it is.
            if let Ok(number) = self.pointed(signature, Some(&name)) {
                functions.push((field.name.clone(), number));
            }
        }
        Ok(match functions.is_empty() {
            true => Crossing::Record,
            false => Crossing::RecordWith(functions),
        })
    }

    /// Whether nothing is left behind when a struct is passed by value. Functions cross that are
    /// fields of the struct itself.
    fn all_by_value(&self, tag: &str, is_outermost: bool) -> Result<(), String> {
        let record = &self.guest.records[tag];
        for field in record.layout.iter().flat_map(|layout| &layout.fields) {
            let noted = self.noted_field(tag, &field.name, &field.value);
            if matches!(noted, Some(Pass::Value | Pass::Shared | Pass::Text))
                || self.notes.defaults.pointers == Pointers::Shared
            {
                continue;
            }
            let mut value = &field.value;
            while let Type::Array { element, .. } = &value.kind {
                value = element;
            }
            let why = match &value.kind {
                Type::Record(inner) => {
                    self.all_by_value(inner, false)?;
                    continue;
                }
                Type::Pointer(to) => match &to.kind {
                    Type::Function(_) if is_outermost && value.kind == field.value.kind => continue,
                    Type::Function(_) => {
                        "only functions cross that are fields of the struct itself"
                    }
                    Type::Void if to.typedef.is_some() || names::is_user_data(&field.name) => {
                        continue;
                    }
                    Type::Record(inner) if self.is_handle(inner) => continue,
                    _ => "in a struct by value nothing crosses but the address",
                },
                _ => continue,
            };
            return Err(format!(
                "{}.{name} ({}): {why}; say in wrap.toml: [struct.{tag}] {name} = \"value\" if the \
                 library does not follow it, or \"shared\" if it is always to shared memory",
                record.spelling,
                field.value.spelling,
                name = field.name,
            ));
        }
        Ok(())
    }

    /// How a field crosses that is more than bytes.
    pub(super) fn field(
        &mut self,
        tag: &str,
        name: &str,
        value: &Value,
    ) -> Result<Option<Crossing>, String> {
        let spelling = self.guest.records[tag].spelling.clone();
        let say_of = |ways: &str, why: &str| {
            if why.contains("wrap.toml") {
                return why.to_owned();
            }
            format!(
                "{spelling}.{name} ({}): {why}; say in wrap.toml: [struct.{tag}] {name} = {ways}, or \
                 of all of it as = \"handle\" if the library makes it, or \"shared\"",
                value.spelling
            )
        };
        let say = |why: &str| {
            let ways = "\"value\", \"string\", \"in[COUNT]\", \"out[COUNT]\" or \"shared\"";
            say_of(ways, why)
        };
        // Of further pointers no copy can be made.
        let say_further = |why: &str| say_of("\"value\" if the library does not follow it", why);
        let noted = self.noted_field(tag, name, value).cloned();
        match &value.kind {
            Type::Pointer(to) => match (&to.kind, noted) {
                (_, Some(Pass::Value | Pass::Text)) => Ok(None),
                (Type::Function(signature), _) => {
                    let place = format!("{tag}.{name}");
                    let typedef = value.typedef.clone().unwrap_or(place);
                    let number = self.pointed(signature, Some(&typedef));
                    number
                        .map(|n| Some(Crossing::Function(n)))
                        .map_err(|why| say(&why))
                }
                (_, Some(pass)) => match self.noted(&pass, to).map_err(|why| say(&why))? {
                    Crossing::Data(block) if block.element != Element::Bytes => {
                        Err(say_further("it leads to further pointers"))
                    }
                    Crossing::Texts(_) => Err(say_further("it leads to further pointers")),
                    crossing => Ok(Some(crossing)),
                },
                (Type::Record(inner), None) if self.is_handle(inner) => Ok(None),
                (Type::Void, None) if names::is_user_data(name) => Ok(None),
                _ => Err(say("nothing says what it points at")),
            },
            Type::Record(inner) => match self.record(inner)? {
                Element::Bytes => Ok(None),
                _ => Err(say_further("it holds further pointers")),
            },
            Type::Array { element, .. } => match self.field(tag, name, element)? {
                None => Ok(None),
                Some(_) if noted == Some(Pass::Value) => Ok(None),
                Some(_) => Err(say_further("an array of pointers")),
            },
            _ => Ok(None),
        }
    }

    /// What `wrap.toml` says of a field.
    pub(super) fn noted_field(&self, tag: &str, name: &str, value: &Value) -> Option<&Pass> {
        let noted = said(&self.notes.records, tag).find_map(|notes| notes.fields.get(name));
        noted.or_else(|| self.notes.types.get(&value.spelling))
    }

    /// Whether a pointer leads to what is noted as an object of the library.
    pub(super) fn is_way_handle(&self, kind: &Type) -> bool {
        let tag = kind.pointed_record();
        tag.is_some_and(|tag| self.way(tag) == Some(Way::Handle))
    }

    /// Whether both sides mean the same by a type, or why it cannot cross.
    pub(super) fn same(&self, guest: &Value, host: &Value) -> Result<(), String> {
        // Of what the library keeps to itself, only the address crosses.
        let mut to = guest.kind.pointee();
        while let Some(Type::Array { element, .. }) = to.map(|to| &to.kind) {
            to = Some(element);
        }
        if let Some(Type::Record(tag)) = to.map(|to| &to.kind)
            && self.way(tag) == Some(Way::Handle)
        {
            return Ok(());
        }
        let comparison = self.abi.value(guest, host, &Place::default());
        match comparison.verdict {
            // What pointers lead to is read where it is, too.
            Verdict::Identical => match comparison.misread.into_iter().next() {
                Some(refusal) => Err(refusal.reason),
                None => Ok(()),
            },
            Verdict::Repacked(changes) => {
                let Change {
                    what, difference, ..
                } = &changes[0];
                Err(format!("{what} is laid out differently: {difference}"))
            }
            Verdict::Refused(refusal) => Err(refusal.reason),
        }
    }
}

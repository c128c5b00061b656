//! What parameters point at.

use super::beside::Beside;
use super::{Block, Crossing, Decider, Element, Whose, descriptors, interfaces, names, streams};
use crate::model::{Float, Parameter, Type, Value};
use crate::notes::{Count, Data, Elements, Pass, Pointers, Way};

impl Decider<'_> {
    pub(super) fn parameter(&mut self, whose: Whose, index: usize) -> Result<Crossing, String> {
        let parameter = &whose.signature.parameters[index];
        let value = &parameter.value;
        let noted = self
            .notes
            .parameter(
                self.table(whose),
                whose.name,
                index,
                &parameter.name,
                &value.spelling,
            )
            .cloned();
        let line = |how: &str| {
            let name = if whose.name.is_empty() {
                "TYPEDEF"
            } else {
                whose.name
            };
            format!(
                "say in wrap.toml: [{}.{name}] {} = {how}",
                whose.table, parameter.name
            )
        };
        if let Some(Pass::Descriptor(noted)) = &noted {
            return descriptors::parameter(whose, parameter, noted);
        }
        let Type::Pointer(to) = &value.kind else {
            let is_descriptor =
                value.kind.integer_size() == Some(4) && names::is_descriptor(&parameter.name);
            if is_descriptor && noted.is_none() && !whose.lenient {
                return Err(format!(
                    "by its name it is a file descriptor, which means nothing in another \
                     process; {}, then the library gets a duplicate that it has to close, or \
                     \"lent descriptor\" if it only uses it until it returns, or \"value\" if \
                     it is none",
                    line("\"descriptor\"")
                ));
            }
            return Ok(match &value.kind {
                Type::Record(tag) if self.is_repacked(tag) => {
                    self.repack(tag)?;
                    Crossing::Repacked(tag.clone())
                }
                Type::Record(tag) if !whose.lenient => self.record_by_value(tag)?,
                kind => by_value(kind),
            });
        };
        if let Type::Function(signature) = &to.kind {
            if noted == Some(Pass::Value) {
                return Ok(Crossing::Value);
            }
            let place = format!("{}.{}", whose.name, parameter.name);
            let name = value.typedef.clone().unwrap_or(place);
            return match self.pointed(signature, Some(&name)) {
                Ok(number) => Ok(Crossing::Function(number)),
                Err(_) if whose.lenient => Ok(Crossing::Value),
                Err(why) => Err(why),
            };
        }
        if let Some(pass) = noted {
            return self.noted(&pass, to);
        }
        if streams::is_stream(&value.kind) && streams::can_cross(whose) {
            return Ok(Crossing::Stream(self.pointed(&streams::operation(), None)?));
        }
        match self.by_type(whose, index, to) {
            Err(_) if whose.lenient || self.notes.defaults.pointers == Pointers::Shared => {
                Ok(Crossing::Shared)
            }
            Err(why) if why.contains("wrap.toml") => Err(why),
            Err(why) => {
                let next = whose.signature.parameters.get(index + 1);
                if let Some(length) = next.filter(|next| is_amount_there(next)) {
                    let length = &length.name;
                    let how = format!("\"out[*{length}], back[*{length}]\", if that is so");
                    return Err(format!("{why}; {}", line(&how)));
                }
                let how = self.ways(&Beside::of(&whose.signature.parameters, index, to), to);
                let spelling = &value.spelling;
                Err(format!(
                    "{why}; {}, or of all of that type: [type] \"{spelling}\" = ...",
                    line(&how)
                ))
            }
            decided => decided,
        }
    }

    /// What `wrap.toml` may say of a pointer that was not decided.
    fn ways(&self, beside: &Beside, to: &Value) -> String {
        let Some(count) = beside.count() else {
            return "\"shared\"".into();
        };
        match (&to.kind, to.is_const) {
            (Type::Void, true) => format!("\"in[{count}]\", or \"value\" or \"shared\""),
            (Type::Void, false) => {
                format!("\"inout[{count}]\", \"out[{count}]\", \"value\" or \"shared\"")
            }
            (Type::Pointer(behind), _) if self.leaves_behind(behind) => {
                let strings = match behind.kind {
                    Type::Char => {
                        format!("\"strings[{count}]\", \"strings\" if the last one is null, ")
                    }
                    _ => String::new(),
                };
                format!(
                    "{strings}\"out[{count}]\" if the library puts its own there, \"in[{count}]\" if \
                     they are the library's, or \"shared\""
                )
            }
            (Type::Char, true) => format!("\"string\", or \"in[{count}]\""),
            (_, true) => format!("\"in\" if it is to one, or \"in[{count}]\""),
            (_, false) => {
                format!("\"inout\" or \"out\" if it is to one, or \"inout[{count}]\"")
            }
        }
    }

    /// Whether `wrap.toml` says of a pointer that nothing crosses but the address.
    pub(super) fn noted_as_value(&self, whose: Whose, index: usize) -> bool {
        let Parameter { name, value, .. } = &whose.signature.parameters[index];
        let table = self.table(whose);
        let noted = self
            .notes
            .parameter(table, whose.name, index, name, &value.spelling);
        noted == Some(&Pass::Value)
    }

    /// What `wrap.toml` says.
    pub(super) fn noted(&mut self, pass: &Pass, to: &Value) -> Result<Crossing, String> {
        Ok(match pass {
            Pass::Value => Crossing::Value,
            Pass::Shared => Crossing::Shared,
            Pass::Descriptor(_) => return Err("a pointer is no file descriptor".into()),
            Pass::Text => return Err("only a field of a struct can be \"text\"".into()),
            Pass::Null => {
                return Err("only a function pointer in a struct can be \"null\"".into());
            }
            Pass::Argument => return Err("only a result can be \"argument\"".into()),
            Pass::String => Crossing::Text,
            Pass::Strings(count) => Crossing::Texts(count.clone()),
            Pass::Data(data) => Crossing::Data(self.block(data, to)?),
        })
    }

    fn block(&mut self, data: &Data, to: &Value) -> Result<Block, String> {
        let element = self.element(to)?;
        if data.count.is_none() && to.kind == Type::Void {
            return Err(
                "a pointer to anything: wrap.toml has to say how much, as in[COUNT]".into(),
            );
        }
        if to.kind.pointed_record().is_none() && self.is_incomplete(&to.kind) {
            return Err("the headers do not say what is behind it: nothing can be copied".into());
        }
        if matches!(element, Element::Repacked(_)) && (data.keeps || data.moves) {
            return Err(
                "it is laid out differently and converted: what the library keeps, or moves on \
                 over, cannot be"
                    .into(),
            );
        }
        if matches!(element, Element::Record(_)) && data.count.is_some() {
            return Err(
                "an array of structs with pointers in them: it can only be \"shared\"".into(),
            );
        }
        Ok(Block {
            reads: data.reads,
            writes: data.writes,
            count: data.count.clone().unwrap_or_else(one),
            back: data.back.clone(),
            keeps: data.keeps,
            moves: data.moves,
            follows: element == Element::Bytes && self.is_followed(to),
            element,
        })
    }

    /// Whether what a pointer leads to, that crosses as it is, may be the program's.
    fn leaves_behind(&self, to: &Value) -> bool {
        match &to.kind {
            Type::Function(_) => false,
            Type::Void => to.typedef.is_none(),
            Type::Record(tag) => !self.is_handle(tag),
            _ => true,
        }
    }

    fn is_incomplete(&self, kind: &Type) -> bool {
        matches!(kind, Type::Record(tag) if self.guest.records[tag].layout.is_none())
    }

    /// What an array or a single object of this type consists of.
    pub(super) fn element(&mut self, value: &Value) -> Result<Element, String> {
        let kind = &value.kind;
        match kind {
            Type::Pointer(to) => match &to.kind {
                Type::Function(signature) => Ok(Element::Functions(
                    self.pointed(signature, value.typedef.as_deref())?,
                )),
                _ => Ok(match self.object(kind) {
                    Some(tag) => Element::Objects(tag),
                    None => Element::Bytes,
                }),
            },
            Type::Record(tag) => self.record(tag),
            Type::Array { element, .. } => match self.element(element)? {
                Element::Bytes => Ok(Element::Bytes),
                Element::Repacked(_) => {
                    Err("an array of arrays of structs that are laid out differently".into())
                }
                _ => Err("an array of arrays of pointers".into()),
            },
            _ => Ok(Element::Bytes),
        }
    }

    fn by_type(&mut self, whose: Whose, index: usize, to: &Value) -> Result<Crossing, String> {
        let parameters = &whose.signature.parameters;
        let parameter = &parameters[index];
        let Beside { amount, doubt } = Beside::of(parameters, index, to);
        let data = |count: Option<String>| Data {
            reads: true,
            writes: !to.is_const,
            count: count.map(|expression| Count {
                expression,
                in_bytes: false,
            }),
            back: None,
            keeps: false,
            moves: false,
        };
        if let Some(tag) = self.object(&parameter.value.kind) {
            return Ok(Crossing::Object(tag));
        }
        // Where the library puts one that it made.
        if !to.is_const
            && amount.is_none()
            && !parameter.is_array
            && interfaces::interface(self.guest, &to.kind).is_some()
        {
            return Ok(Crossing::Data(self.block(&data(None), to)?));
        }
        if let Type::Record(tag) = &to.kind {
            return match self.way(tag) {
                Some(Way::Handle) => Ok(Crossing::Handle),
                Some(Way::Shared) => Ok(Crossing::Shared),
                Some(Way::Copy | Way::Kept) => Ok(Crossing::Data(self.block(&data(None), to)?)),
                None if self.is_handle(tag) => Ok(Crossing::Handle),
                None if amount.is_some() || doubt.is_some() || parameter.is_array => {
                    // What is wrong with the struct itself comes first.
                    self.element(to)?;
                    Err(doubt.map_or_else(
                        || {
                            "it may be to several structs, as a number follows or an array is \
                             written"
                                .into()
                        },
                        |doubt| doubt.why,
                    ))
                }
                None => Ok(Crossing::Data(self.block(&data(None), to)?)),
            };
        }
        // A type of its own, for objects of which nobody is to know more.
        if to.kind == Type::Void && to.typedef.is_some() {
            return Ok(Crossing::Handle);
        }
        if let Type::Pointer(behind) = &to.kind
            && (amount.is_some() || parameter.is_array)
            && self.leaves_behind(behind)
        {
            return Err("what its pointers lead to would not cross with them".into());
        }
        if let Some(elements) = parameter.elements {
            // In C it is how many there are at least.
            if let Some(amount) = amount {
                let amount = &amount.name;
                return Err(format!(
                    "it is to {elements} or more, or as many as {amount} says"
                ));
            }
            if elements == 1 && to.kind == Type::Char && to.is_const {
                return Err("an array of one may be text".into());
            }
            let data = data(Some(elements.to_string()));
            return Ok(Crossing::Data(self.block(&data, to)?));
        }
        if parameter.is_array {
            return Err("nothing says how long the array is".into());
        }
        // Without an amount, what is to anything is refused for that.
        if let Some(doubt) = doubt.filter(|_| amount.is_some() || to.kind != Type::Void) {
            return Err(doubt.why);
        }
        let size = match &to.kind {
            Type::Void => 1,
            kind => kind.integer_size().unwrap_or(0),
        };
        if let Some(amount) = amount
            && to.kind == Type::Void
            && may_be_user_data(parameters, index)
            && !names::is_of(&amount.name, &parameter.name)
        {
            return Err(format!(
                "it may be the program's own data, or memory of which {} is the amount",
                amount.name
            ));
        }
        match (&to.kind, amount) {
            (_, Some(amount)) if size == 1 || names::counts_elements(&amount.name) => {
                let data = data(Some(amount.name.clone()));
                Ok(Crossing::Data(self.block(&data, to)?))
            }
            (_, Some(amount)) => Err(format!("{} may count bytes or elements", amount.name)),
            (Type::Char, None) if to.is_const => Ok(Crossing::Text),
            (Type::Void, None) if is_user_data(parameters, index) => Ok(Crossing::Value),
            (Type::Void | Type::Char, None) => Err("nothing says how much it is to".into()),
            (Type::Pointer(_) | Type::Float(_), None) | (_, None)
                if !to.is_const
                    && self.notes.defaults.elements == Elements::One
                    && (size > 1 || matches!(to.kind, Type::Pointer(_) | Type::Float(_))) =>
            {
                Ok(Crossing::Data(self.block(&data(None), to)?))
            }
            _ => Err("nothing says to how many".into()),
        }
    }
}

/// What crosses by value.
pub(super) fn by_value(kind: &Type) -> Crossing {
    match kind {
        Type::Void => Crossing::Nothing,
        kind if kind.integer_size().is_some_and(|size| size <= 8) => Crossing::Number,
        Type::Float(Float::Single | Float::Double) => Crossing::Number,
        _ => Crossing::Record,
    }
}

/// A single element.
pub(super) fn one() -> Count {
    Count {
        expression: "1".into(),
        in_bytes: false,
    }
}

/// Whether a parameter is a number that is called like an amount.
pub(crate) fn is_amount(parameter: &Parameter) -> bool {
    let size = parameter.value.kind.integer_size();
    size.is_some_and(|size| size >= 4) && names::is_amount(&parameter.name)
}

/// A pointer to a number that is called like an amount.
fn is_amount_there(parameter: &Parameter) -> bool {
    let to = parameter.value.kind.pointee();
    let size = to.and_then(|to| to.kind.integer_size());
    size.is_some_and(|size| size >= 4) && names::is_amount(&parameter.name)
}

/// Whether a pointer to anything is called like data of the program's own, or stands where
/// such data do.
fn may_be_user_data(parameters: &[Parameter], index: usize) -> bool {
    let Parameter { name, value, .. } = &parameters[index];
    let is_const = value.kind.pointee().is_some_and(|to| to.is_const);
    let former = index.checked_sub(1).map(|former| &parameters[former].value);
    let follows_function = former.is_some_and(|it| it.kind.pointed_signature().is_some());
    names::is_user_data(name) || (follows_function && !is_const)
}

/// A pointer to anything goes with the function pointer in front of it, or the only one
/// there is, or is called as such things are.
fn is_user_data(parameters: &[Parameter], index: usize) -> bool {
    let has_function = |p: &Parameter| p.value.kind.pointed_signature().is_some();
    let pointers = parameters.iter().filter(|p| {
        let to = p.value.kind.pointee();
        to.is_some_and(|to| to.kind == Type::Void)
    });
    let follows_function = index > 0 && has_function(&parameters[index - 1]);
    names::is_user_data(&parameters[index].name)
        || follows_function
        || (parameters.iter().any(has_function) && pointers.count() == 1)
}

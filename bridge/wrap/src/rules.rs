//! Decides how everything crosses that a function takes and returns, for functions that
//! a native program calls and a library in the guest does.
//!
//! What the library makes is readable by the program where it is, so what comes back
//! crosses as it is. What the program makes is elsewhere, unless it took shared memory:
//! it has to be copied, and so it has to be known how much it is. Where types do not say,
//! `wrap.toml` must; nothing is guessed that could corrupt memory.

mod descriptors;
mod interfaces;
mod inward;
pub(crate) mod names;
pub(crate) mod pointers;
mod reach;
mod records;
mod repacked;
mod streams;
mod variables;

use crate::abi::Abi;
use crate::elf::Exports;
use crate::model::{Float, Function, Header, Signature, Type, Value};
use crate::notes::{Count, FunctionNotes, Letter, Notes, Pass, fits, said};
pub use inward::Held;
use pointers::by_value;
pub use reach::Reached;
pub(crate) use repacked::integer_type;
use repacked::resized;
use std::collections::{BTreeMap, BTreeSet};
pub use variables::{Slot, VariableRule};

/// What was decided on a library.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Its exported functions that the headers declare.
    pub functions: BTreeMap<String, Decision>,
    /// Its exported variables that the headers declare; why not, of those that do not cross.
    pub variables: BTreeMap<String, Result<VariableRule, String>>,
    /// What the function pointers point at that cross, by number.
    pub signatures: Vec<Pointed>,
    /// The structs of which copies are made field by field.
    pub records: BTreeMap<String, RecordRule>,
    /// The structs that are tables of functions of the library's objects, with the
    /// functions' signatures; none for one that cannot be called.
    pub tables: BTreeMap<String, Vec<Option<usize>>>,
    /// The structs that are converted field by field.
    pub repacked: BTreeSet<String>,
    /// The structs that come by value, and the pointers in them that programs follow.
    pub held: BTreeMap<String, Vec<Held>>,
    /// The structs that are used where they are, and lead to functions.
    pub reached: BTreeMap<String, Vec<(String, Reached)>>,
}

/// What becomes of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is wrapped, and so it crosses.
    Wrapped(Rule),
    /// It is not; why, and what would settle it.
    Refused(String),
}

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

/// What tells what follows the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// A format.
    Format(FormatRule),
    /// A parameter, by its number, that selects one of the function's variants; how each
    /// crosses, with all that it takes.
    Variants(usize, Vec<Rule>),
}

/// Where a function like printf has its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatRule {
    /// The parameter that is the format.
    pub format: usize,
    /// The parameter that is a `va_list`, if the arguments come in one.
    pub list: Option<usize>,
    /// Conversions beyond `s` that take strings.
    pub strings: String,
    /// The letters of a format that is not as for printf.
    pub letters: BTreeMap<char, Letter>,
}

/// Where a function that is pointed to is told what to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The parameter that is the format.
    pub format: usize,
    /// The parameter that is a `va_list`, if the arguments come in one.
    pub list: Option<usize>,
}

/// What a function pointer points at.
#[derive(Clone, Debug)]
pub struct Pointed {
    /// The function's type.
    pub signature: Signature,
    /// Its name in `wrap.toml`, if something is said there.
    pub name: Option<String>,
    /// Of a function like printf or vprintf: what crosses instead is the text that its caller
    /// makes.
    pub told: Option<Told>,
    /// What would be its name there: that of one of the types that have this signature.
    pub called: String,
    /// How a call of the program's function by the library crosses. Pointers to data are
    /// looked at, not copied.
    pub inward: Rule,
    /// How a call of the library's function by the program crosses, or why it cannot.
    pub outward: Result<Rule, String>,
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
    /// A struct by value that is converted, of [`Rules::repacked`].
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
    /// functions, by [`Rules::tables`].
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
    /// Structs with pointers in them, by [`Rules::records`].
    Record(String),
    /// Structs that are converted, of [`Rules::repacked`].
    Repacked(String),
    /// Pointers to functions of this signature.
    Functions(usize),
    /// Pointers to objects that begin with the address of a table, by [`Rules::tables`].
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

/// Decides on every exported function that the headers declare.
pub fn decide(exports: &Exports, guest: &Header, host: &Header, notes: &Notes) -> Rules {
    let mut decider = Decider {
        guest,
        host,
        abi: Abi::new(guest, host)
            .with_handles(&notes.defaults.handles)
            .leaving_variadic(),
        notes,
        rules: Rules::default(),
        busy: BTreeSet::new(),
    };
    let exported = exports.functions.keys();
    for name in exported.filter(|name| guest.functions.contains_key(*name)) {
        let decision = match decider.function(name) {
            Ok(rule) => Decision::Wrapped(rule),
            Err(why) => Decision::Refused(why),
        };
        decider.rules.functions.insert(name.clone(), decision);
    }
    let exported = exports.variables.iter();
    for (name, symbol) in exported.filter(|(name, _)| guest.variables.contains_key(*name)) {
        let rule = decider.variable(name, symbol);
        decider.rules.variables.insert(name.clone(), rule);
    }
    decider.rules
}

/// Whether something gets wider where no parameter says what it is.
fn is_promoted(kind: &Type) -> bool {
    *kind == Type::Float(Float::Single) || kind.integer_size().is_some_and(|size| size < 4)
}

struct Decider<'a> {
    guest: &'a Header,
    host: &'a Header,
    abi: Abi<'a>,
    notes: &'a Notes,
    rules: Rules,
    /// Structs that are being decided on.
    busy: BTreeSet<String>,
}

/// Whose parameters are being decided on.
#[derive(Clone, Copy)]
struct Whose<'a> {
    /// The table of `wrap.toml`.
    table: &'static str,
    name: &'a str,
    signature: &'a Signature,
    /// Whether undecided pointers cross as shared ones instead of being refused.
    lenient: bool,
}

impl Decider<'_> {
    fn function(&mut self, name: &str) -> Result<Rule, String> {
        let guest = self.guest;
        let function = &guest.functions[name];
        let refused = self.notes.defaults.refuse.iter();
        if let Some((_, why)) = refused.into_iter().find(|(pattern, _)| fits(pattern, name)) {
            return Err(format!("wrap.toml refuses it: {why}"));
        }
        if !function.signature.prototype {
            return Err("the headers do not say what it takes".into());
        }
        let whose = Whose {
            table: "function",
            name,
            signature: &function.signature,
            lenient: false,
        };
        let Some(host) = self.host.functions.get(name) else {
            return Err("the headers declare it for the guest alone".into());
        };
        let variable = match function.variants[..] {
            [] => self.format(name, function)?.map(Variable::Format),
            _ => Some(self.variants(whose, function, host)?),
        };
        let mut rule = self.rule(whose, Some(&host.signature), variable)?;
        for (proc, typedef) in said(&self.notes.functions, name).flat_map(|notes| &notes.procs) {
            let found = guest.typedefs.get(typedef);
            let signature = found.and_then(|found| match &found.value.kind {
                Type::Function(signature) => Some(signature.as_ref()),
                kind => kind.pointed_signature(),
            });
            let Some(signature) = signature else {
                return Err(format!("procs.{proc}: {typedef} is no type of functions"));
            };
            let number = self.pointed(signature, Some(typedef))?;
            rule.procs.insert(proc.clone(), number);
        }
        Ok(rule)
    }

    /// How the arguments cross that are not declared, by what a format says.
    fn format(&self, name: &str, function: &Function) -> Result<Option<FormatRule>, String> {
        let parameters = &function.signature.parameters;
        let list = function.signature.list();
        let notes: Vec<_> = said(&self.notes.functions, name).collect();
        let noted = notes.iter().find_map(|notes| notes.format.as_ref());
        let noted = noted.and_then(|format| parameters.iter().position(|p| p.name == *format));
        let attribute = function.format.as_ref();
        let attribute = attribute.filter(|format| format.like.contains("printf"));
        if !function.signature.variadic && list.is_none() {
            return Ok(None);
        }
        let Some(format) = noted.or(attribute.map(|format| format.format)) else {
            let described = format!(
                "if they are described as for printf, say in wrap.toml: [function.{name}] \
                 format = \"PARAMETER\", and format_letters if in other letters"
            );
            return Err(match (list, parameters.last()) {
                (None, Some(last)) => format!(
                    "it takes more arguments than it declares; {described}, or if {} tells what \
                     they are, variants = {{ CONSTANT = \"TYPE, TYPE\" }}",
                    last.name
                ),
                _ => format!("it takes a va_list; {described}"),
            });
        };
        Ok(Some(FormatRule {
            format,
            list,
            strings: notes
                .iter()
                .find_map(|notes| notes.format_strings.clone())
                .unwrap_or_default(),
            letters: notes
                .iter()
                .map(|notes| &notes.format_letters)
                .find(|letters| !letters.is_empty())
                .cloned()
                .unwrap_or_default(),
        }))
    }

    /// The same, by what wrap.toml says for each value of a parameter.
    fn variants(
        &mut self,
        whose: Whose,
        function: &Function,
        host: &Function,
    ) -> Result<Variable, String> {
        let parameters = &function.signature.parameters;
        let noted = said(&self.notes.functions, whose.name).find_map(|n| n.selector.as_ref());
        let selector = match noted {
            Some(noted) => parameters.iter().position(|p| p.name == *noted),
            None => parameters.len().checked_sub(1),
        };
        let is_number = |index: &usize| parameters[*index].value.kind.integer_size().is_some();
        let Some(selector) = selector.filter(is_number) else {
            return Err(format!(
                "no integer selects one of its variants; say in wrap.toml: [function.{}] \
                 selector = \"PARAMETER\"",
                whose.name
            ));
        };
        let mut rules = Vec::new();
        for (variant, host) in function.variants.iter().zip(&host.variants) {
            let whose = Whose {
                signature: &variant.signature,
                ..whose
            };
            let further = &variant.signature.parameters[parameters.len()..];
            let rule = match further.iter().find(|p| is_promoted(&p.value.kind)) {
                Some(promoted) => Err(format!(
                    "{} is passed as a wider type, which has to be written there",
                    promoted.value.spelling
                )),
                None => self.rule(whose, Some(&host.signature), None),
            };
            rules.push(rule.map_err(|why| format!("variants.{}: {why}", variant.key))?);
        }
        Ok(Variable::Variants(selector, rules))
    }

    fn table(&self, whose: Whose) -> &BTreeMap<String, FunctionNotes> {
        match whose.table {
            "function" => &self.notes.functions,
            _ => &self.notes.callbacks,
        }
    }

    /// `host` is the same function for the host, unless it is known that the two mean the
    /// same.
    fn rule(
        &mut self,
        whose: Whose,
        host: Option<&Signature>,
        variable: Option<Variable>,
    ) -> Result<Rule, String> {
        if host.is_some_and(|host| host.parameters.len() != whose.signature.parameters.len()) {
            return Err("it takes other parameters on the host".into());
        }
        let mut parameters = Vec::new();
        for (index, parameter) in whose.signature.parameters.iter().enumerate() {
            let is_list = matches!(&variable, Some(Variable::Format(it)) if it.list == Some(index));
            let crossing = if is_list {
                Crossing::Nothing
            } else {
                let there = host.map(|host| &host.parameters[index].value);
                self.compared_parameter(whose, index, there)
                    .map_err(|why| {
                        // Of a struct it is the same for whatever takes one.
                        if why.contains("[struct.") {
                            return why;
                        }
                        format!("{} ({}): {why}", parameter.name, parameter.value.spelling)
                    })?
            };
            parameters.push(crossing);
        }
        let result = &whose.signature.result;
        let returned = match (&result.kind, self.repacked_in(&result.kind)) {
            (Type::Record(tag), Some(_)) => {
                self.repack(tag).map(|()| Crossing::Repacked(tag.clone()))
            }
            (_, Some(_)) if host.is_none() => Err(self.difference(&result.kind)),
            (kind, None) if let Some(resized) = resized(kind, host.map(|h| &h.result.kind)) => {
                Ok(resized)
            }
            _ => host
                .map_or(Ok(()), |host| self.same(result, &host.result))
                .and_then(|()| self.returned(whose, result)),
        };
        let result = returned.map_err(|why| format!("returns {}: {why}", result.spelling))?;
        let on_crash = said(self.table(whose), whose.name).find_map(|n| n.on_crash.clone());
        let rule = Rule {
            parameters,
            result,
            on_crash,
            variable: variable.map(Box::new),
            procs: BTreeMap::new(),
        };
        self.reach_of(whose, &rule);
        Ok(rule)
    }

    /// How a parameter crosses, if both sides mean the same by it or it can be converted.
    fn compared_parameter(
        &mut self,
        whose: Whose,
        index: usize,
        there: Option<&Value>,
    ) -> Result<Crossing, String> {
        let value = &whose.signature.parameters[index].value;
        if let Some(resized) = resized(&value.kind, there.map(|there| &there.kind)) {
            return Ok(resized);
        }
        if self.noted_as_value(whose, index)
            || streams::is_stream(&value.kind) && streams::can_cross(whose)
        {
            return self.parameter(whose, index);
        }
        if self.repacked_in(&value.kind).is_none() || self.is_way_handle(&value.kind) {
            there.map_or(Ok(()), |there| self.same(value, there))?;
            return self.parameter(whose, index);
        }
        match self.parameter(whose, index)? {
            crossing if crossing.converts() => Ok(crossing),
            _ => Err(self.difference(&value.kind)),
        }
    }

    fn returned(&mut self, whose: Whose, result: &Value) -> Result<Crossing, String> {
        let noted = said(self.table(whose), whose.name).find_map(|notes| notes.returns.as_ref());
        let noted = noted.or_else(|| self.notes.types.get(&result.spelling));
        // What was copied for the call is found again by its address.
        let noted = noted.filter(|pass| **pass != Pass::Argument).cloned();
        if let Some(Pass::Descriptor(noted)) = &noted {
            return descriptors::result(whose, result, noted);
        }
        let object = match &noted {
            None => self.object(&result.kind),
            Some(_) => None,
        };
        Ok(match &result.kind {
            Type::Pointer(_) if object.is_some() => Crossing::Object(object.unwrap_or_default()),
            Type::Pointer(to) => match (noted, &to.kind) {
                (_, Type::Function(signature)) => {
                    Crossing::Function(self.pointed(signature, result.typedef.as_deref())?)
                }
                (Some(Pass::Value), _) => Crossing::Value,
                (Some(Pass::String), _) => Crossing::Text,
                (Some(_), Type::Void) => Crossing::Value,
                (Some(_), _) => Crossing::Shared,
                (None, Type::Char) => Crossing::Text,
                (None, Type::Void) => Crossing::Value,
                (None, Type::Record(tag)) if self.is_handle(tag) => Crossing::Value,
                (None, _) => Crossing::Shared,
            },
            kind => {
                self.hold(kind);
                by_value(kind)
            }
        })
    }

    /// The number of a function type to which pointers cross.
    fn pointed(&mut self, signature: &Signature, typedef: Option<&str>) -> Result<usize, String> {
        let notes = &self.notes.callbacks;
        let name = typedef.filter(|typedef| said(notes, typedef).next().is_some());
        let known = self
            .rules
            .signatures
            .iter()
            .position(|known| known.signature == *signature && known.name.as_deref() == name);
        if let Some(known) = known {
            return Ok(known);
        }
        if !signature.prototype {
            return Err("nothing says what the function takes that it points at".into());
        }
        let told = self.told(signature, typedef)?;
        let whose = Whose {
            table: "callback",
            name: name.unwrap_or_default(),
            signature,
            lenient: true,
        };
        // First without rules, as it may take pointers to such functions itself.
        let number = self.rules.signatures.len();
        let unknown = Rule {
            parameters: Vec::new(),
            result: Crossing::Nothing,
            on_crash: None,
            variable: None,
            procs: BTreeMap::new(),
        };
        self.rules.signatures.push(Pointed {
            signature: signature.clone(),
            name: name.map(Into::into),
            told,
            called: typedef.unwrap_or("TYPEDEF").to_owned(),
            inward: unknown.clone(),
            outward: Err("not decided".into()),
        });
        let inward = self.inward(whose);
        let (mut parameters, result) = match inward {
            Ok(inward) => inward,
            Err(why) => {
                // Whoever asks next is told the same.
                if number + 1 == self.rules.signatures.len() {
                    self.rules.signatures.pop();
                }
                return Err(format!(
                    "it points at a function of which something cannot cross: {why}"
                ));
            }
        };
        let on_crash = said(&self.notes.callbacks, whose.name).find_map(|n| n.on_crash.clone());
        let list = told.and_then(|told| told.list);
        if let Some(list) = list {
            parameters[list] = Crossing::Nothing;
        }
        self.rules.signatures[number].inward = Rule {
            parameters,
            result,
            on_crash,
            ..unknown
        };
        self.reach_inward(signature);
        let mut outward = self.rule(whose, None, None);
        if let (Some(told), Ok(rule)) = (told, &mut outward) {
            rule.parameters[told.format] = Crossing::Text;
            if let Some(list) = list {
                rule.parameters[list] = Crossing::Nothing;
            }
        }
        self.rules.signatures[number].outward = outward;
        Ok(number)
    }

    /// What tells a function that is pointed to what follows, or what its `va_list` holds.
    fn told(&self, signature: &Signature, typedef: Option<&str>) -> Result<Option<Told>, String> {
        let list = signature.list();
        if !signature.variadic && list.is_none() {
            return Ok(None);
        }
        let name = typedef.unwrap_or("TYPEDEF");
        let noted = said(&self.notes.callbacks, name).find_map(|n| n.format.as_ref());
        let mut parameters = signature.parameters.iter();
        let Some(noted) = noted else {
            let takes = match list {
                Some(_) => "a va_list",
                None => "more arguments than it declares",
            };
            return Err(format!(
                "it points at a function that takes {takes}; if they are described as for printf, \
                 say in wrap.toml: [callback.{name}] format = \"PARAMETER\""
            ));
        };
        let is_text = |value: &Value| value.kind.pointee().is_some_and(|to| to.kind == Type::Char);
        let found = parameters.position(|p| p.name == *noted && is_text(&p.value));
        match found {
            Some(format) => Ok(Some(Told { format, list })),
            None => Err(format!(
                "it points at a function without a text called {noted}"
            )),
        }
    }
}

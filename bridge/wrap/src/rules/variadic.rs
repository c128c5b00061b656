//! Functions that take more than they declare, or a `va_list`.

use super::{Decider, Rule, Whose};
use crate::model::{Float, Function, Signature, Type, Value};
use crate::notes::{Letter, said};
use std::collections::BTreeMap;

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

/// Whether something gets wider where no parameter says what it is.
fn is_promoted(kind: &Type) -> bool {
    *kind == Type::Float(Float::Single) || kind.integer_size().is_some_and(|size| size < 4)
}

impl Decider<'_> {
    /// How the arguments cross that are not declared, by what a format says.
    pub(super) fn format(
        &self,
        name: &str,
        function: &Function,
    ) -> Result<Option<FormatRule>, String> {
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
        let described = function.format.as_ref();
        if let Some(other) = described.filter(|format| !format.like.contains("printf")) {
            return Err(format!(
                "what follows is as for {}, and so it is not known what the library writes there",
                other.like
            ));
        }
        let Some(format) = noted.or(attribute.map(|format| format.format)) else {
            let described = format!(
                "if they are described as for printf, say in wrap.toml: [function.{name}] \
                 format = \"PARAMETER\", and format_letters if in other letters"
            );
            return Err(match (list, parameters.last()) {
                (None, Some(last)) if last.value.kind.integer_size().is_some() => format!(
                    "it takes more arguments than it declares; {described}, or if {} tells what \
                     they are, variants = {{ CONSTANT = \"TYPE, TYPE\" }}",
                    last.name
                ),
                (None, _) => format!(
                    "it takes more arguments than it declares, and no integer before them tells \
                     what they are; {described}"
                ),
                (Some(_), _) => format!("it takes a va_list; {described}"),
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
    pub(super) fn variants(
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

    /// What tells a function that is pointed to what follows, or what its `va_list` holds.
    pub(super) fn told(
        &self,
        signature: &Signature,
        typedef: Option<&str>,
    ) -> Result<Option<Told>, String> {
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

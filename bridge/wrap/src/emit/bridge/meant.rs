//! The words of `wrap.toml` that C reads as the headers mean them: constants in amounts,
//! and the like.

use super::Plan;
use crate::model::Signature;
use crate::rules::{Block, Crossing, Decision, Rule};
use crate::words::words;
use std::collections::BTreeSet;

/// All of them, but for those that name a parameter or a field.
pub fn words_of_notes<'a>(plan: &Plan<'a>) -> BTreeSet<&'a str> {
    let mut meant = BTreeSet::new();
    for function in plan.wrapped() {
        of_rule(function.rule, function.signature, &mut meant);
    }
    for (name, decision) in &plan.rules.functions {
        if let Decision::Wrapped(rule) = decision {
            of_rule(rule, &plan.guest.functions[name].signature, &mut meant);
        }
    }
    for pointed in &plan.rules.signatures {
        of_rule(&pointed.inward, &pointed.signature, &mut meant);
        if let Ok(rule) = &pointed.outward {
            of_rule(rule, &pointed.signature, &mut meant);
        }
    }
    for (tag, rule) in &plan.rules.records {
        let record = &plan.guest.records[tag];
        let amounts = rule.fields.iter().flat_map(|(_, it)| amounts(it));
        let words = amounts.flat_map(words).map(|(word, _)| word);
        meant.extend(words.filter(|word| record.field(word).is_none()));
    }
    let functions = plan.guest.functions.values();
    let variants = functions.flat_map(|function| &function.variants);
    let values = variants.flat_map(|variant| &variant.values);
    meant.extend(values.flat_map(|value| words(value)).map(|(word, _)| word));
    meant
}

fn of_rule<'a>(rule: &'a Rule, signature: &Signature, meant: &mut BTreeSet<&'a str>) {
    let amounts = rule.parameters.iter().flat_map(amounts);
    let on_crash = rule.on_crash.iter().map(String::as_str);
    let words = amounts
        .chain(on_crash)
        .flat_map(words)
        .map(|(word, _)| word);
    let is_parameter = |word: &str| {
        let mut parameters = signature.parameters.iter();
        parameters.any(|parameter| parameter.name == word)
    };
    meant.extend(words.filter(|word| *word != "result" && !is_parameter(word)));
}

/// The amounts in how something crosses.
fn amounts(crossing: &Crossing) -> impl Iterator<Item = &str> {
    let counts = match crossing {
        Crossing::Data(Block { count, back, .. }) | Crossing::Descriptors { count, back, .. } => {
            [Some(count), back.as_ref()]
        }
        Crossing::Texts(count) => [count.as_ref(), None],
        _ => [None, None],
    };
    counts
        .into_iter()
        .flatten()
        .map(|count| count.expression.as_str())
}

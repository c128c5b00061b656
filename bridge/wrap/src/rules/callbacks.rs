//! Functions that are pointed to, in both directions.

use super::{Crossing, Decider, Rule, Told, Whose};
use crate::model::Signature;
use crate::notes::said;
use std::collections::BTreeMap;

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

impl Decider<'_> {
    /// The number of a function type to which pointers cross.
    pub(super) fn pointed(
        &mut self,
        signature: &Signature,
        typedef: Option<&str>,
    ) -> Result<usize, String> {
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
}

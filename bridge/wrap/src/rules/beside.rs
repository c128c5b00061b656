//! What the parameters beside a pointer say of how much it is to.

use super::names;
use super::pointers::is_amount;
use crate::model::{Parameter, Type, Value};

/// What a pointer's neighbours say.
pub(super) struct Beside<'a> {
    /// The number after it that is called like an amount.
    pub(super) amount: Option<&'a Parameter>,
    /// Why it may be to another amount, or to more than one element.
    pub(super) doubt: Option<Doubt>,
}

/// Why names do not say how much it is.
pub(super) struct Doubt {
    pub(super) why: String,
    /// How much it may be, for wrap.toml; none if no number can say it.
    pub(super) count: Option<String>,
}

impl Doubt {
    fn new(why: String, count: &str) -> Self {
        let count = Some(count.to_owned());
        Self { why, count }
    }
}

impl<'a> Beside<'a> {
    /// Of the parameter with this index, which points to `to`.
    pub(super) fn of(parameters: &'a [Parameter], index: usize, to: &Value) -> Self {
        let amount = parameters.get(index + 1).filter(|next| is_amount(next));
        let doubt = match amount {
            Some(amount) => of_amount(amount, parameters, index, to),
            None => without_amount(parameters, index, to),
        };
        Self {
            amount,
            doubt: of_range(parameters, index).or(doubt),
        }
    }

    /// What wrap.toml would say of how much it is to.
    pub(super) fn count(&self) -> Option<&str> {
        match &self.doubt {
            Some(doubt) => doubt.count.as_deref(),
            None => Some(self.amount.map_or("COUNT", |amount| &amount.name)),
        }
    }
}

/// Why the number after a pointer may not be how many bytes or elements it is to.
fn of_amount(
    amount: &Parameter,
    parameters: &[Parameter],
    index: usize,
    to: &Value,
) -> Option<Doubt> {
    let (name, amount) = (&parameters[index].name, &amount.name);
    let is_called_alike = |it: &&str| names::is_of(it, name) || names::is_beside(it, name);
    let others = parameters[index + 2..].iter();
    let others = others.take_while(|next| is_amount(next));
    let mut others = others.map(|other| other.name.as_str());
    let both = |other| {
        let why = format!("{amount} and {other} may both say how much it is to");
        Doubt::new(why, &format!("{amount} * {other}"))
    };
    if is_called_alike(&amount.as_str()) {
        return others.find(is_called_alike).map(both);
    }
    let is_anything = to.kind == Type::Void;
    let is_bytes = is_one_byte(&to.kind);
    let counted = names::counted(amount);
    if counted.is_some_and(|counted| is_bytes || counted.is_before) {
        let why = format!("{amount} may count something else than what is there");
        return Some(Doubt::new(why, "COUNT"));
    }
    if !is_bytes {
        return None;
    }
    // `source, dest, n`: what is written may be more than what is read.
    let former = index.checked_sub(1).map(|former| &parameters[former]);
    let is_source = |former: &&Parameter| {
        let to = former.value.kind.pointee();
        to.is_some_and(|to| to.is_const && is_one_byte(&to.kind)) && !names::is_text(&former.name)
    };
    if let Some(Parameter { name: former, .. }) = former.filter(is_source)
        && !to.is_const
    {
        let why = format!("{amount} may be how much {former} is to");
        return Some(Doubt::new(why, "COUNT"));
    }
    // `base, count, size` as for qsort; `data, length, room`.
    let other = others.next();
    if let Some(other) = other.filter(|other| is_anything || !names::counts_elements(other)) {
        return Some(both(other));
    }
    (to.kind == Type::Char && to.is_const && names::is_name(name)).then(|| {
        let why = format!("it may be text, or {amount} may be how much it is to");
        Doubt::new(why, amount)
    })
}

fn is_one_byte(kind: &Type) -> bool {
    *kind == Type::Void || kind.integer_size() == Some(1)
}

/// Which number elsewhere may be the amount of a pointer that none follows.
fn without_amount(parameters: &[Parameter], index: usize, to: &Value) -> Option<Doubt> {
    let name = &parameters[index].name;
    let is_char = to.kind == Type::Char;
    if names::is_amount(name) || is_char && to.is_const && names::is_text(name) {
        return None;
    }
    // Of structs and pointers nobody says how many bytes they have.
    let is_counted = matches!(to.kind, Type::Record(_) | Type::Pointer(_));
    let may_be_its = |at: usize| {
        let counts = names::counts_elements(&parameters[at].name);
        is_amount(&parameters[at]) && (counts || !is_counted) && !(counts && is_char)
    };
    let is_pointer = |at: usize| parameters[at].value.kind.pointee().is_some();
    // One that follows another pointer is that one's, and one that follows an amount goes with it.
    let before = index
        .checked_sub(1)
        .filter(|at| *at == 0 || !is_pointer(at - 1));
    let is_free = |at: &usize| !is_pointer(at - 1) && !is_amount(&parameters[at - 1]);
    let after = (index + 2..parameters.len()).filter(is_free);
    let after = after.filter(|_| !matches!(to.kind, Type::Record(_)));
    let found = before.into_iter().chain(after).find(|at| may_be_its(*at));
    found.map(|at| {
        let amount = &parameters[at].name;
        Doubt::new(format!("{amount} may be how much it is to"), amount)
    })
}

/// Whether a pointer and a neighbour may be the two ends of a range.
fn of_range(parameters: &[Parameter], index: usize) -> Option<Doubt> {
    let is_range = |first: usize| {
        let [first, last] = [first, first + 1].map(|at| parameters.get(at));
        first.zip(last).is_some_and(|(first, last)| {
            first.value.spelling == last.value.spelling && names::is_end(&last.name)
        })
    };
    let other = match index.checked_sub(1).filter(|before| is_range(*before)) {
        Some(before) => before,
        None if is_range(index) => index + 1,
        None => return None,
    };
    let other = &parameters[other].name;
    Some(Doubt {
        why: format!("it and {other} may be the two ends of one range"),
        count: None,
    })
}

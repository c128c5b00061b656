//! What becomes of something that crosses.

use crate::model::Place;
use std::collections::BTreeSet;

/// What is to be done with something that crosses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Its bytes mean the same on both sides.
    #[default]
    Identical,
    /// It consists of the same things on both sides, and they lie differently: field by
    /// field it can be converted. Never empty.
    Repacked(Vec<Change>),
    /// It means something only on the side where it was made.
    Refused(Refusal),
}

/// What is in one place on the guest and in another on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `struct NAME.field`, or `struct NAME` of the whole.
    pub what: String,
    /// How it differs.
    pub difference: String,
    /// Where the guest declares it.
    pub place: Place,
}

/// Why something cannot cross.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it is, and why.
    pub reason: String,
    /// Where the guest declares it.
    pub place: Place,
}

/// All that can be said of a type that crosses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Of its own bytes; of a pointer, of what it leads to at once.
    pub verdict: Verdict,
    /// What the pointers in it lead to and cannot be used on the other side: types that
    /// are laid out differently, too, since nobody converts behind pointers in memory.
    pub behind: Vec<Refusal>,
    /// Those of them that the other side would read all the same, and wrongly: records and
    /// numbers of another form. What is not among them is an address that it cannot use.
    pub misread: Vec<Refusal>,
    /// What means the same, and yet is to be known.
    pub notes: BTreeSet<String>,
}

impl Comparison {
    /// The first reason why it cannot cross with everything that hangs on it.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.verdict {
            Verdict::Refused(refusal) => Some(refusal),
            _ => self.behind.first(),
        }
    }
}

/// A function that crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it returns.
    pub result: Comparison,
    /// What it takes.
    pub parameters: Vec<Comparison>,
    /// What is in the way but for those: no prototype, other parameters on the other side.
    pub refused: Option<Refusal>,
}

impl Call {
    /// The first reason why it cannot be called from the other side. That it is variadic
    /// is none: its format may say what it takes.
    pub fn refusal(&self) -> Option<&Refusal> {
        let values = std::iter::once(&self.result).chain(&self.parameters);
        self.refused
            .as_ref()
            .or_else(|| values.filter_map(Comparison::refusal).next())
    }

    /// What has to be converted.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        let values = std::iter::once(&self.result).chain(&self.parameters);
        values.flat_map(|value| match &value.verdict {
            Verdict::Repacked(changes) => changes.as_slice(),
            _ => &[],
        })
    }
}

/// Where a comparison stands: for messages.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) path: String,
    pub(crate) place: Place,
}

impl At {
    pub(super) fn refuse(&self, why: impl std::fmt::Display) -> Verdict {
        Verdict::Refused(self.refusal(why))
    }

    pub(super) fn change(&self, difference: String) -> Change {
        Change {
            what: self.path.clone(),
            difference,
            place: self.place.clone(),
        }
    }

    pub(super) fn refusal(&self, why: impl std::fmt::Display) -> Refusal {
        Refusal {
            reason: match self.path.as_str() {
                "" => why.to_string(),
                path => format!("{path}: {why}"),
            },
            place: self.place.clone(),
        }
    }
}

impl Call {
    pub(super) fn empty() -> Self {
        Self {
            result: Comparison::default(),
            parameters: Vec::new(),
            refused: None,
        }
    }
}

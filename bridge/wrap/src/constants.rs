//! Finds constants that are other numbers on the two targets: what one side takes for
//! `O_DIRECTORY` is `O_DIRECT` on the other.
//!
//! A compiler puts constants into programs and libraries, so nothing can translate them
//! when they cross. They can be known.

use crate::Error;
use crate::model::{Header, Place};
use crate::parse::{GUEST, HOST, Source};
use clang::diagnostic::Severity;
use clang::{EntityKind, TranslationUnit};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A constant that is not the same number on both targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant {
    /// Its name.
    pub name: String,
    /// Its value on the guest; none if it is no integer there, or not defined.
    pub guest: Option<i128>,
    /// Its value on the host.
    pub host: Option<i128>,
    /// Its definition, for the guest if it has one.
    pub place: Place,
}

/// The constants that differ: enumerators of the headers, and macros that are integers.
/// Those of the C library and the kernel are among them, where the headers include them
/// and their names are not reserved ones.
///
/// # Errors
/// No libclang.
pub fn differing(source: &Source, guest: &Header, host: &Header) -> Result<Vec<Constant>, Error> {
    let mut places: BTreeMap<&str, &Place> = BTreeMap::new();
    for header in [host, guest] {
        let macros = header.macros.iter();
        let public = macros.filter(|(name, place)| place.is_own || !name.starts_with('_'));
        places.extend(public.map(|(name, place)| (name.as_str(), place)));
    }
    let [of_guest, of_host] = macros(source, places.keys().copied().collect())?;
    let mut differing = compare(&places, &of_guest, &of_host);

    let mut places = BTreeMap::new();
    let mut values = [BTreeMap::new(), BTreeMap::new()];
    for (header, values) in [guest, host].into_iter().zip(&mut values) {
        for enumeration in header.enums.values() {
            for (name, value) in &enumeration.values {
                places.entry(name.as_str()).or_insert(&enumeration.place);
                values.insert(name.clone(), *value);
            }
        }
    }
    differing.extend(compare(&places, &values[0], &values[1]));
    Ok(differing)
}

fn compare(
    places: &BTreeMap<&str, &Place>,
    guest: &BTreeMap<String, i128>,
    host: &BTreeMap<String, i128>,
) -> Vec<Constant> {
    let constants = places.iter().map(|(name, place)| Constant {
        name: (*name).to_owned(),
        guest: guest.get(*name).copied(),
        host: host.get(*name).copied(),
        place: (*place).clone(),
    });
    constants
        .filter(|constant| constant.guest != constant.host)
        .collect()
}

/// What macros are on both targets, guest and host, those that are integers.
pub(crate) fn macros(
    source: &Source,
    mut names: BTreeSet<&str>,
) -> Result<[BTreeMap<String, i128>; 2], Error> {
    loop {
        let mut values = [BTreeMap::new(), BTreeMap::new()];
        let mut unfit = None;
        let asked: Vec<&str> = names.iter().copied().collect();
        source.parse(&questions(&asked), &[GUEST, HOST], |target, unit| {
            match answers(&asked, unit) {
                Ok(found) => values[target] = found,
                Err(index) => unfit = Some(asked[index]),
            }
            Ok(())
        })?;
        match unfit {
            // Some are no expressions, and so bad ones that nothing behind them is read.
            Some(name) => names.remove(name),
            None => return Ok(values),
        };
    }
}

const ASK: &str = "iotdec_constant_";
const AFTER: &str = "iotdec_after_";

/// Declares enumerators that have the values of macros; each on a line, and one behind it
/// that shows that the compiler has got so far.
fn questions(names: &[&str]) -> String {
    let mut text = String::from("\n");
    for (index, name) in names.iter().enumerate() {
        let _ = write!(
            text,
            "\n#ifdef {name}\nenum {{ {ASK}{index} = ({name}) }};\n#endif\n\
             enum {{ {AFTER}{index} }};\n"
        );
    }
    text
}

/// Reads the answers; an error is the number of the question that spoilt what is behind
/// it.
fn answers(names: &[&str], unit: &TranslationUnit) -> Result<BTreeMap<String, i128>, usize> {
    let mut wrong = BTreeSet::new();
    for diagnostic in unit.get_diagnostics() {
        if diagnostic.get_severity() >= Severity::Error {
            let location = diagnostic.get_location().get_expansion_location();
            wrong.insert(location.line);
        }
    }
    let mut values = BTreeMap::new();
    let mut reached = BTreeSet::new();
    for entity in unit.get_entity().get_children() {
        let is_enum = entity.get_kind() == EntityKind::EnumDecl;
        let Some(constant) = is_enum.then(|| entity.get_child(0)).flatten() else {
            continue;
        };
        let name = constant.get_name().unwrap_or_default();
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        if let Some(index) = number(AFTER) {
            reached.insert(index);
        }
        let (Some(index), Some((as_signed, as_unsigned))) =
            (number(ASK), constant.get_enum_constant_value())
        else {
            continue;
        };
        // What is wrong has a value too.
        let location = constant.get_location();
        if location.is_none_or(|l| wrong.contains(&l.get_file_location().line)) {
            continue;
        }
        let underlying = entity.get_enum_underlying_type();
        let is_signed = underlying.is_some_and(|kind| kind.is_signed_integer());
        let value = match is_signed {
            true => as_signed.into(),
            false => as_unsigned.into(),
        };
        values.insert(names[index].to_owned(), value);
    }
    match (0..names.len()).find(|index| !reached.contains(index)) {
        Some(index) => Err(index),
        None => Ok(values),
    }
}

//! Rules for a header that a test writes down.

use iotdec_wrap::elf::Exports;
use iotdec_wrap::notes::Notes;
use iotdec_wrap::parse::{self, Source};
use iotdec_wrap::rules::{Crossing, Decision, Rule, Rules, decide};
use iotdec_wrap::variants;

/// What is decided on all functions of a header.
pub fn rules(header: &str, config: &str) -> Rules {
    decided(header, config).unwrap_or_else(|error| panic!("{error}"))
}

/// The same, or what is wrong with the configuration.
pub fn decided(header: &str, config: &str) -> Result<Rules, String> {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("header.h");
    std::fs::write(&file, header).expect("room");
    let notes: Notes = toml::from_str(config).expect("TOML");
    let source = Source::of(&[&file], &notes.flags);
    let headers = parse::read(&source, &|_| true, [parse::GUEST, parse::HOST])
        .unwrap_or_else(|error| panic!("{error}"));
    let [guest, host] = variants::add(&source, &|_| true, &notes, headers)?;
    assert_eq!(notes.strangers(&guest), [""; 0]);
    let mut exports = Exports::default();
    for (name, function) in &guest.functions {
        if function.place.is_own {
            exports.functions.insert(name.clone(), None);
        }
    }
    Ok(decide(&exports, &guest, &host, &notes))
}

#[track_caller]
pub fn wrapped<'a>(rules: &'a Rules, name: &str) -> &'a Rule {
    match &rules.functions[name] {
        Decision::Wrapped(rule) => rule,
        Decision::Refused(why) => panic!("{name}: {why}"),
    }
}

#[track_caller]
pub fn refused(rules: &Rules, name: &str, says: &str) {
    match &rules.functions[name] {
        Decision::Refused(why) if why.contains(says) => {}
        other => panic!("{name}: {other:?}"),
    }
}

/// Count, whether it reads, whether it writes.
#[track_caller]
pub fn data<'a>(rules: &'a Rules, name: &str, index: usize) -> (&'a str, bool, bool) {
    match &wrapped(rules, name).parameters[index] {
        Crossing::Data(block) => (&block.count.expression, block.reads, block.writes),
        other => panic!("{name}: {other:?}"),
    }
}

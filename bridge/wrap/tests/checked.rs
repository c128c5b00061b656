//! What the host does for a guest that it does not trust, and what not.

use iotdec_wrap::checked::{Argument, Checked, decide};
use iotdec_wrap::choose::choose;
use iotdec_wrap::elf::Exports;
use iotdec_wrap::kept::kept;
use iotdec_wrap::notes::Notes;
use iotdec_wrap::{parse, rules};

const HEADER: &str = "
#include <stddef.h>
struct inner;
struct object { struct inner *inner; const unsigned char *in; unsigned left; void *opaque; };
struct linked { int value; struct linked *next; };
struct part { int number; };
struct pair { struct inner *inner; struct part part; };

int sum(const unsigned char *data, size_t size);
int name(const char *text);
int fill(unsigned char *to, unsigned *size);
int keep(unsigned char *window);
int follow(struct linked *list);
int look(const void *anything);
int begin(struct object *object);
int take(struct object *object);
int other(struct object *object);
int five(struct object *a, struct object *b, struct object *c, struct object *d, struct object *e);
int of_pair(struct pair *pair);
";

const NOTES: &str = r#"
[struct.object]
as = "kept"
identity = "inner"
kinds = ["begin*", "take*"]
only = ["take"]
in = "in[left], moves"

[struct.pair]
as = "kept"
identity = "inner"

[struct.linked]
as = "shared"

[function.begin]
makes = "object"

[function.fill]
to = "out[*size], back[*size]"
size = "inout"

[function.keep]
window = "inout[512], keep"

[function.look]
anything = "value"
"#;

fn checked() -> Checked {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("header.h");
    std::fs::write(&file, HEADER).expect("room");
    let notes: Notes = toml::from_str(NOTES).expect("TOML");
    let source = parse::Source::of(&[file], &[]);
    let sides = parse::read(&source, &|_| true, [parse::GUEST, parse::HOST]);
    let [guest, host] = sides.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(notes.strangers(&guest), [""; 0]);
    let mut exports = Exports::default();
    for name in guest.functions.keys() {
        exports.functions.insert(name.clone(), None);
    }
    let kept = kept(&guest, &notes);
    let choices = choose(&exports, &guest, &host, &notes);
    let rules = rules::decide(&exports, &guest, &host, &notes);
    decide(&guest, &notes, &rules, &kept, &choices)
}

#[test]
fn what_is_known_crosses() {
    let checked = checked();
    let function = |name: &str| match &checked.functions[name] {
        Ok(function) => function,
        Err(why) => panic!("{name}: {why}"),
    };
    assert!(matches!(
        function("sum").parameters[..],
        [Argument::Block(_), Argument::Number]
    ));
    assert_eq!(function("name").parameters, [Argument::Text]);
    let [Argument::Block(to), Argument::Block(size)] = &function("fill").parameters[..] else {
        panic!("{:?}", function("fill"));
    };
    assert!(!to.reads && to.writes && to.back.is_some());
    assert!(size.reads && size.writes);
    let objects = [Argument::Object("object".into())];
    let [begin, take] = ["begin", "take"].map(function);
    assert_eq!([&begin.parameters[..], &take.parameters[..]], [&objects; 2]);
    assert_eq!([begin.kind, take.kind], [0, 1]);
    assert_eq!([begin.counts, take.counts], [false, true]);
}

#[test]
fn what_is_not_known_does_not() {
    let checked = checked();
    for (name, says) in [
        ("keep", "goes on using"),
        ("follow", "nothing says how much"),
        ("look", "an address as it is"),
        ("other", "kinds does not say"),
        ("five", "more than 4 objects"),
        ("of_pair", "pair.part: not a number"),
    ] {
        match &checked.functions[name] {
            Err(why) if why.contains(says) => {}
            other => panic!("{name}: {other:?}, and not: {says}"),
        }
    }
}

//! What the host may do, and what not, by the header alone and with a word on it.

use iotdec_wrap::choose::{Choice, choose};
use iotdec_wrap::elf::Exports;
use iotdec_wrap::notes::Notes;
use iotdec_wrap::parse;
use std::collections::BTreeMap;

const HEADER: &str = "
#include <stdarg.h>
#include <stddef.h>
enum colour { RED, GREEN };
struct plain { int size; double ratio; char name[8]; };
struct linked { int value; struct linked *next; };
struct made { int handle; };
struct opaque;
struct precise { long double value; };
struct small { int x, y; };
union either { int number; float ratio; };
struct calling { int (*call)(int); };
struct object { struct opaque *inner; unsigned char *bytes; };
#pragma pack(push, 4)
struct packed_here {
#ifdef __x86_64__
    char pad;
#endif
    long value;
};
#pragma pack(pop)

int integers(char a, unsigned short b, long long c, enum colour d, _Bool e, wchar_t f);
void bytes(const char *a, unsigned char b[16], size_t c);
int of_plain(const struct plain *p);
int of_union(union either *u);
double floating(double x);
void pointed_floating(double *x);
long double precise(long double x);
int of_precise(struct precise *p);
int by_value(struct small s);
int variadic(const char *format, ...);
int listed(const char *format, va_list list);
int old_style();
int calls(int (*call)(int));
int of_calling(struct calling *c);
int of_opaque(struct opaque *o);
int anything(void *a);
int double_pointer(char **a);
int of_linked(struct linked *l);
int differs(struct packed_here *p);
struct made *make(int x);
void destroy(struct made *m);
int look(const struct made *m);
short *same(short *samples);
void change(short *samples);
__int128 wide(__int128 x);
int of_object(struct object *o);
int prints_object(struct object *o, const char *format, ...);
";

/// What becomes of each function of [`HEADER`].
fn choices(notes: &str) -> BTreeMap<String, Choice> {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("header.h");
    std::fs::write(&file, HEADER).expect("room");
    let notes: Notes = toml::from_str(notes).expect("TOML");
    let [guest, host] = parse::read(
        &parse::Source::of(&[file], &[]),
        &|_| true,
        [parse::GUEST, parse::HOST],
    )
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(notes.strangers(&guest), [""; 0]);
    let mut exports = Exports::default();
    for name in guest.functions.keys() {
        exports.functions.insert(name.clone(), None);
    }
    exports.functions.insert("undeclared".into(), None);
    choose(&exports, &guest, &host, &notes)
}

#[track_caller]
fn assert_left(choices: &BTreeMap<String, Choice>, name: &str, says: &str) {
    match &choices[name] {
        Choice::Left(why) if why.contains(says) => {}
        other => panic!("{name}: {other:?}, and not: {says}"),
    }
}

#[test]
fn by_the_header_alone() {
    let choices = choices("");
    for name in [
        "integers",
        "bytes",
        "of_plain",
        "of_union",
        "pointed_floating",
        "look",
    ] {
        assert_eq!(choices[name], Choice::Carried, "{name}");
    }
    for (name, says) in [
        ("floating", "floating point"),
        ("precise", "long double"),
        ("of_precise", "struct precise"),
        ("by_value", "small by value"),
        ("variadic", "more arguments"),
        ("listed", "va_list"),
        ("old_style", "does not say what it takes"),
        ("calls", "call: a function of the guest"),
        ("of_calling", "struct calling.call: a function"),
        ("of_opaque", "struct opaque is opaque"),
        ("anything", "a: a pointer to anything"),
        ("double_pointer", "a pointer to a pointer"),
        ("of_linked", "struct linked.next"),
        ("differs", "struct packed_here differs"),
        ("make", "returns a pointer"),
        ("destroy", "what make returns"),
        ("same", "returns a pointer"),
        ("change", "what same returns"),
        ("wide", "__int128"),
        ("of_object", "struct object.inner"),
        ("undeclared", "does not declare"),
    ] {
        assert_left(&choices, name, says);
    }
}

#[test]
fn with_a_word_on_it() {
    let choices = choices(
        r#"
        [function]
        same = { returns = "argument" }
        anything = { a = "in[8]" }
        look = { serve = "guest" }
        [struct.linked]
        next = "value"
        "#,
    );
    for name in ["same", "change", "anything", "of_linked"] {
        assert_eq!(choices[name], Choice::Carried, "{name}");
    }
    assert_left(&choices, "look", "wrap.toml says so");
}

#[test]
fn objects_are_not_mixed() {
    let object = r#"
        [struct.object]
        identity = "inner"
        bytes = "in[8]"
        "#;
    let refused = choices(object);
    assert_eq!(refused["of_object"], Choice::Carried);
    for name in ["prints_object", "undeclared"] {
        assert!(matches!(refused[name], Choice::Refused(_)), "{name}");
    }
    assert_left(&refused, "variadic", "more arguments");

    let said = choices(&format!(
        "{object}\n[function]\nprints_object = {{ serve = \"guest\" }}\n"
    ));
    assert_left(&said, "prints_object", "wrap.toml says so");
}

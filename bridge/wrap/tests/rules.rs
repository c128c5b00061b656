//! How parameters cross, by the header alone and with a word on it.

mod support;

use iotdec_wrap::notes::Notes;
use iotdec_wrap::parse::{self, Source};
use iotdec_wrap::rules::{Crossing, Element, FormatRule, Rules, Told, Variable};
use support::{data, refused, wrapped};

const HEADER: &str = "
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
struct plain { int size; double ratio; char name[8]; };
struct linked { int value; struct linked *next; };
struct buffer { unsigned char *at; size_t left; void *opaque; };
struct opaque;
struct calls { int (*call)(void *, int); void *context; };
struct wide { long double value; };
struct tail { int length; char text[]; };
typedef void HANDLE;
typedef int (*compare)(const void *, const void *);
typedef int (*prints)(const char *, ...);
typedef int (*logs)(const char *format, va_list list, void *user);
#pragma pack(push, 4)
struct packed_here {
#ifdef __x86_64__
    char pad;
#endif
    long value;
};
#pragma pack(pop)

int numbers(char a, unsigned long long b, double c, _Bool d);
struct plain by_value(struct plain p);
int text(const char *text);
int bytes(const void *data, size_t length);
int fills(unsigned char *data, unsigned data_size);
int array(unsigned c[2]);
int open_array(unsigned c[]);
int words(const int *words, size_t size);
int counted(const int *words, size_t word_count);
int one(int *value);
int anything(void *p);
int object(struct opaque *o, HANDLE *h);
struct opaque *makes(void);
int gives(struct opaque **made);
int of_plain(const struct plain *p, struct plain *q);
int some_plain(struct plain *p, size_t count);
int of_linked(struct linked *l);
int of_buffer(struct buffer *b);
int of_calls(struct calls *c);
int of_tail(struct tail *t);
int differs(struct packed_here *p);
int wide(long double x);
int of_wide(struct wide *w);
int sorts(void *base, size_t count, size_t size, compare by);
int walks(int (*visit)(void *, int), void *context);
int walks_some(int (*visit)(void *, int), void *context, size_t count);
int walks_part(int (*visit)(void *, int), void *part, size_t count);
int walks_data(int (*visit)(void *, int), void *data, size_t data_size);
int (*returns(int (*handler)(int)))(int);
int of_prints(prints p);
int of_logs(logs p);
int of_grid(int grid[2][3]);
int prints_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
int prints_list(const char *format, va_list list) __attribute__((format(printf, 1, 0)));
int variadic(int count, ...);
enum { FIRST = 1, SECOND, THIRD };
#define FOURTH (THIRD + 1)
#define ALSO_FOURTH 4
#define DIFFERS (sizeof(struct packed_here))
#define NO_NUMBER text
int to_file(FILE *file);
int to_descriptor(int fd);
int gives_descriptor(void);
int puts_descriptors(int pair[2], int *one, int *some, const int *read_only, size_t count);
long gives_long(void);
typedef void (*told)(void *user, int number);
int tells(told f, void *user, int number);
const char *names(void);
int old_style();
int search(const char *name);
typedef int (*reader)(void *user, const void *data, int data_len);
typedef void *(*resizer)(void *memory, size_t size);
typedef int (*filler)(void *room, unsigned long room_size);
typedef int (*pair)(int a_size, const void *a, int b_size, const void *b);
typedef int (*typed)(struct opaque *o, struct plain *p, const char *text, char **list, int c[4]);
int calls_reader(reader f);
int calls_resizer(resizer f);
int calls_filler(filler f);
int calls_pair(pair f);
int calls_typed(typed f);
";

fn rules(config: &str) -> Rules {
    support::rules(HEADER, config)
}

fn decided(config: &str) -> Result<Rules, String> {
    support::decided(HEADER, config)
}

#[test]
fn types_decide() {
    let rules = rules("");
    let parameters = |name: &str| wrapped(&rules, name).parameters.clone();
    assert_eq!(parameters("numbers"), [const { Crossing::Number }; 4]);
    assert_eq!(parameters("by_value"), [Crossing::Record]);
    assert_eq!(wrapped(&rules, "by_value").result, Crossing::Record);
    assert_eq!(parameters("text"), [Crossing::Text]);
    assert_eq!(data(&rules, "bytes", 0), ("length", true, false));
    assert_eq!(data(&rules, "fills", 0), ("data_size", true, true));
    assert_eq!(data(&rules, "array", 0), ("2", true, true));
    assert_eq!(data(&rules, "counted", 0), ("word_count", true, false));
    assert_eq!(data(&rules, "of_plain", 0), ("1", true, false));
    assert_eq!(data(&rules, "of_plain", 1), ("1", true, true));
    assert_eq!(parameters("object"), [Crossing::Handle, Crossing::Handle]);
    assert_eq!(wrapped(&rules, "makes").result, Crossing::Value);
    assert_eq!(wrapped(&rules, "names").result, Crossing::Text);
    refused(
        &rules,
        "sorts",
        "count and size may both say how much it is to",
    );
    assert!(matches!(
        parameters("walks")[..],
        [Crossing::Function(_), Crossing::Value]
    ));
    // What could be either is not guessed.
    for name in ["walks_some", "walks_part"] {
        refused(&rules, name, "it may be the program's own data");
        refused(&rules, name, "say in wrap.toml");
    }
    assert_eq!(data(&rules, "walks_data", 1), ("data_size", true, true));
    let handler = wrapped(&rules, "returns");
    assert_eq!(
        handler.parameters[0], handler.result,
        "one signature, one number"
    );
    let format = |name: &str| match wrapped(&rules, name).variable.as_deref() {
        Some(Variable::Format(FormatRule { list, .. })) => *list,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(format("prints_text"), None);
    assert_eq!(format("prints_list"), Some(1));
    match &parameters("of_calls")[0] {
        Crossing::Data(block) => assert_eq!(block.element, Element::Record("calls".into())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_not_said_is_refused_with_the_line_that_settles_it() {
    let rules = rules("");
    for (name, says) in [
        ("one", "[function.one] value = \"inout\" or \"out\""),
        (
            "words",
            "size may count bytes or elements; say in wrap.toml: [function.words] words",
        ),
        ("open_array", "[function.open_array] c = "),
        ("anything", "[function.anything] p = "),
        ("gives", "[function.gives] made = "),
        ("some_plain", "[function.some_plain] p = "),
        ("of_linked", "[struct.linked] next = "),
        ("of_buffer", "[struct.buffer] at = "),
        ("of_tail", "[struct.tail] as = "),
        (
            "to_descriptor",
            "[function.to_descriptor] fd = \"descriptor\"",
        ),
        ("variadic", "[function.variadic] format = "),
        ("of_prints", "[callback.prints] format = "),
        (
            "of_logs",
            "a va_list; if they are described as for printf, say in wrap.toml: [callback.logs]",
        ),
        ("variadic", "if count tells what they are, variants = "),
    ] {
        refused(&rules, name, says);
        refused(&rules, name, "wrap.toml");
    }
}

#[test]
fn descriptors_cross_where_a_word_says_so() {
    let plain = rules("");
    assert_eq!(wrapped(&plain, "gives_descriptor").result, Crossing::Number);
    let config = r#"
        [function.gives_descriptor]
        returns = "lent descriptor"
        [function.puts_descriptors]
        pair = "descriptor"
        one = "descriptor, back[result == 0]"
        some = "lent descriptor[count]"
        read_only = "in[count]"
        [function.gives_long]
        returns = "descriptor"
    "#;
    let rules = rules(config);
    let given = &wrapped(&rules, "gives_descriptor").result;
    assert_eq!(*given, Crossing::Descriptor { is_lent: true });
    let put = wrapped(&rules, "puts_descriptors").parameters[..3].iter();
    let put = put.map(|crossing| match crossing {
        Crossing::Descriptors {
            is_lent,
            count,
            back,
        } => (
            *is_lent,
            &count.expression[..],
            back.as_ref().map(|back| &back.expression[..]),
        ),
        other => panic!("{other:?}"),
    });
    let expected = [
        (false, "2", None),
        (false, "1", Some("result == 0")),
        (true, "count", None),
    ];
    assert_eq!(put.collect::<Vec<_>>(), expected);
    refused(&rules, "gives_long", "is an int");
}

#[test]
fn descriptors_do_not_cross_elsewhere() {
    let read_only = rules(
        "[function.puts_descriptors]\none = \"descriptor\"\nsome = \"descriptor[count]\"\n\
         read_only = \"descriptor\"",
    );
    refused(&read_only, "puts_descriptors", "is an int");
    for (word, says) in [
        ("number", "[callback.told] number = \"value\""),
        ("returns", "[callback.told] returns = \"value\""),
    ] {
        let rules = rules(&format!("[callback.told]\n{word} = \"descriptor\""));
        refused(&rules, "tells", says);
        refused(&rules, "tells", "called by its address");
    }
    let rules = rules("[parameter]\nnumber = \"descriptor\"\n[callback.told]\nnumber = \"value\"");
    wrapped(&rules, "tells");
}

#[test]
fn what_cannot_cross_is_refused() {
    for config in ["", "[defaults]\npointers = \"shared\""] {
        let rules = rules(config);
        refused(&rules, "differs", "has pad on the host alone");
        refused(&rules, "wide", "long double");
        refused(&rules, "of_wide", "long double");
        assert!(matches!(
            wrapped(&rules, "to_file").parameters[..],
            [Crossing::Stream(_)]
        ));
        refused(&rules, "old_style", "do not say what it takes");
    }
}

#[test]
fn a_word_decides() {
    let rules = rules(
        r#"
        [defaults]
        elements = "one"
        refuse = { "old_*" = "it is old" }
        [struct.linked]
        as = "handle"
        [struct.buffer]
        as = "kept"
        only = ["of_*"]
        at = "in[left], moves"
        [struct.tail]
        as = "shared"
        [function."some_*"]
        1 = "in[count]"
        [function.words]
        words = "in[size bytes]"
        [function.variadic]
        count = "value"
        [parameter]
        p = "shared"
        [type]
        "unsigned int *" = "out[4]"
        "#,
    );
    assert_eq!(data(&rules, "one", 0), ("1", true, true));
    assert_eq!(data(&rules, "gives", 0), ("1", true, true));
    assert_eq!(wrapped(&rules, "of_linked").parameters, [Crossing::Handle]);
    assert_eq!(wrapped(&rules, "of_tail").parameters, [Crossing::Shared]);
    assert_eq!(wrapped(&rules, "anything").parameters, [Crossing::Shared]);
    assert_eq!(data(&rules, "some_plain", 0), ("count", true, false));
    assert_eq!(data(&rules, "open_array", 0), ("4", false, true));
    assert_eq!(data(&rules, "words", 0), ("size", true, false));
    let buffer = &rules.records["buffer"];
    assert!(buffer.kept && buffer.counts_in("of_buffer") && !buffer.counts_in("one"));
    assert_eq!(buffer.fields.len(), 1);
    refused(&rules, "old_style", "wrap.toml refuses it: it is old");
}

#[test]
fn the_text_crosses_of_a_variadic_callback() {
    let rules = rules("[callback.prints]\nformat = \"arg1\"");
    let Crossing::Function(number) = wrapped(&rules, "of_prints").parameters[0] else {
        panic!("no function");
    };
    let pointed = &rules.signatures[number];
    let told = Told {
        format: 0,
        list: None,
    };
    assert_eq!(pointed.told, Some(told));
    assert_eq!(
        pointed.outward.as_ref().map(|rule| &rule.parameters[0]),
        Ok(&Crossing::Text)
    );
    for format in ["arg2", "message"] {
        let rules = self::rules(&format!("[callback.prints]\nformat = {format:?}"));
        refused(&rules, "of_prints", "without a text called");
    }
}

#[test]
fn the_text_crosses_of_a_callback_with_a_list() {
    let rules = rules("[callback.logs]\nformat = \"format\"");
    let Crossing::Function(number) = wrapped(&rules, "of_logs").parameters[0] else {
        panic!("no function");
    };
    let pointed = &rules.signatures[number];
    let told = Told {
        format: 0,
        list: Some(1),
    };
    assert_eq!(pointed.told, Some(told));
    assert_eq!(pointed.inward.parameters[1], Crossing::Nothing);
    let outward = pointed.outward.as_ref().expect("the program can call it");
    assert_eq!(outward.parameters[..2], [Crossing::Text, Crossing::Nothing]);
}

#[test]
fn an_array_of_arrays_has_as_many_rows_as_are_written() {
    assert_eq!(data(&rules(""), "of_grid", 0), ("2", true, true));
}

#[test]
fn variants_are_by_constant() {
    let rules = rules(
        r#"
        [function.variadic]
        buffer = "out[room]"
        [function.variadic.variants]
        FIRST = ""
        "*RD" = "int (*visit)(void *, int), void *"
        "S*" = "struct plain, double"
        FOURTH = "unsigned char *buffer, int room"
        -9 = "struct opaque *, long"
        "#,
    );
    let Some(Variable::Variants(selector, variants)) =
        wrapped(&rules, "variadic").variable.as_deref()
    else {
        panic!("no variants");
    };
    assert_eq!(*selector, 0);
    let further: Vec<_> = variants.iter().map(|it| &it.parameters[1..]).collect();
    // Names and numbers first, the longer ones before.
    assert!(
        matches!(
            further[..],
            [
                [Crossing::Data(_), Crossing::Number],
                [],
                [Crossing::Handle, Crossing::Number],
                [Crossing::Function(_), Crossing::Value],
                [Crossing::Record, Crossing::Number],
            ]
        ),
        "{further:?}"
    );
}

#[test]
fn variants_that_cannot_be_are_errors() {
    for (variants, says) in [
        (
            "FIFTH = \"int\"",
            "function.variadic.variants: the headers have no integer FIFTH",
        ),
        ("NO_NUMBER = \"int\"", "no integer NO_NUMBER"),
        (
            "DIFFERS = \"int\"",
            "DIFFERS is another number on the other side",
        ),
        ("FIRST = \"nothing\"", "variants that are no types: "),
        (
            "FOURTH = \"int\"\nALSO_FOURTH = \"long\"",
            "FOURTH are the same number, 4",
        ),
        ("FOURTH = \"int\"\n4 = \"long\"", "are the same number, 4"),
    ] {
        let decided = decided(&format!("[function.variadic.variants]\n{variants}"));
        let why = decided.err().unwrap_or_default();
        assert!(why.contains(says), "{variants}: {why}");
    }
    for (variants, says) in [
        (
            "FIRST = \"float\"",
            "variants.FIRST: float is passed as a wider type",
        ),
        ("FIRST = \"short\"", "short is passed as a wider type"),
        (
            "FIRST = \"void *p\"",
            "variants.FIRST: p (void *): nothing says how much it is to; say in wrap.toml: [function.variadic] p = ",
        ),
        ("FIRST = \"long double\"", "long double"),
    ] {
        let rules = rules(&format!("[function.variadic.variants]\n{variants}"));
        refused(&rules, "variadic", says);
    }
}

#[test]
fn what_is_left_can_be_shared() {
    let rules = rules("[defaults]\npointers = \"shared\"");
    for name in [
        "one",
        "anything",
        "gives",
        "of_linked",
        "of_buffer",
        "some_plain",
    ] {
        assert_eq!(
            wrapped(&rules, name).parameters[0],
            Crossing::Shared,
            "{name}"
        );
    }
}

#[test]
fn misspelt_names_are_found() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("header.h");
    std::fs::write(&file, HEADER).expect("room");
    let source = Source::of(&[&file], &[]);
    let [guest] = parse::read(&source, &|_| true, [parse::GUEST]).expect("a header");
    for (config, says) in [
        ("[function.txet]", "function.txet"),
        ("[function.text]\ntxet = \"string\"", "no parameter txet"),
        ("[function.text]\n2 = \"string\"", "no parameter 2"),
        ("[struct.plane]", "struct.plane"),
        ("[struct.plain]\nsizes = \"value\"", "no field sizes"),
        ("[struct.buffer]\nonly = [\"none*\"]", "no function none*"),
        ("[defaults]\nhandles = [\"what*\"]", "no struct what*"),
        (
            "[function.text.variants]\n1 = \"int\"",
            "it has no variants",
        ),
        ("[parameter]\nwhich = \"value\"", "parameter.which"),
        ("[type]\n\"unsigned char*\" = \"value\"", "in this spelling"),
    ] {
        let notes: Notes = toml::from_str(config).expect("TOML");
        let strangers = notes.strangers(&guest);
        assert!(
            strangers.iter().any(|s| s.contains(says)),
            "{config}: {strangers:?}"
        );
    }
}

/// How the library's calls of the function cross that `NAME` takes first.
#[track_caller]
fn inward<'a>(rules: &'a Rules, name: &str) -> Vec<&'a str> {
    let Crossing::Function(number) = wrapped(rules, name).parameters[0] else {
        panic!("{name} takes no function");
    };
    let parameters = rules.signatures[number].inward.parameters.iter();
    let crossing = |crossing: &'a Crossing| match crossing {
        Crossing::Data(block) => &block.count.expression[..],
        Crossing::Shared => "shared",
        Crossing::Text => "text",
        Crossing::Value => "value",
        Crossing::Number => "number",
        other => panic!("{name}: {other:?}"),
    };
    parameters.map(crossing).collect()
}

#[test]
fn what_the_library_passes_is_looked_at() {
    let named = rules("");
    assert_eq!(
        inward(&named, "calls_reader"),
        ["value", "data_len", "number"]
    );
    assert_eq!(inward(&named, "calls_resizer"), ["value", "number"]);
    assert_eq!(inward(&named, "calls_filler"), ["room_size", "number"]);
    assert_eq!(
        inward(&named, "calls_pair"),
        ["number", "value", "number", "value"]
    );
    assert_eq!(
        inward(&named, "calls_typed"),
        ["value", "shared", "shared", "shared", "4"]
    );
    let noted = rules(
        "[callback.typed]\np = \"value\"\ntext = \"string\"\nlist = \"in[c[0]]\"\n[callback.reader]\n\
         data = \"in[data_len * 2 bytes]\"",
    );
    // To know how many, a pointer would have to be followed first.
    assert_eq!(
        inward(&noted, "calls_typed"),
        ["value", "value", "text", "shared", "4"]
    );
    assert_eq!(
        inward(&noted, "calls_reader"),
        ["value", "data_len * 2", "number"]
    );
}

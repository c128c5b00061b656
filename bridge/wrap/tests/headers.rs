//! What is read out of headers.

use iotdec_wrap::model::{Float, Function, Header, Type};
use iotdec_wrap::parse::{self, GUEST, HOST, Source};

const HEADER: &str = r#"
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#define FORMAT(a, b) __attribute__((__format__(__printf__, a, b)))
#define NONNULL(which) __attribute__((__nonnull__ which))
#define MAGIC 7
#define CALL(x) ((x) + 1)
typedef unsigned int number;
typedef int (*compare)(const void *left, const void *right);
typedef int plain_function(int value);
typedef float four __attribute__((vector_size(16)));
typedef double grid[3];
typedef struct { wchar_t wide; long double precise; _Complex double z; __int128 large; } unnamed;
struct bits { char a; int : 5; int b : 3; int : 0; union { int i; float f; }; };
struct tail { int n; char d[]; };
struct old_tail { int n; char d[0]; };
struct __attribute__((packed)) tight { char c; long l; };
enum __attribute__((packed)) tiny { MINUS = -1, PLUS = 1 };
enum { LOOSE = 1u << 31 };
struct secret;

extern int prints(char *out, const char *format, ...) FORMAT(2, 3);
extern int prints_list(const char *format, va_list list) FORMAT(1, 0);
extern void all(void *a, int b, void *c) NONNULL(());
extern void some(void *a, void *b, void *_Nullable c) NONNULL((1, 2));
extern void own(void *a __attribute__((nonnull)), void *b __attribute__((nonnull)));
extern void ends(void) __attribute__((noreturn));
_Noreturn void ends_too(void);
number sum(number values[2], const char *const *restrict names, char *_Nonnull text);
void calls(compare f, int (*g)(int inner), int h(int named), plain_function *p, char flags[]);
int (*choose(int which))(int);
void typed(grid g, unnamed u, four v, struct tail *t, enum tiny e, _Bool yes, struct secret *s);
void bits(struct bits *b, struct old_tail *o, struct tight *t);
extern int renamed(void) __asm__("renamed64");
void lists(va_list *lists, wchar_t w, __builtin_va_list same);
static inline int two(void) { return 2; }
static int three(void);
inline int four_inline(void) { return 4; }
extern const int table[4];
extern __thread int own_number;
int old_style();
int unwanted(void);
"#;

fn header() -> [Header; 2] {
    let source = Source {
        text: HEADER.into(),
        ..Source::default()
    };
    let wanted = |name: &str| name != "unwanted";
    let read = parse::read(&source, &wanted, [GUEST, HOST]);
    read.unwrap_or_else(|error| panic!("{error}"))
}

fn guest() -> Header {
    let [guest, _] = header();
    guest
}

fn parameters<'a>(header: &'a Header, name: &str) -> Vec<(&'a str, &'a str, &'a Type)> {
    let function: &'a Function = &header.functions[name];
    let parameters = function.signature.parameters.iter();
    parameters
        .map(|p| (p.name.as_str(), p.value.spelling.as_str(), &p.value.kind))
        .collect()
}

#[test]
fn attributes() {
    let header = guest();
    let format = |name: &str| {
        let format = header.functions[name].format.as_ref();
        format.map(|format| (format.like.as_str(), format.format, format.first))
    };
    assert_eq!(format("prints"), Some(("printf", 1, Some(2))));
    assert_eq!(format("prints_list"), Some(("printf", 0, None)));
    assert_eq!(format("sum"), None);
    let nonnull = |name: &str| -> Vec<bool> {
        let parameters = header.functions[name].signature.parameters.iter();
        parameters.map(|parameter| parameter.is_nonnull).collect()
    };
    assert_eq!(nonnull("all"), [true, true, true]);
    assert_eq!(nonnull("some"), [true, true, false]);
    assert_eq!(nonnull("own"), [true, true]);
    assert_eq!(nonnull("sum"), [false; 3]);
    assert!(header.functions["ends"].is_noreturn);
    assert!(header.functions["ends_too"].is_noreturn);
    assert!(!header.functions["sum"].is_noreturn);
    let nullable = |name: &str, index: usize| {
        header.functions[name].signature.parameters[index]
            .value
            .is_nullable
    };
    assert_eq!(nullable("some", 2), Some(true));
    assert_eq!(nullable("sum", 2), Some(false));
    assert_eq!(nullable("sum", 0), None);
}

#[test]
fn arrays_strings_and_qualifiers() {
    let header = guest();
    let sum = &header.functions["sum"].signature;
    assert_eq!(sum.result.typedef.as_deref(), Some("number"));
    let [values, names, text] = &sum.parameters[..] else {
        panic!("{sum:?}")
    };
    assert!(values.is_array && !names.is_array);
    assert_eq!(values.elements, Some(2));
    assert_eq!(values.value.spelling, "number *");
    let number = values.value.kind.pointee().expect("a pointer");
    assert_eq!(number.typedef.as_deref(), Some("number"));
    assert_eq!(
        number.kind,
        Type::Integer {
            size: 4,
            signed: false
        }
    );
    assert!(names.value.is_restrict && !text.value.is_restrict);
    let inner = names.value.kind.pointee().expect("a pointer");
    assert!(inner.is_const);
    assert!(
        inner
            .kind
            .pointee()
            .is_some_and(|c| c.is_const && c.kind == Type::Char)
    );
    assert_eq!(text.value.spelling, "char *", "gcc does not know _Nonnull");
    let flags = &header.functions["calls"].signature.parameters[4];
    assert!(flags.is_array && flags.elements.is_none());
}

#[test]
fn functions_that_are_pointed_to() {
    let header = guest();
    for (name, inner) in [
        ("f", "left"),
        ("g", "inner"),
        ("h", "named"),
        ("p", "value"),
    ] {
        let calls = &header.functions["calls"].signature;
        let parameter = calls.parameters.iter().find(|p| p.name == name);
        let kind = &parameter.expect("is declared").value.kind;
        let signature = kind
            .pointed_signature()
            .unwrap_or_else(|| panic!("{name}: {kind:?}"));
        assert!(signature.prototype && !signature.variadic);
        assert_eq!(signature.parameters[0].name, inner, "{name}");
    }
    let choose = &header.functions["choose"].signature;
    assert_eq!(choose.parameters[0].name, "which");
    let chosen = choose.result.kind.pointed_signature().expect("a function");
    assert_eq!(
        chosen.result.kind,
        Type::Integer {
            size: 4,
            signed: true
        }
    );
    let compare = header.typedefs["compare"].value.kind.pointed_signature();
    assert_eq!(compare.map(|signature| signature.parameters.len()), Some(2));
    assert!(!header.functions["old_style"].signature.prototype);
}

#[test]
fn types() {
    let [guest, host] = header();
    let typed = parameters(&guest, "typed");
    let double = Type::Float(Float::Double);
    assert_eq!(typed[0].2.pointee().map(|to| &to.kind), Some(&double));
    assert_eq!(*typed[1].2, Type::Record("unnamed".into()));
    let element = Box::new(Type::Float(Float::Single));
    assert_eq!(
        *typed[2].2,
        Type::Vector {
            element,
            count: 4,
            size: 16
        }
    );
    assert_eq!(typed[3].2.pointed_record(), Some("tail"));
    assert!(matches!(typed[4].2, Type::Enum { name, size: 1, signed: true } if name == "tiny"));
    assert_eq!(*typed[5].2, Type::Bool);
    assert_eq!(typed[5].2.integer_size(), Some(1));
    assert!(guest.records["secret"].layout.is_none());

    let kinds = |header: &Header| -> Vec<Type> {
        let layout = header.records["unnamed"]
            .layout
            .as_ref()
            .expect("is defined");
        layout
            .fields
            .iter()
            .map(|field| field.value.kind.clone())
            .collect()
    };
    let complex = Type::Complex(Float::Double);
    let large = Type::Integer {
        size: 16,
        signed: true,
    };
    let quad = Type::Float(Float::Quad);
    let extended = Type::Float(Float::Extended);
    assert_eq!(
        kinds(&guest),
        [Type::WideChar, quad, complex.clone(), large.clone()]
    );
    assert_eq!(kinds(&host), [Type::WideChar, extended, complex, large]);

    for header in [&guest, &host] {
        let lists = parameters(header, "lists");
        let kinds: Vec<_> = lists.iter().map(|(_, _, kind)| *kind).collect();
        assert_eq!(kinds[0].pointee().map(|to| &to.kind), Some(&Type::VaList));
        assert_eq!(*kinds[1], Type::WideChar);
        assert_eq!(*kinds[2], Type::VaList);
    }
    assert!(!guest.char_is_signed && host.char_is_signed);
    assert!(!guest.wide_char_is_signed && host.wide_char_is_signed);
}

#[test]
fn records() {
    let header = guest();
    let bits = header.records["bits"].layout.as_ref().expect("is defined");
    let widths: Vec<_> = bits
        .fields
        .iter()
        .map(|f| (f.name.as_str(), f.bits))
        .collect();
    assert_eq!(
        widths,
        [
            ("a", None),
            ("", Some(5)),
            ("b", Some(3)),
            ("", Some(0)),
            ("", None)
        ]
    );
    let Type::Record(anonymous) = &bits.fields[4].value.kind else {
        panic!("{bits:?}")
    };
    let anonymous = &header.records[anonymous];
    assert!(anonymous.is_union && !anonymous.is_named);
    assert!(anonymous.field("f").is_some());
    assert!(header.records["tail"].is_flexible() && header.records["old_tail"].is_flexible());
    assert!(!header.records["bits"].is_flexible());
    assert!(header.records["tight"].is_packed && !header.records["bits"].is_packed);
    assert_eq!(
        header.records["tight"].field("l").map(|field| field.offset),
        Some(8)
    );
    assert_eq!(header.enums["tiny"].values["MINUS"], -1);
    let loose = header
        .enums
        .values()
        .find(|e| e.values.contains_key("LOOSE"));
    assert_eq!(loose.expect("is noted").values["LOOSE"], 1 << 31);
}

#[test]
fn what_is_exported() {
    let header = guest();
    assert_eq!(header.functions["renamed"].symbol, "renamed64");
    assert_eq!(header.functions["sum"].symbol, "sum");
    for (name, wanted) in [
        ("two", (true, true)),
        ("three", (true, false)),
        ("four_inline", (false, true)),
        ("sum", (false, false)),
    ] {
        let function = &header.functions[name];
        assert_eq!((function.is_static, function.is_inline), wanted, "{name}");
    }
    assert!(header.variables["table"].value.is_const);
    assert!(header.variables["own_number"].is_thread_local);
    assert!(!header.variables["table"].is_thread_local);
    assert_eq!(header.others.keys().collect::<Vec<_>>(), ["unwanted"]);
    assert!(header.macros["MAGIC"].is_own);
    assert!(!header.macros.contains_key("CALL") && !header.macros["EOF"].is_own);
    assert!(header.typedefs.contains_key("number") && !header.typedefs.contains_key("size_t"));
    // The C library's are seen, and known to be such.
    assert!(!header.functions["puts"].place.is_own);
    assert!(header.functions["sum"].place.is_own);
    let before = HEADER.lines().take_while(|line| !line.contains("sum("));
    let place = format!("iotdec-headers.c:{}", before.count() + 1);
    assert_eq!(header.functions["sum"].place.to_string(), place);
}

/// A header of its own, as the guest has it.
fn read(text: &str, wanted: &dyn Fn(&str) -> bool) -> Result<Header, String> {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("header.h");
    std::fs::write(&file, text).expect("room");
    let read = parse::read(&Source::of(&[file], &[]), wanted, [GUEST, HOST]);
    let [guest, _] = read.map_err(|error| error.to_string())?;
    Ok(guest)
}

#[test]
fn functions_are_wanted_by_their_names_for_the_linker() {
    let text = "int by_label(int) __asm__(\"label\");\nint left_out(int) __asm__(\"other\");";
    let wanted = |name: &str| ["label", "left_out"].contains(&name);
    let header = read(text, &wanted).expect("a header");
    assert_eq!(header.functions.keys().collect::<Vec<_>>(), ["by_label"]);
    assert_eq!(header.others.keys().collect::<Vec<_>>(), ["left_out"]);
}

#[test]
fn an_unknown_type_spoils_one_function() {
    let text = "int before(int);\n_Float32 spoiled(int, _Float32);\n\
                void also(_Float64x *to);\nint after(int);";
    let header = read(text, &|_| true).expect("a header");
    let result = |name: &str| &header.functions[name].signature.result.kind;
    assert_eq!(*result("spoiled"), Type::Other("_Float32".into()));
    assert_eq!(*result("also"), Type::Other("_Float64x".into()));
    for name in ["before", "after"] {
        assert_eq!(result(name).integer_size(), Some(4), "{name}");
    }
    for text in [
        "int wrong(no_such_type);",
        "struct wrong { _Float32 x; };\nint fine(int);",
    ] {
        let error = read(text, &|_| true).expect_err("nobody knows what this is");
        assert!(error.contains("error: "), "{error}");
    }
}

#[test]
fn parameters_hide_nothing_that_is_named_beside_them() {
    let text = "typedef struct node *node;\nstruct item;\n\
                node make(int node, void (*free)(void *));\n\
                struct item *item(struct item *item, int count);";
    let header = read(text, &|_| true).expect("a header");
    let names = |function: &str| -> Vec<_> {
        let parameters = parameters(&header, function);
        parameters
            .iter()
            .map(|(name, ..)| name.to_string())
            .collect()
    };
    assert_eq!(names("make"), ["node_", "free_"]);
    assert_eq!(names("item"), ["item", "count"]);
}

#[test]
fn arrays_of_variable_length_and_qualified_results() {
    let text = "typedef int row[3];\nint sum(int n, double v[n], int m[n][n], const row r);\n\
                const char *const name(void);\nconst int number(void);\n\
                typedef const unsigned long fixed;\nfixed by_typedef(void);";
    let header = read(text, &|_| true).expect("a header");
    let sum = &header.functions["sum"].signature.parameters;
    let array = |index: usize| (sum[index].is_array, sum[index].value.spelling.as_str());
    assert_eq!(array(1), (true, "double *"));
    assert!(array(2).0, "{:?}", sum[2]);
    assert_eq!(array(3), (true, "const int *"));
    let result = |name: &str| header.functions[name].signature.result.spelling.as_str();
    assert_eq!([result("name"), result("number")], ["const char *", "int"]);
    assert_eq!(result("by_typedef"), "unsigned long");
}

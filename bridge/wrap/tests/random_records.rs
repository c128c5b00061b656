//! Structs and unions that nobody would write: what libclang says of them on both targets,
//! held against both compilers, and what the comparison makes of it.

mod compilers;

use compilers::{COMPILERS, check};
use iotdec_wrap::abi::{Abi, Verdict};
use iotdec_wrap::model::Layout;
use iotdec_wrap::parse::{self, GUEST, HOST, Source};
use std::fmt::Write;

/// How many there are.
const COUNT: usize = 600;

/// Random numbers, the same ones every time (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % limit
    }

    fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

const SCALARS: [&str; 19] = [
    "char",
    "signed char",
    "unsigned char",
    "short",
    "unsigned short",
    "int",
    "unsigned",
    "long",
    "unsigned long",
    "long long",
    "_Bool",
    "float",
    "double",
    "long double",
    "__int128",
    "float _Complex",
    "double _Complex",
    "void *",
    "enum colour",
];

/// What a bit-field can be of, and how wide.
const BITS: [(&str, u64); 8] = [
    ("char", 8),
    ("unsigned char", 8),
    ("short", 16),
    ("int", 32),
    ("unsigned", 32),
    ("long", 64),
    ("_Bool", 1),
    ("enum colour", 3),
];

fn text() -> String {
    let mut random = Random(7);
    let mut text = String::from(
        "enum colour { RED, GREEN, BLUE };\n\
         typedef float vector __attribute__((vector_size(16)));\n",
    );
    for number in 0..COUNT {
        let pack = random.one_in(6).then(|| random.of(&["1", "2", "4", "8"]));
        if let Some(pack) = pack {
            let _ = writeln!(text, "#pragma pack(push, {pack})");
        }
        let what = random.of(&["struct", "struct", "struct", "union"]);
        let packed = match random.one_in(8) {
            true => "__attribute__((packed)) ",
            false => "",
        };
        let aligned = match random.one_in(8) {
            true => format!("__attribute__((aligned({}))) ", 1 << random.below(6)),
            false => String::new(),
        };
        // Tags of structs alone can be used by later ones.
        let tag = format!("{}{number}", &what[..1]);
        let _ = writeln!(text, "{what} {packed}{aligned}{tag} {{");
        let fields = 1 + random.below(7);
        for field in 0..fields {
            let name = format!("f{field}");
            self::field(&mut random, number, &name, 0, &mut text);
        }
        text += "};\n";
        if pack.is_some() {
            text += "#pragma pack(pop)\n";
        }
        let _ = writeln!(text, "typedef {what} {tag} t{number};");
    }
    text
}

fn field(random: &mut Random, number: usize, name: &str, depth: usize, text: &mut String) {
    match random.below(12) {
        0..3 => {
            let (kind, most) = BITS[random.below(BITS.len() as u64) as usize];
            let width = 1 + random.below(most);
            let _ = match random.below(6) {
                0 => writeln!(text, "    {kind} : {width};"),
                1 => writeln!(text, "    {kind} : 0;"),
                _ => writeln!(text, "    {kind} {name} : {width};"),
            };
        }
        3 if number > 0 => {
            let earlier = random.below(number as u64);
            let _ = writeln!(text, "    t{earlier} {name};");
        }
        4 => {
            let _ = writeln!(text, "    vector {name};");
        }
        5 if depth == 0 => {
            let _ = writeln!(text, "    {} {{", random.of(&["struct", "union"]));
            for inner in 0..1 + random.below(3) {
                field(random, number, &format!("{name}_{inner}"), 1, text);
            }
            text.push_str("    };\n");
        }
        6 => {
            let aligned = 1 << random.below(6);
            let kind = random.of(&SCALARS);
            let _ = writeln!(
                text,
                "    {kind} {name} __attribute__((aligned({aligned})));"
            );
        }
        7 => {
            let kind = random.of(&SCALARS);
            let _ = writeln!(text, "    {kind} {name}[{}];", 1 + random.below(4));
        }
        _ => {
            let kind = random.of(&SCALARS);
            let _ = writeln!(text, "    {kind} {name};");
        }
    }
}

#[test]
fn compared_as_the_compilers_lay_them_out() {
    let source = Source {
        text: text(),
        ..Source::default()
    };
    let read = parse::read(&source, &|_| true, [GUEST, HOST]);
    let read = read.unwrap_or_else(|error| panic!("{error}"));
    for (compiler, header) in COMPILERS.iter().zip(&read) {
        let checked = check(compiler, &source.text, header);
        assert!(checked.assertions > 4 * COUNT, "{checked:?}");
        assert!(checked.bits > COUNT / 2, "{checked:?}");
    }

    let [guest, host] = &read;
    let abi = Abi::new(guest, host);
    let mut verdicts = [0; 3];
    let names = guest.records.iter().filter(|(_, record)| record.is_named);
    for (name, record) in names {
        let verdict = abi.record(name).verdict;
        let [of_guest, of_host] =
            [guest, host].map(|side| side.records[name].layout.as_ref().expect("is defined"));
        // Nothing that is in another place passes for the same.
        let same = places(of_guest) == places(of_host);
        match &verdict {
            Verdict::Identical => assert!(same, "{name}: {of_guest:#?}, {of_host:#?}"),
            Verdict::Repacked(changes) => assert!(!changes.is_empty(), "{name}"),
            Verdict::Refused(refusal) => {
                assert!(refusal.place.line > 0, "{name}");
                let reasons = ["a long double", "a union whose members differ"];
                let is_known = reasons.iter().any(|reason| refusal.reason.contains(reason));
                assert!(is_known, "{}: {}", record.spelling, refusal.reason);
            }
        }
        verdicts[match verdict {
            Verdict::Identical => 0,
            Verdict::Repacked(_) => 1,
            Verdict::Refused(_) => 2,
        }] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 15), "{verdicts:?}");
    println!("identical, repacked, refused: {verdicts:?}");
}

/// A field's name, its first bit, and how many it has if it is a bit-field.
type Place<'a> = (&'a str, usize, Option<usize>);

/// Size, alignment, and where everything is that has a name.
fn places(layout: &Layout) -> ([usize; 2], Vec<Place<'_>>) {
    let fields = layout.fields.iter().filter(|field| !field.name.is_empty());
    let fields = fields.map(|field| (field.name.as_str(), field.offset, field.bits));
    ([layout.size, layout.alignment], fields.collect())
}

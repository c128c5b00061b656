//! Types that cross by value, drawn by lot, and the C that declares, fills and reads them.

use iotdec_tests::random::Random;
use std::fmt::Write;

/// A type.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// What C has, or what the header has a `typedef` of.
    Scalar(Scalar),
    /// An enumeration of the batch.
    Enumeration(usize),
    /// A struct or union of the batch.
    Record(usize),
}

/// A type without parts.
#[derive(Clone, Copy, Debug)]
pub struct Scalar {
    name: &'static str,
    size: usize,
    /// Whether a pointer to one needs no line in `wrap.toml` if the function may write there.
    pub one_by_default: bool,
}

const fn integer(name: &'static str, size: usize) -> Scalar {
    Scalar {
        name,
        size,
        one_by_default: size > 1,
    }
}

/// What a general register holds, or two of them.
const INTEGERS: [Scalar; 17] = [
    integer("_Bool", 1),
    integer("char", 1),
    integer("signed char", 1),
    integer("uint8_t", 1),
    integer("short", 2),
    integer("uint16_t", 2),
    integer("int", 4),
    integer("int", 4),
    integer("unsigned", 4),
    integer("wchar_t", 4),
    integer("long", 8),
    integer("unsigned long", 8),
    integer("long long", 8),
    integer("uint64_t", 8),
    integer("size_t", 8),
    Scalar {
        one_by_default: false,
        ..integer("__int128", 16)
    },
    Scalar {
        one_by_default: false,
        ..integer("unsigned __int128", 16)
    },
];

const FLOATS: [Scalar; 2] = [integer("float", 4), integer("double", 8)];

/// What is rare in interfaces.
const RARE: [Scalar; 5] = [
    other("float _Complex", 8),
    other("double _Complex", 16),
    other("v4f", 16),
    other("v2l", 16),
    other("v2f", 8),
];

const fn other(name: &'static str, size: usize) -> Scalar {
    Scalar {
        name,
        size,
        one_by_default: false,
    }
}

/// The vectors.
pub const TYPEDEFS: &str = "typedef float v4f __attribute__((vector_size(16)));\n\
    typedef long v2l __attribute__((vector_size(16)));\n\
    typedef float v2f __attribute__((vector_size(8)));\n";

/// The names and values of an enumeration.
#[derive(Clone, Debug)]
pub struct Enumeration(Vec<i64>);

#[derive(Clone, Debug)]
struct Field {
    kind: Kind,
    /// So many of them.
    array: Option<usize>,
    /// A bit-field of so many.
    bits: Option<usize>,
}

/// A struct or union.
#[derive(Clone, Debug)]
pub struct Record {
    is_union: bool,
    attribute: &'static str,
    fields: Vec<Field>,
    size: usize,
    alignment: usize,
}

/// The types of a batch.
#[derive(Debug, Default)]
pub struct Types {
    enumerations: Vec<Enumeration>,
    records: Vec<Record>,
}

/// Largest struct that is passed.
const ROOM: usize = 64;

impl Types {
    /// Some enumerations, as those need no variety.
    pub fn new(lot: &mut Random) -> Self {
        let small = vec![0, 1, 2];
        let signed = vec![-1, 0, 1 + lot.below(1 << 20) as i64];
        let large = vec![0, 0xffff_ffff, 0x8000_0000];
        Self {
            enumerations: vec![Enumeration(small), Enumeration(signed), Enumeration(large)],
            records: Vec::new(),
        }
    }

    /// How many structs and unions there are.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Any type.
    pub fn any(&mut self, lot: &mut Random) -> Kind {
        match lot.below(5) {
            0 | 1 => self.record(lot),
            _ => self.scalar(lot),
        }
    }

    /// A type without parts.
    pub fn scalar(&self, lot: &mut Random) -> Kind {
        match lot.below(16) {
            0..10 => Kind::Scalar(INTEGERS[lot.below(INTEGERS.len())]),
            10..13 => Kind::Scalar(FLOATS[lot.below(FLOATS.len())]),
            13 | 14 => Kind::Enumeration(lot.below(self.enumerations.len())),
            _ => Kind::Scalar(RARE[lot.below(RARE.len())]),
        }
    }

    /// A struct or union, often one that there is already.
    pub fn record(&mut self, lot: &mut Random) -> Kind {
        let known = self.records.len();
        if known > 0 && lot.below(3) == 0 {
            return Kind::Record(lot.below(known));
        }
        self.new_record(lot, 0, ROOM)
    }

    fn new_record(&mut self, lot: &mut Random, depth: usize, room: usize) -> Kind {
        let record = match lot.below(12) {
            0..3 => self.floating(lot, depth, room),
            3 => union_of_equals(lot, room),
            4 => bit_fields(lot),
            5 => self.placed(lot),
            _ => self.mixed(lot, depth, room),
        };
        self.records.push(record);
        Kind::Record(self.records.len() - 1)
    }

    /// Of floating point alone: up to four of a type are passed in registers on aarch64.
    fn floating(&mut self, lot: &mut Random, depth: usize, room: usize) -> Record {
        let of = match lot.below(8) {
            0 => RARE[lot.below(RARE.len())],
            other => FLOATS[other % 2],
        };
        let plain = |array| Field {
            kind: Kind::Scalar(of),
            array,
            bits: None,
        };
        let most = (room / of.size).clamp(1, 5);
        let count = 1 + lot.below(most);
        let mut fields = match lot.below(3) {
            0 => vec![plain(Some(count))],
            _ => vec![plain(None); count],
        };
        let used = of.size * count;
        if depth < 2 && lot.below(4) == 0 && room >= used + 2 * of.size {
            let inner = self.add(vec![plain(None); 1 + lot.below(2)]);
            fields.insert(lot.below(fields.len() + 1), inner);
        }
        self.laid_out(fields)
    }

    fn add(&mut self, fields: Vec<Field>) -> Field {
        let record = self.laid_out(fields);
        self.records.push(record);
        Field {
            kind: Kind::Record(self.records.len() - 1),
            array: None,
            bits: None,
        }
    }

    fn mixed(&mut self, lot: &mut Random, depth: usize, room: usize) -> Record {
        let mut fields: Vec<Field> = Vec::new();
        for _ in 0..1 + lot.below(6) {
            let left = room - self.laid_out(fields.clone()).size.min(room);
            let kind = match lot.below(6) {
                0 if depth < 2 && left >= 16 => self.new_record(lot, depth + 1, left / 2),
                _ => self.scalar(lot),
            };
            let array = (lot.below(4) == 0).then(|| 1 + lot.below(4));
            fields.push(Field {
                kind,
                array,
                bits: None,
            });
            if self.laid_out(fields.clone()).size > room {
                fields.pop();
            }
        }
        if fields.is_empty() {
            fields.push(Field {
                kind: Kind::Scalar(INTEGERS[1]),
                array: None,
                bits: None,
            });
        }
        self.laid_out(fields)
    }

    /// Of another alignment than its fields'.
    fn placed(&mut self, lot: &mut Random) -> Record {
        let fields = (0..1 + lot.below(4)).map(|_| Field {
            kind: Kind::Scalar(INTEGERS[lot.below(15)]),
            array: None,
            bits: None,
        });
        let record = self.laid_out(fields.collect());
        let (attribute, alignment) = match lot.below(4) {
            0 => (" __attribute__((aligned(16)))", 16),
            1 => (" __attribute__((aligned(32)))", 32),
            _ => (" __attribute__((packed))", 1),
        };
        Record {
            attribute,
            alignment: alignment.max(if alignment == 1 { 1 } else { record.alignment }),
            size: record.size.next_multiple_of(alignment),
            ..record
        }
    }

    fn size_and_alignment(&self, kind: Kind) -> (usize, usize) {
        match kind {
            Kind::Scalar(scalar) => {
                let part = match scalar.name {
                    "float _Complex" => 4,
                    "double _Complex" => 8,
                    _ => scalar.size,
                };
                (scalar.size, part)
            }
            Kind::Enumeration(_) => (4, 4),
            Kind::Record(number) => {
                let record = &self.records[number];
                (record.size, record.alignment)
            }
        }
    }

    fn laid_out(&self, fields: Vec<Field>) -> Record {
        let (mut size, mut alignment) = (0_usize, 1);
        for field in &fields {
            let (own, aligned) = self.size_and_alignment(field.kind);
            size = size.next_multiple_of(aligned) + own * field.array.unwrap_or(1);
            alignment = alignment.max(aligned);
        }
        Record {
            is_union: false,
            attribute: "",
            fields,
            size: size.next_multiple_of(alignment),
            alignment,
        }
    }

    /// For the header.
    pub fn declarations(&self) -> String {
        let mut text = TYPEDEFS.to_owned();
        for (number, Enumeration(values)) in self.enumerations.iter().enumerate() {
            let values: Vec<_> = (values.iter().enumerate())
                .map(|(index, value)| format!("E{number}_{index} = {value}"))
                .collect();
            let _ = writeln!(text, "enum e{number} {{ {} }};", values.join(", "));
        }
        for (number, record) in self.records.iter().enumerate() {
            let keyword = record.keyword();
            let _ = write!(text, "{keyword} r{number} {{ ");
            for (index, field) in record.fields.iter().enumerate() {
                let _ = write!(text, "{} x{index}", self.name(field.kind));
                if let Some(count) = field.array {
                    let _ = write!(text, "[{count}]");
                }
                if let Some(bits) = field.bits {
                    let _ = write!(text, " : {bits}");
                }
                text += "; ";
            }
            let _ = writeln!(text, "}}{};", record.attribute);
        }
        text
    }

    /// `put_rN` and `see_rN` of each struct, for both sides.
    pub fn helpers(&self) -> String {
        let mut text = String::new();
        for (number, record) in self.records.iter().enumerate() {
            let kind = format!("{} r{number}", record.keyword());
            // All members are of the same size, and the first has no gaps.
            let fields = match record.is_union {
                true => &record.fields[..1],
                false => &record.fields[..],
            };
            let (mut puts, mut sees) = (String::new(), String::new());
            for (index, field) in fields.iter().enumerate() {
                let place = format!("it->x{index}");
                match (field.array, field.bits) {
                    (Some(count), _) => {
                        let _ = write!(puts, "for (int i = 0; i < {count}; i++) {{ ");
                        let _ = write!(sees, "for (int i = 0; i < {count}; i++) {{ ");
                        let place = format!("{place}[i]");
                        puts += &(self.put(field.kind, &place) + "} ");
                        sees += &(self.see(field.kind, &place) + "} ");
                    }
                    (None, Some(_)) => {
                        let _ = write!(puts, "{place} = next(s); ");
                        let _ = write!(sees, "see_number(m, (uint64_t) {place}); ");
                    }
                    (None, None) => {
                        puts += &self.put(field.kind, &place);
                        sees += &self.see(field.kind, &place);
                    }
                }
            }
            let _ = writeln!(
                text,
                "static inline void put_r{number}(uint64_t *s, {kind} *it) {{ {puts}}}\n\
                 static inline void see_r{number}(uint64_t *m, const {kind} *it) {{ {sees}}}"
            );
        }
        text
    }

    /// As C has it.
    pub fn name(&self, kind: Kind) -> String {
        match kind {
            Kind::Scalar(scalar) => scalar.name.to_owned(),
            Kind::Enumeration(number) => format!("enum e{number}"),
            Kind::Record(number) => format!("{} r{number}", self.records[number].keyword()),
        }
    }

    /// A statement that fills `place`, from the state that `s` points to.
    pub fn put(&self, kind: Kind, place: &str) -> String {
        match kind {
            Kind::Scalar(Scalar { name: "_Bool", .. }) => format!("{place} = next(s) & 1; "),
            Kind::Scalar(_) => format!("put(s, &{place}, sizeof {place}); "),
            Kind::Enumeration(number) => {
                let values = &self.enumerations[number].0;
                let last = values.len() - 1;
                let mut text = format!("{place} = E{number}_{last}; switch (next(s) % 3) {{ ");
                for index in 0..last {
                    let _ = write!(text, "case {index}: {place} = E{number}_{index}; break; ");
                }
                text + "} "
            }
            Kind::Record(number) => format!("put_r{number}(s, &{place}); "),
        }
    }

    /// A statement that adds `place` to the sum that `m` points to.
    pub fn see(&self, kind: Kind, place: &str) -> String {
        match kind {
            Kind::Scalar(_) => format!("see(m, &{place}, sizeof {place}); "),
            Kind::Enumeration(_) => format!("see_number(m, (uint64_t) (int64_t) {place}); "),
            Kind::Record(number) => format!("see_r{number}(m, &{place}); "),
        }
    }
}

impl Record {
    fn keyword(&self) -> &'static str {
        if self.is_union { "union" } else { "struct" }
    }
}

/// A union whose members are all of one size, some of floating point.
fn union_of_equals(lot: &mut Random, room: usize) -> Record {
    let (size, members): (usize, &[&str]) = match lot.below(3) {
        0 => (4, &["unsigned", "float", "int", "wchar_t"]),
        1 => (8, &["uint64_t", "double", "long", "size_t"]),
        // Of floating point alone.
        _ => [(4, &["float"][..]), (8, &["double"][..])][lot.below(2)],
    };
    let count = 1 + lot.below((room / size).clamp(1, 4));
    let fields: Vec<_> = (0..1 + lot.below(3))
        .map(|_| {
            let name = members[lot.below(members.len())];
            let all = INTEGERS.iter().chain(&FLOATS);
            let of = all.into_iter().find(|scalar| scalar.name == name);
            Field {
                kind: Kind::Scalar(*of.expect("a known one")),
                array: (count > 1).then_some(count),
                bits: None,
            }
        })
        .collect();
    Record {
        is_union: true,
        attribute: "",
        fields,
        size: size * count,
        alignment: size,
    }
}

fn bit_fields(lot: &mut Random) -> Record {
    let kinds = [
        (INTEGERS[8], 32),
        (INTEGERS[13], 64),
        (INTEGERS[6], 32),
        (INTEGERS[3], 8),
        (INTEGERS[5], 16),
    ];
    let fields: Vec<_> = (0..1 + lot.below(5))
        .map(|_| {
            let (kind, most) = kinds[lot.below(kinds.len())];
            Field {
                kind: Kind::Scalar(kind),
                array: None,
                bits: (lot.below(4) > 0).then(|| 1 + lot.below(most)),
            }
        })
        .collect();
    // At most so much.
    Record {
        is_union: false,
        attribute: "",
        size: 8 * fields.len(),
        alignment: 8,
        fields,
    }
}

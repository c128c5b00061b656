//! A batch in C: its header, its library, a program that calls each function, and the
//! `wrap.toml` that says what types do not.

use super::functions::{Batch, Hooks, Passed, Returned, Signature, Way};
use super::types::{Kind, Types};
use std::fmt::Write;

/// Which of the two a piece of C is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Library,
    Program,
}

impl Batch {
    /// The header.
    pub fn header(&self) -> String {
        let mut text = "#include <stddef.h>\n#include <stdint.h>\n#include <wchar.h>\n".to_owned();
        text += &self.types.declarations();
        for (number, signature) in self.signatures.iter().enumerate() {
            let result = self.result(signature);
            let parameters = self.passed(signature);
            let _ = writeln!(text, "typedef {result} (*s{number})({parameters});");
        }
        for (number, hooks) in self.hooks.iter().enumerate() {
            let Hooks {
                before,
                signature,
                after,
            } = hooks;
            let (before, after) = (self.types.name(*before), self.types.name(*after));
            let _ = writeln!(
                text,
                "struct h{number} {{ {before} before; s{signature} f; void *user; {after} after; }};"
            );
        }
        text += "struct object;\nstruct object *object_new(uint64_t value);\n\
                 uint64_t object_value(struct object *object);\nuint64_t nested(uint64_t value);\n";
        for number in 0..self.functions.len() {
            text += &(self.head(number) + ";\n");
        }
        text
    }

    /// `wrap.toml`
    pub fn config(&self) -> String {
        let mut text = "[defaults]\nelements = \"one\"\n".to_owned();
        for (number, function) in self.functions.iter().enumerate() {
            let pieces = self.pieces(function);
            let notes: Vec<_> = pieces.into_iter().filter_map(|it| it.note).collect();
            if !notes.is_empty() {
                let _ = writeln!(text, "\n[function.f{number}]\n{}", notes.join("\n"));
            }
        }
        text
    }

    /// The library, with a mistake in function MISTAKE.
    pub fn library(&self, header: &str) -> String {
        let mut text = format!(
            "#include \"{header}\"\n#include \"common.h\"\n#include <stdlib.h>\n\
             #ifndef MISTAKE\n#define MISTAKE -1\n#endif\n\
             struct object {{ uint64_t value; }};\n\
             struct object *object_new(uint64_t value)\n{{\n    \
             struct object *object = malloc(sizeof *object);\n    object->value = value;\n    return object;\n}}\n\
             uint64_t object_value(struct object *object) {{ return object->value; }}\n\
             uint64_t nested(uint64_t value) {{ return value * 31 + 7; }}\n"
        );
        text += &self.types.helpers();
        text += &self.both(Side::Library);
        for number in 0..self.functions.len() {
            text += &self.function(number);
        }
        text
    }

    /// The program: `program SEED ROUNDS THREADS` calls each function so many times in so
    /// many threads at once, and writes the sum of what came back for each.
    pub fn program(&self, header: &str) -> String {
        let mut text = format!(
            "#include \"{header}\"\n#include \"common.h\"\n#include <pthread.h>\n#include <stdio.h>\n\
             #include <stdlib.h>\nstatic _Thread_local uint64_t seen;\n"
        );
        text += &self.types.helpers();
        text += &self.both(Side::Program);
        for number in 0..self.functions.len() {
            text += &self.call(number);
        }
        text += "static uint64_t (*const all[])(uint64_t) = {";
        for number in 0..self.functions.len() {
            let _ = write!(text, "call_f{number}, ");
        }
        text + "};\n" + MAIN
    }

    fn result(&self, signature: &Signature) -> String {
        signature
            .result
            .map_or("void".into(), |kind| self.types.name(kind))
    }

    fn passed(&self, signature: &Signature) -> String {
        let list = signature.parameters.iter().enumerate();
        let list = list.map(|(index, passed)| match passed {
            Passed::Value(kind) => format!("{} a{index}", self.types.name(*kind)),
            Passed::Text => format!("const char *a{index}"),
            Passed::Data => format!("void *a{index}_user"),
            Passed::Memory(kind, Way::In) => format!("const {} *a{index}", self.types.name(*kind)),
            Passed::Memory(kind, _) => format!("{} *a{index}", self.types.name(*kind)),
            Passed::Function(number) => format!("s{number} a{index}"),
        });
        or_void(list.collect())
    }

    fn head(&self, number: usize) -> String {
        let function = &self.functions[number];
        let result = match &function.returned {
            Returned::Nothing => "void".to_owned(),
            Returned::Value(kind) => self.types.name(*kind),
            Returned::Text => "const char *".into(),
            Returned::Memory(kind) => format!("const {} *", self.types.name(*kind)),
            Returned::Object => "struct object *".into(),
            Returned::Function(signature) | Returned::Same { signature, .. } => {
                format!("s{signature}")
            }
        };
        let pieces = self.pieces(function);
        let declared = pieces.into_iter().flat_map(|it| it.declared).collect();
        format!("{result} f{number}({})", or_void(declared))
    }

    /// Of each signature: a function of this side's, and a call of one of either side's.
    fn both(&self, side: Side) -> String {
        let mut text = String::new();
        for (number, signature) in self.signatures.iter().enumerate() {
            let types = &self.types;
            let result = self.result(signature);
            let (mut sees, mut puts, mut made, mut given, mut found) =
                <(String, String, String, Vec<String>, String)>::default();
            for (index, passed) in signature.parameters.iter().enumerate() {
                let name = format!("a{index}");
                match passed {
                    Passed::Value(kind) => {
                        sees += &types.see(*kind, &name);
                        let _ = write!(made, "{} {name}; ", types.name(*kind));
                        made += &types.put(*kind, &name);
                        given.push(name);
                    }
                    Passed::Text => {
                        let _ = write!(sees, "see_text(m, {name}); ");
                        let _ = write!(made, "const char *{name} = put_text(s); ");
                        given.push(name);
                    }
                    Passed::Data => {
                        if side == Side::Program {
                            let _ = write!(sees, "see(m, {name}_user, sizeof(uint64_t)); ");
                        }
                        given.push("user".into());
                    }
                    Passed::Memory(kind, way) => {
                        sees += &see_pointer(types, *kind, &name);
                        let _ = write!(made, "{} {name}; ", types.name(*kind));
                        made += &types.put(*kind, &name);
                        if *way == Way::Inout {
                            puts += &types.put(*kind, &format!("(*{name})"));
                        }
                        found += &types.see(*kind, &name);
                        given.push(format!("&{name}"));
                    }
                    Passed::Function(known) => {
                        let _ = write!(sees, "call_s{known}(m, {name}, NULL); ");
                        given.push(format!("take_s{known}"));
                    }
                }
            }
            let (mut answer, mut back) = (String::new(), "return; ".to_owned());
            let mut assigned = "";
            if let Some(kind) = signature.result {
                answer = format!("{result} r; {}", types.put(kind, "r"));
                back = "return r; ".into();
                found += &types.see(kind, "r");
                assigned = "r = ";
            }
            let declared = match assigned {
                "" => String::new(),
                _ => format!("{result} "),
            };
            // Callbacks that call the library in turn, now and then.
            let more = match side {
                Side::Library => "",
                Side::Program if number % 3 == 0 => {
                    "see_number(m, nested(sum)); see_number(&seen, sum); "
                }
                Side::Program => "see_number(&seen, sum); ",
            };
            let _ = write!(
                text,
                "static {result} take_s{number}({parameters})\n{{\n    \
                 uint64_t sum = {number}, *m = &sum; see_errno(m); {sees}\n    {more}\n    \
                 uint64_t state = sum, *s = &state; {puts}{answer}put_errno(s); {back}\n}}\n\
                 static inline void call_s{number}(uint64_t *m, s{number} f, void *user)\n{{\n    \
                 uint64_t state = *m, *s = &state; (void) user;\n    {made}\n    put_errno(s);\n    \
                 {declared}{assigned}f({given});\n    see_errno(m); {found}\n}}\n",
                parameters = self.passed(signature),
                given = given.join(", "),
            );
        }
        text
    }

    fn function(&self, number: usize) -> String {
        let function = &self.functions[number];
        let types = &self.types;
        let (mut seen, mut done) = (String::new(), String::new());
        for pieces in self.pieces(function) {
            seen += &pieces.seen;
            done += &pieces.done;
        }
        let returns = match &function.returned {
            Returned::Nothing => "return;".to_owned(),
            Returned::Value(kind) => format!(
                "{} r; {} return r;",
                types.name(*kind),
                types.put(*kind, "r")
            ),
            Returned::Text => "return put_text(s);".into(),
            Returned::Memory(kind) => {
                let put = types.put(*kind, "memory");
                format!(
                    "static _Thread_local {} memory; {put} return &memory;",
                    types.name(*kind)
                )
            }
            Returned::Object => "return object_new(next(s));".into(),
            Returned::Function(signature) => format!("return take_s{signature};"),
            Returned::Same { parameter, .. } => format!("return a{parameter};"),
        };
        // errno last, but for the return: malloc may set it.
        let returns = returns.replacen("return ", "put_errno(s); return ", 1);
        let returns = match returns.as_str() {
            "return;" => "put_errno(s);".to_owned(),
            _ => returns,
        };
        format!(
            "{}\n{{\n    uint64_t sum = {number} == MISTAKE ? ~{number} : {number}, *m = &sum; see_errno(m);\n    \
             {seen}\n    uint64_t state = sum, *s = &state; (void) s;\n    {done}\n    {returns}\n}}\n",
            self.head(number)
        )
    }

    fn call(&self, number: usize) -> String {
        let function = &self.functions[number];
        let types = &self.types;
        let (mut before, mut arguments, mut after) = (String::new(), Vec::new(), String::new());
        for pieces in self.pieces(function) {
            before += &pieces.before;
            arguments.extend(pieces.arguments);
            after += &pieces.after;
        }
        let call = format!("f{number}({})", arguments.join(", "));
        let call = match &function.returned {
            Returned::Nothing => format!("{call}; see_errno(m);"),
            Returned::Value(kind) => format!(
                "{} r = {call}; see_errno(m); {}",
                types.name(*kind),
                types.see(*kind, "r")
            ),
            Returned::Text => format!("const char *r = {call}; see_errno(m); see_text(m, r);"),
            Returned::Memory(kind) => format!(
                "const {} *r = {call}; see_errno(m); {}",
                types.name(*kind),
                see_pointer(types, *kind, "r")
            ),
            Returned::Object => format!(
                "struct object *r = {call}; see_errno(m); see_number(m, r ? object_value(r) : 0);"
            ),
            Returned::Function(signature) => format!(
                "s{signature} r = {call}; see_errno(m); if (r) call_s{signature}(m, r, NULL);"
            ),
            Returned::Same { signature, .. } => format!(
                "s{signature} r = {call}; see_errno(m); see_number(m, r == take_s{signature});"
            ),
        };
        format!(
            "static uint64_t call_f{number}(uint64_t seed)\n{{\n    \
             uint64_t state = seed + {number}, *s = &state, sum = {number}, *m = &sum; seen = 0;\n    \
             {before}\n    put_errno(s);\n    {call}\n    {after}\n    see_number(m, seen);\n    return sum;\n}}\n"
        )
    }
}

fn or_void(list: Vec<String>) -> String {
    if list.is_empty() {
        "void".into()
    } else {
        list.join(", ")
    }
}

/// Sees what a pointer leads to, and that it is where such a thing may be.
pub fn see_pointer(types: &Types, kind: Kind, name: &str) -> String {
    format!(
        "see_number(m, {name} ? (uintptr_t) {name} % _Alignof({}) : 1); if ({name}) {{ {}}} ",
        types.name(kind),
        types.see(kind, &format!("(*{name})"))
    )
}

const MAIN: &str = "\
#define COUNT (sizeof all / sizeof *all)
static uint64_t seed, rounds;
static void *run(void *sums)
{
    for (uint64_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < COUNT; i++)
            ((uint64_t *) sums)[round * COUNT + i] = all[i](seed + (round << 32));
    return sums;
}
int main(int argc, char **argv)
{
    pthread_t threads[8];
    uint64_t *sums[8];
    if (argc != 4)
        return 2;
    seed = strtoull(argv[1], NULL, 0);
    rounds = strtoull(argv[2], NULL, 0);
    int count = atoi(argv[3]);
    for (int i = 0; i < count; i++) {
        sums[i] = calloc(rounds * COUNT, sizeof(uint64_t));
        if (pthread_create(&threads[i], NULL, run, sums[i]))
            return 3;
    }
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < count; i++)
        for (uint64_t n = 0; n < rounds * COUNT; n++)
            printf(\"f%d round %d: %016llx\\n\", (int) (n % COUNT), (int) (n / COUNT), (unsigned long long) sums[i][n]);
    return 0;
}
";

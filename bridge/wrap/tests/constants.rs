//! Which constants differ between the two targets, by tests/abi/constants.h.

use iotdec_wrap::constants::{self, Constant};
use iotdec_wrap::parse::{self, GUEST, HOST, Source};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// What gcc says on a target of constants that are integers there.
fn by_the_compiler(
    compiler: &str,
    header: &Path,
    constants: &[Constant],
) -> BTreeMap<String, String> {
    let place = tempfile::tempdir().expect("a directory");
    let source = place.path().join("constants.c");
    // Each value becomes an operand in the assembly.
    let mut text = format!("#include \"{}\"\nvoid values(void) {{\n", header.display());
    for Constant { name, .. } in constants {
        text += &format!(
            "#if defined {name} || {}\n__asm__(\"@{name}=%c0@\" :: \"i\" ((long)({name})));\n#endif\n",
            u8::from(name.starts_with("NAMED") || name.starts_with("LOOSE"))
        );
    }
    std::fs::write(&source, text + "}\n").expect("room");
    let output = Command::new(compiler)
        .args(["-D_GNU_SOURCE", "-S", "-o", "-"])
        .arg(&source)
        .output()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler}: {errors}");
    let assembly = String::from_utf8_lossy(&output.stdout).into_owned();
    let values = assembly.split('@').filter_map(|part| part.split_once('='));
    values
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn constants_that_differ() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/abi/constants.h");
    let header = header.canonicalize().expect("it is there");
    let source = Source::of(&[&header], &["-D_GNU_SOURCE".into()]);
    let [guest, host] =
        parse::read(&source, &|_| true, [GUEST, HOST]).unwrap_or_else(|error| panic!("{error}"));
    let found = constants::differing(&source, &guest, &host);
    let found = found.unwrap_or_else(|error| panic!("{error}"));
    let own: Vec<_> = found.iter().filter(|c| c.place.is_own).collect();
    let own: Vec<_> = own
        .iter()
        .map(|c| (c.name.as_str(), c.guest, c.host))
        .collect();
    assert_eq!(
        own,
        [
            ("AFTER_THE_WORST", Some(16384 + 33), Some(16384 + 18)),
            ("FORMAT_OF_WIDEST", Some(113), Some(64)),
            ("GUEST_ALONE", Some(-2), None),
            ("HOST_ALONE", None, Some(1)),
            ("IS_CHAR_SIGNED", Some(0), Some(1)),
            ("LOWEST", Some(0), Some(-128)),
            ("OPEN_DIRECTORY", Some(0o40000), Some(0o200000)),
            ("LOOSE_DIRECT", Some(0o200000), Some(0o40000)),
            ("NAMED_LOWEST", Some(0), Some(-128)),
        ]
    );
    for name in [
        "O_DIRECTORY",
        "O_DIRECT",
        "O_NOFOLLOW",
        "CHAR_MIN",
        "CHAR_MAX",
    ] {
        assert!(
            found.iter().any(|c| c.name == name && !c.place.is_own),
            "{name}"
        );
    }
    for name in [
        "O_RDONLY",
        "O_CREAT",
        "INT_MAX",
        "SAME",
        "LARGEST",
        "SIZE_OF_WIDEST",
    ] {
        assert!(found.iter().all(|c| c.name != name), "{name}");
    }

    for (compiler, value) in [
        (
            "aarch64-linux-gnu-gcc",
            (|c: &Constant| c.guest) as fn(&Constant) -> Option<i128>,
        ),
        ("gcc", |c| c.host),
    ] {
        let said = by_the_compiler(compiler, &header, &found);
        for constant in &found {
            let value = value(constant).map(|value| value.to_string());
            assert_eq!(
                said.get(&constant.name),
                value.as_ref(),
                "{compiler}: {}",
                constant.name
            );
        }
    }
}

//! The accelerator as a plugin: what QEMU sees of it, whichever version QEMU is.

use iotdec_tests::compile::{self, HOST};
use iotdec_tests::environment::{self, accelerator};
use iotdec_wire::door::{Call, KNOCK, MAGIC, Service, Status, VERSION};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `nop`.
const NOTHING: u32 = 0xd503_201f;
/// `ic ivau, x3`.
const INVALIDATION: u32 = 0xd50b_7523;
const _: () = assert!(align_of::<Call>() == 64);

/// qemu_plugin/qemu.c, compiled.
struct Pretended {
    program: PathBuf,
    _directory: tempfile::TempDir,
}

impl Pretended {
    fn new(definitions: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let program = directory.path().join("qemu");
        let mut compiler = Command::new(HOST);
        compiler
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-rdynamic"])
            .arg(environment::root().join("tests/qemu_plugin/qemu.c"))
            .args(definitions);
        compile::make(&mut compiler, &program);
        Self {
            program,
            _directory: directory,
        }
    }

    fn run(&self, accelerator: &Path, target: &str, words: &[u32], call: &Call) -> Output {
        let bytes = bytemuck::bytes_of(call);
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let words = words.iter().map(|word| format!("{word:08x}"));
        Command::new(&self.program)
            .arg(accelerator)
            .arg(target)
            .args(words)
            .arg(bytes)
            .output()
            .expect("it runs")
    }
}

fn hello() -> Call {
    let service = Service::Hello.code();
    Call {
        service,
        magic: MAGIC,
        values: [VERSION, 0, 0, 0, 0, 0],
        ..Call::default()
    }
}

/// A call as it was printed.
fn parse(line: &str) -> Call {
    let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).expect("hexadecimal");
    let bytes: Vec<u8> = (0..line.len()).step_by(2).map(byte).collect();
    bytemuck::pod_read_unaligned(&bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Only the store right behind the hint is a knock, and cache maintenance is seen.
#[test]
fn every_version_of_the_interface_is_met() {
    let Some(accelerator) = accelerator("versions of the plugin interface") else {
        return;
    };
    let words = [
        KNOCK[1],
        KNOCK[0],
        NOTHING,
        KNOCK[1],
        KNOCK[0],
        KNOCK[1],
        INVALIDATION,
    ];
    let others: &[&str] = &["-DINTERFACE=1", "-DGUEST_BASE=0x100000"];
    for definitions in [
        &["-DINTERFACE=1"][..],
        &["-DINTERFACE=2"],
        &["-DINTERFACE=3"],
        &["-DINTERFACE=5"],
        others,
    ] {
        let output = Pretended::new(definitions).run(&accelerator, "aarch64", &words, &hello());
        let said = text(&output.stdout);
        assert!(output.status.success(), "{definitions:?}: {output:?}");
        assert_eq!(text(&output.stderr), "", "{definitions:?}");
        let lines: Vec<&str> = said.lines().collect();
        let [store, execution, call] = lines[..] else {
            panic!("{definitions:?}: {said}");
        };
        assert_eq!(
            [store, execution],
            ["store 5", "execution 6"],
            "{definitions:?}"
        );
        let call = parse(call);
        assert_eq!(
            Status::from_code(call.status),
            Some(Status::Done),
            "{definitions:?}"
        );
        assert_eq!(call.values[0], VERSION, "{definitions:?}");
    }
}

/// QEMU goes on, and the guest's calls stay unanswered.
#[test]
fn what_it_cannot_work_with_is_said() {
    let Some(accelerator) = accelerator("what it cannot work with") else {
        return;
    };
    for (definitions, target, why) in [
        (&["-DINTERFACE=1"][..], "arm", "only programs for aarch64"),
        (
            &["-DINTERFACE=1", "-DNO_SYSCALLS"],
            "aarch64",
            "QEMU lacks qemu_plugin_register_vcpu_syscall_cb",
        ),
    ] {
        let output = Pretended::new(definitions).run(&accelerator, target, &KNOCK, &hello());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text(&output.stdout), "", "it listens all the same");
        let said = text(&output.stderr);
        assert!(
            said.contains("the accelerator is off") && said.contains(why),
            "{said}"
        );
    }
}

/// The QEMU that is installed loads it; a guest that never knocks notices nothing.
#[test]
fn a_guest_that_does_not_knock_is_as_before() {
    let Some(accelerator) = accelerator("a guest that does not knock") else {
        return;
    };
    let run = |plugin: &[&Path]| {
        let output = Command::new("qemu-aarch64")
            .args(plugin)
            .arg("-L")
            .arg(environment::variable_or_advice("IOTDEC_SYSROOT"))
            .arg(environment::variable_or_advice("IOTDEC_WORKER"))
            .output()
            .expect("qemu-aarch64 is installed");
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let plain = run(&[]);
    // It has no command to run, and says which there are.
    assert_eq!(plain.0, Some(1));
    assert!(plain.2.contains("iotdec-worker serve"), "{}", plain.2);
    assert_eq!(run(&[Path::new("-plugin"), &accelerator]), plain);
}

/// And no more: whatever else is in there is not to meet QEMU's own.
#[test]
fn it_exports_what_qemu_looks_for() {
    use object::{Object, ObjectSymbol};
    let Some(accelerator) = accelerator("exported symbols") else {
        return;
    };
    let bytes = std::fs::read(accelerator).expect("it is built");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let mut names: Vec<&str> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .map(|symbol| symbol.name().expect("a name"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["qemu_plugin_install", "qemu_plugin_version"]);
}

/// QEMU shows the accelerator one page's instructions at a time.
#[test]
fn workers_have_every_knock_in_one_page() {
    use object::{Object, ObjectSection, SectionKind};
    let wanted: Vec<u8> = KNOCK.iter().flat_map(|word| word.to_le_bytes()).collect();
    for worker in ["IOTDEC_WORKER", "IOTDEC_CALLS"] {
        let bytes = std::fs::read(environment::variable_or_advice(worker)).expect("it is built");
        let file = object::File::parse(&*bytes).expect("an ELF file");
        let mut knocks = 0;
        for section in file.sections().filter(|it| it.kind() == SectionKind::Text) {
            let code = section.data().expect("instructions");
            for at in (0..code.len()).step_by(4) {
                if code[at..].starts_with(&wanted) {
                    assert_ne!((section.address() + at as u64) % 4096, 4092, "{worker}");
                    knocks += 1;
                }
            }
        }
        assert!(knocks > 0, "{worker}");
    }
}

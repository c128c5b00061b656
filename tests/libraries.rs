//! The CPU model is chosen by what is in a library, and the library runs with it.

use iotdec_bridge::library::{self, Library};
use iotdec_bridge::{Launch, Manifest, Overrides};
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::environment::{self, variable_or_advice};
use iotdec_tests::pipeline::decode;
use iotdec_tests::{crafted, exclusive, process};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

fn in_sysroot(name: &str) -> PathBuf {
    let sysroot = variable_or_advice("IOTDEC_SYSROOT");
    let found = library::find_in_sysroot(&sysroot, name);
    found.unwrap_or_else(|| panic!("{name} is not in {}", sysroot.display()))
}

fn inspect(path: &Path) -> Library {
    Library::inspect(path).unwrap_or_else(|error| panic!("{error}"))
}

/// A sysroot holds what its list names, what that needs, and nothing else.
#[test]
fn the_sysroot_is_an_elf_closure() {
    let sysroot = variable_or_advice("IOTDEC_SYSROOT");
    let list = environment::root().join("setup/sysroot.txt");
    let list = std::fs::read_to_string(list).expect("part of the tree");
    let listed = list.lines().filter_map(|line| {
        let name = line.split('#').next()?.split_whitespace().next()?;
        Some(name.to_owned())
    });
    let mut wanted = BTreeSet::new();
    for name in listed {
        let path = in_sysroot(&name);
        let needed = library::resolve_dependencies(&path, &inspect(&path), &sysroot);
        wanted.extend(needed.unwrap_or_else(|error| panic!("{error}")).into_keys());
        wanted.insert(name);
    }
    let directory = sysroot.join("lib/aarch64-linux-gnu");
    let entries = std::fs::read_dir(directory).expect("a sysroot");
    let there: BTreeSet<_> = entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("ASCII")
        })
        .collect();
    assert_eq!(there, wanted);
}

/// Constants between its functions look like SVE instructions.
#[test]
fn libde265_needs_nothing_special() {
    let library = inspect(&in_sysroot("libde265.so.0"));
    assert!(!library.contains_sve, "constants were taken for SVE");
    assert!(!library.requires_pac);
    assert_eq!(library.needs().cpu_model(), "cortex-a76");
}

#[test]
fn openh264_needs_nothing_special() {
    let library = inspect(&in_sysroot("libopenh264.so.7"));
    assert!(!library.contains_sve, "constants were taken for SVE");
    assert!(!library.requires_pac);
    assert_eq!(library.needs().cpu_model(), "cortex-a76");
}

/// glibc has SVE variants of its functions, and uses them where there is SVE.
#[test]
fn sve_is_found_in_glibc() {
    let library = inspect(&in_sysroot("libc.so.6"));
    assert!(library.contains_sve);
}

/// As many functions as it takes for instructions to be believed. Each calls
/// another, so each signs its return address.
fn many_functions() -> String {
    let mut source = String::from("extern int outside(int);\n");
    for number in 0..32 {
        source.push_str(&format!(
            "int step{number}(int x) {{ return outside(x + {number}) + 1; }}\n"
        ));
    }
    source.push_str("int outside(int x) { return x; }\n");
    source
}

fn crafted_with(directory: &Path, arguments: &[&str]) -> Library {
    let path = crafted::library(directory, "libcrafted.so", &many_functions(), arguments);
    inspect(&path)
}

#[test]
fn hints_of_pointer_authentication_need_no_such_cpu() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // PACIASP and AUTIASP, which older CPUs skip.
    let protection = ["-O2", "-mbranch-protection=standard", "-march=armv8-a"];
    let library = crafted_with(directory.path(), &protection);
    assert!(!library.requires_pac, "hints were taken for more");
    assert_eq!(library.needs().cpu_model(), "cortex-a76");
}

/// RETAA, which older CPUs do not know.
const WITH_PAC: [&str; 3] = ["-O2", "-mbranch-protection=pac-ret", "-march=armv8.3-a"];

#[test]
fn required_pointer_authentication_gets_a_cpu_that_has_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let library = crafted_with(directory.path(), &WITH_PAC);
    assert!(library.requires_pac);
    let model = library.needs().cpu_model();
    assert!(model.starts_with("max,"), "{model}");
    assert!(model.contains("pauth-impdef=on"), "{model}");
}

/// Many vector loops without any look at what the CPU can do.
fn vector_loops() -> String {
    let one = |number| {
        format!(
            "void add{number}(int *a, int n) {{ for (int i = 0; i < n; i++) a[i] += {number}; }}\n"
        )
    };
    (0..32).map(one).collect()
}

const WITH_SVE: [&str; 2] = ["-O3", "-march=armv8.2-a+sve"];

#[test]
fn required_sve_gets_a_cpu_that_has_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = crafted::library(directory.path(), "libvector.so", &vector_loops(), &WITH_SVE);
    let library = inspect(&path);
    assert!(library.contains_sve && !library.asks_for_features);
    assert_eq!(library.needs().cpu_model(), "max,pauth=off");
}

/// A stand-in for libde265 with code that needs `model` starts with just that: its
/// version says that the code ran. With the model of all others it does not.
#[track_caller]
fn run_with_chosen_model(extra: &str, version: &str, arguments: &[&str], model: &str) {
    let _turn = exclusive();
    environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = crafted::fake_de265_with(
        directory.path(),
        &[("de265_get_version", version)],
        extra,
        arguments,
    );
    let (manifests, _) = iotdec_bridge::manifest::discover();
    let is_de265 = |manifest: &&Manifest| manifest.name == "de265";
    let manifest = manifests.iter().find(is_de265).expect("built in");
    let overrides = |cpu: Option<&str>| Overrides {
        library: Some(path.clone()),
        cpu: cpu.map(str::to_owned),
        ..Overrides::default()
    };
    let start = |cpu| {
        let launch = Launch::resolve(manifest, &overrides(cpu)).expect("all is there");
        let log = std::sync::Arc::new(|line: &str| println!("worker: {line}"));
        let slots = iotdec_bridge::SlotPolicy::default();
        let started = iotdec_bridge::start(&launch, slots, log);
        (launch.cpu, started)
    };
    let (cpu, started) = start(None);
    assert_eq!(cpu, model);
    let (worker, feeder, receiver) = started.unwrap_or_else(|error| panic!("{model}: {error}"));
    let text = worker.library_version().to_owned();
    worker.kill();
    drop((worker, feeder, receiver));
    process::assert_no_children();
    assert!(text.contains("ran its code"), "{text}");
    let (_, refused) = start(Some("cortex-a76"));
    let Err(error) = refused else {
        panic!("it needs no special CPU model");
    };
    assert!(error.to_string().contains("SIGILL"), "{error}");
    process::assert_no_children();
}

#[test]
fn a_library_with_pointer_authentication_runs() {
    run_with_chosen_model(
        &many_functions(),
        "return step1(step2(3)) == 8 ? \"ran its code\" : \"failed\";",
        &WITH_PAC,
        "max,sve=off,pauth-impdef=on",
    );
}

#[test]
fn a_library_with_sve_runs() {
    run_with_chosen_model(
        &vector_loops(),
        "static int a[64]; add5(a, 64); return a[63] == 5 ? \"ran its code\" : \"failed\";",
        &WITH_SVE,
        "max,pauth=off",
    );
}

#[test]
fn a_library_on_the_wrong_cpu_is_one_error() {
    let _turn = exclusive();
    environment::prepare();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let version = [(
        "de265_get_version",
        "return step1(1) ? \"ran its code\" : \"failed\";",
    )];
    let library =
        crafted::fake_de265_with(directory.path(), &version, &many_functions(), &WITH_PAC);
    let file = clips::encode(directory.path(), Codec::H265, 20, 10);
    let middle = format!(
        "iotdec name=decoder library=\"{}\" cpu=cortex-a76",
        library.display()
    );
    let decoded = decode(&file, &middle, LIMIT);
    process::assert_no_children();
    let error = decoded.end.only_error();
    assert!(error.text.contains("SIGILL"), "{error}");
    assert!(error.text.contains("libfake265.so"), "{error}");
}

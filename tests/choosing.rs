//! How much of the accelerator is used, and what is said of it: what is asked for is
//! done or is an error, and what nobody asked for never stands in the way.

use iotdec_bridge::launch::find_qemu;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::environment::{self, accelerator};
use iotdec_tests::pipeline::{Decoded, count, decode};
use iotdec_tests::{crafted, exclusive, process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const FRAMES: u32 = 20;

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn clip(directory: &TempDir) -> PathBuf {
    clips::encode(directory.path(), Codec::H265, FRAMES, 10)
}

/// Decodes with properties. Besides, the command line of the worker that ran last, if
/// there was one.
fn play(file: &Path, properties: &str) -> (Decoded, Option<String>) {
    let middle = format!("iotdec name=decoder {properties}");
    let done = AtomicBool::new(false);
    let played = std::thread::scope(|scope| {
        let last_worker = scope.spawn(|| {
            let mut last = None;
            while !done.load(Ordering::Relaxed) {
                let children = process::children().into_iter();
                let commands = children.map(|child| child.command);
                let mut workers = commands.filter(|it| it.contains(" serve "));
                last = workers.next_back().or(last);
                std::thread::sleep(Duration::from_millis(5));
            }
            last
        });
        let decoded = decode(file, &middle, LIMIT);
        done.store(true, Ordering::Relaxed);
        (decoded, last_worker.join().expect("it only looks"))
    });
    process::assert_no_children();
    played
}

/// What the statistics say is on, and why not more.
#[track_caller]
fn told(decoded: &Decoded) -> (String, String) {
    let stats = decoded.stats.as_ref().expect("a decoder was chosen");
    let text = |field: &str| stats.get::<String>(field).expect("a text");
    (text("accel"), text("accel-reason"))
}

#[track_caller]
fn assert_all_frames(decoded: &Decoded) {
    decoded.end.assert_eos();
    assert_eq!(decoded.frames.len(), FRAMES as usize);
}

/// A QEMU that works but lacks what plugins need, as static builds do: its functions for
/// them go by another name.
fn without_plugins(directory: &Path) -> PathBuf {
    let mut program = std::fs::read(find_qemu(None).expect("qemu-user is installed"))
        .expect("a readable program");
    let name = b"qemu_plugin_register_vcpu_tb_trans_cb";
    let mut at = 0;
    while let Some(found) = program[at..].windows(name.len()).position(|w| w == name) {
        at += found;
        program[at] = b'Q';
    }
    let path = directory.join("qemu-aarch64");
    std::fs::write(&path, program).expect("a writable directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("it is ours");
    path
}

#[test]
fn off_starts_without_the_plugin() {
    let _turn = exclusive();
    let directory = scratch();
    let (decoded, worker) = play(&clip(&directory), "accel=off");
    assert_all_frames(&decoded);
    let command = worker.expect("a worker ran");
    assert!(!command.contains("-plugin"), "{command}");
    assert!(!command.contains("--accel"), "{command}");
    assert!(command.contains("-cpu cortex-a76"), "{command}");
    assert_eq!(told(&decoded), ("off".into(), "it is switched off".into()));
}

#[test]
fn turbo_is_on_where_it_can_be() {
    let _turn = exclusive();
    let Some(plugin) = accelerator("turbo") else {
        return;
    };
    let directory = scratch();
    let file = clip(&directory);
    let (plain, _) = play(&file, "accel=off");
    for properties in ["", "accel=turbo"] {
        let (decoded, worker) = play(&file, properties);
        assert_all_frames(&decoded);
        let command = worker.expect("a worker ran");
        let option = format!("-plugin {}", plugin.display());
        assert!(command.contains(&option), "{command}");
        assert!(command.contains("-cpu cortex-a53"), "{command}");
        assert_eq!(told(&decoded), ("turbo".into(), String::new()));
        let stats = decoded.stats.as_ref().expect("just looked at");
        let entries = count(stats, "turbo-entries");
        assert!(entries >= u64::from(FRAMES), "{stats}");
        assert!(count(stats, "turbo-blocks") > 0, "{stats}");
        assert_eq!(decoded.frames, plain.frames);
    }
}

#[test]
fn native_is_less_than_turbo() {
    let _turn = exclusive();
    if accelerator("native functions").is_none() {
        return;
    }
    let directory = scratch();
    let (decoded, worker) = play(&clip(&directory), "accel=native");
    assert_all_frames(&decoded);
    let command = worker.expect("a worker ran");
    assert!(command.contains("--accel native"), "{command}");
    assert!(command.contains("-cpu cortex-a76"), "{command}");
    assert_eq!(told(&decoded), ("native".into(), String::new()));
    let stats = decoded.stats.as_ref().expect("just looked at");
    assert_eq!(count(stats, "turbo-entries"), 0);
}

#[test]
fn a_qemu_without_plugins_does_as_before() {
    let _turn = exclusive();
    let directory = scratch();
    let qemu = without_plugins(directory.path());
    let file = clip(&directory);
    let (decoded, worker) = play(&file, &format!("qemu={}", qemu.display()));
    assert_all_frames(&decoded);
    let command = worker.expect("a worker ran");
    assert!(!command.contains("-plugin"), "{command}");
    let (mode, reason) = told(&decoded);
    assert_eq!(mode, "off");
    assert!(reason.contains("takes no plugins"), "{reason}");
}

#[test]
fn turbo_that_cannot_be_had_is_an_error() {
    let _turn = exclusive();
    let directory = scratch();
    let qemu = without_plugins(directory.path());
    let file = clip(&directory);
    for mode in ["turbo", "native"] {
        let properties = format!("accel={mode} qemu={}", qemu.display());
        let (decoded, worker) = play(&file, &properties);
        assert_eq!(worker, None);
        let error = decoded.end.only_error();
        for word in [
            &*format!("accel={mode}"),
            "plugins",
            "qemu-user",
            "accel=auto",
        ] {
            assert!(error.text.contains(word), "{word:?} is not in {error}");
        }
    }
}

#[test]
fn another_cpu_model_leaves_native_functions() {
    let _turn = exclusive();
    if accelerator("CPU models").is_none() {
        return;
    }
    let directory = scratch();
    let file = clip(&directory);
    let (decoded, worker) = play(&file, "cpu=cortex-a76");
    assert_all_frames(&decoded);
    let command = worker.expect("a worker ran");
    assert!(command.contains("--accel native"), "{command}");
    let (mode, reason) = told(&decoded);
    assert_eq!(mode, "native");
    assert!(reason.contains("cortex-a76"), "{reason}");
    let (decoded, worker) = play(&file, "cpu=cortex-a76 accel=turbo");
    assert_eq!(worker, None);
    let error = decoded.end.only_error();
    for word in ["accel=turbo", "cortex-a76", "cortex-a53"] {
        assert!(error.text.contains(word), "{word:?} is not in {error}");
    }
    // One that suits is as good as none.
    let (decoded, worker) = play(&file, "cpu=cortex-a72 accel=turbo");
    assert_all_frames(&decoded);
    let command = worker.expect("a worker ran");
    assert!(command.contains("-cpu cortex-a72"), "{command}");
}

/// Code that needs a processor of later than Armv8.0.
#[test]
fn a_library_that_needs_more_than_turbo_has() {
    let _turn = exclusive();
    if accelerator("later processors").is_none() {
        return;
    }
    let directory = scratch();
    let atomics = "int shared; int use(void) { return __sync_fetch_and_add(&shared, 1); }";
    let version = [("de265_get_version", "use(); return \"ran its code\";")];
    let arguments = ["-O2", "-march=armv8.2-a"];
    let library = crafted::fake_de265_with(directory.path(), &version, atomics, &arguments);
    let file = clip(&directory);
    let properties = format!("library={}", library.display());
    let (decoded, worker) = play(&file, &properties);
    let command = worker.expect("a worker ran");
    assert!(command.contains("-cpu cortex-a76"), "{command}");
    let (mode, reason) = told(&decoded);
    assert_eq!(mode, "native");
    assert!(reason.contains("Armv8.1"), "{reason}");
    let (decoded, _) = play(&file, &format!("{properties} accel=turbo"));
    let error = decoded.end.only_error();
    assert!(error.text.contains("Armv8.1"), "{error}");
    // The same beside the library, which needs it.
    crafted::library(directory.path(), "libhelp.so", atomics, &arguments);
    let search = format!("-L{}", directory.path().display());
    let arguments = ["-Wl,--no-as-needed", &search, "-l:libhelp.so"];
    crafted::fake_de265_with(directory.path(), &[], "", &arguments);
    let (decoded, _) = play(&file, &properties);
    let (_, reason) = told(&decoded);
    assert!(reason.contains("Armv8.1"), "{reason}");
}

/// Says whether it runs on turbo's CPU model, where it does not work.
const OLD: &str = "#include <sys/auxv.h>\n\
    static int is_old(void) { return !(getauxval(AT_HWCAP) & HWCAP_ATOMICS); }";

#[test]
fn a_worker_that_dies_at_its_start_is_tried_without() {
    let _turn = exclusive();
    if accelerator("a worker that dies of it").is_none() {
        return;
    }
    let directory = scratch();
    let version = [(
        "de265_get_version",
        "if (is_old()) _exit(9); return \"fine\";",
    )];
    let library = crafted::fake_de265(directory.path(), &version, OLD);
    let file = clip(&directory);
    let properties = format!("library={}", library.display());
    let (decoded, worker) = play(&file, &properties);
    let command = worker.expect("a worker ran");
    assert!(!command.contains("-plugin"), "{command}");
    assert!(command.contains("-cpu cortex-a76"), "{command}");
    let (mode, reason) = told(&decoded);
    assert_eq!(mode, "off");
    assert!(reason.contains("status 9"), "{reason}");
    let stats = decoded.stats.as_ref().expect("just looked at");
    assert_eq!(count(stats, "worker-restarts"), 0, "it never was a worker");
    let (decoded, _) = play(&file, &format!("{properties} accel=turbo"));
    let error = decoded.end.only_error();
    assert!(error.text.contains("status 9"), "{error}");
}

#[test]
fn a_worker_that_goes_on_dying_is_tried_without() {
    let _turn = exclusive();
    if accelerator("a worker that goes on dying of it").is_none() {
        return;
    }
    let directory = scratch();
    let push = [("de265_push_NAL", "if (is_old()) _exit(9); return 0;")];
    let library = crafted::fake_de265(directory.path(), &push, OLD);
    let (decoded, _) = play(&clip(&directory), &format!("library={}", library.display()));
    let stats = decoded.stats.as_ref().expect("a decoder was chosen");
    assert_eq!(count(stats, "worker-restarts"), 2, "{stats}");
    let (mode, reason) = told(&decoded);
    assert_eq!(mode, "off");
    assert!(reason.contains("status 9"), "{reason}");
}

/// `iotdec` with other variables, and the JSON it prints.
#[track_caller]
fn iotdec(arguments: &[&str], variables: &[(&str, &Path)]) -> Value {
    environment::prepare();
    let output = Command::new("iotdec")
        .args(arguments)
        .arg("--json")
        .envs(variables.iter().copied())
        .output()
        .expect("it is on PATH");
    let log = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {log}"))
}

#[track_caller]
fn listed(variables: &[(&str, &Path)]) -> Value {
    let listing = iotdec(&["list"], variables);
    let decoders = listing["decoders"].as_array().expect("a list");
    let de265 = decoders.iter().find(|decoder| decoder["name"] == "de265");
    de265.expect("built in").clone()
}

#[test]
fn the_list_tells_what_will_be_chosen_and_why() {
    let _turn = exclusive();
    let reason = |entry: &Value| {
        entry["accel_reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let off = listed(&[("IOTDEC_ACCEL_MODE", Path::new("off"))]);
    assert_eq!(
        (&off["accel"], &off["cpu"]),
        (&"off".into(), &"cortex-a76".into())
    );
    assert!(reason(&off).contains("switched off"), "{off}");
    let directory = scratch();
    let qemu = without_plugins(directory.path());
    let plain = listed(&[("IOTDEC_QEMU", &qemu)]);
    assert_eq!(plain["accel"], "off");
    assert!(reason(&plain).contains("takes no plugins"), "{plain}");
    let wrong = listed(&[("IOTDEC_ACCEL_MODE", Path::new("fast"))]);
    let problem = wrong["problem"].as_str().expect("it cannot run");
    assert!(problem.contains("IOTDEC_ACCEL_MODE"), "{problem}");
    let Some(plugin) = accelerator("iotdec list") else {
        return;
    };
    let missing = listed(&[("IOTDEC_ACCEL", Path::new("/nowhere/accel.so"))]);
    assert_eq!(missing["accel"], "off");
    assert!(reason(&missing).contains("/nowhere/accel.so"), "{missing}");
    let turbo = listed(&[]);
    assert_eq!(
        (&turbo["accel"], &turbo["cpu"]),
        (&"turbo".into(), &"cortex-a53".into())
    );
    assert_eq!(turbo["accelerator"].as_str().map(Path::new), Some(&*plugin));
    assert_eq!(turbo["accel_reason"], Value::Null);
}

/// QEMU does not start with a plugin that it cannot load.
#[test]
fn an_accelerator_that_is_none_is_done_without() {
    let _turn = exclusive();
    if accelerator("an accelerator that is none").is_none() {
        return;
    }
    let directory = scratch();
    let plugin = directory.path().join("a, b.so");
    std::fs::write(&plugin, "no library").expect("a writable directory");
    let file = clip(&directory);
    let png = directory.path().join("frame.png");
    let [file, png] = [&file, &png].map(|path| path.to_string_lossy());
    let arguments = ["play", "--headless", "--png", &png, &file];
    let report = iotdec(&arguments, &[("IOTDEC_ACCEL", &plugin)]);
    assert_eq!(report["frames"], FRAMES);
    assert_eq!(report["accel"], "off");
    let reason = report["accel_reason"].as_str().expect("a reason");
    assert!(reason.contains("a, b.so"), "{reason}");
}

/// A plugin that QEMU loads, but behind which nobody answers the worker.
const DEAF: &str = "int qemu_plugin_version = 1;\n\
    extern void qemu_plugin_scoreboard_new(void) __attribute__((weak));\n\
    __attribute__((constructor)) static void ask_for_version(void)\n\
    { if (qemu_plugin_scoreboard_new) qemu_plugin_version = 2; }\n\
    int qemu_plugin_install(unsigned long id, const void *info, int n, char **arguments)\n\
    { return 0; }";

#[test]
fn an_accelerator_that_does_not_answer_is_told() {
    let _turn = exclusive();
    if accelerator("an accelerator that does not answer").is_none() {
        return;
    }
    let directory = scratch();
    let [source, plugin] = ["deaf.c", "deaf.so"].map(|name| directory.path().join(name));
    std::fs::write(&source, DEAF).expect("a writable directory");
    let mut compiler = Command::new("cc");
    let compiler = compiler.args(["-shared", "-fPIC", "-o"]);
    let status = compiler.arg(&plugin).arg(&source).status();
    assert!(status.expect("a C compiler is installed").success());
    let file = clip(&directory);
    let played = |mode: &str| {
        let output = Command::new("iotdec")
            .args(["play", "--headless", "--json", "--accel", mode, "--png"])
            .args([&directory.path().join("frame.png"), &file])
            .env("IOTDEC_ACCEL", &plugin)
            .env("GST_DEBUG", "iotdec:3")
            .env("GST_DEBUG_NO_COLOR", "1")
            .output()
            .expect("it is on PATH");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        (serde_json::from_slice::<Value>(&output.stdout), log)
    };
    let (report, log) = played("auto");
    let report = report.unwrap_or_else(|error| panic!("{error}: {log}"));
    assert_eq!(
        (&report["frames"], &report["accel"]),
        (&FRAMES.into(), &"off".into())
    );
    let reason = report["accel_reason"].as_str().expect("a reason");
    let is_warning = |line: &&str| line.contains("WARN") && line.contains(reason);
    assert_eq!(log.lines().filter(is_warning).count(), 1, "{reason}: {log}");
    let (report, log) = played("turbo");
    assert!(report.is_err(), "it went on without: {report:?}");
    for word in ["accel=turbo", reason, "accel=auto"] {
        assert!(log.contains(word), "{word:?} is not in {log}");
    }
}

#[test]
fn manifests_choose_and_properties_override() {
    let _turn = exclusive();
    let Some(_) = accelerator("manifests") else {
        return;
    };
    let directory = scratch();
    let manifest = environment::root().join("manifests/de265.toml");
    let text = std::fs::read_to_string(manifest).expect("built in");
    let written = directory.path().join("de265.toml");
    let place = [("IOTDEC_DECODER_PATH", directory.path())];
    let file = clip(&directory);
    let png = directory.path().join("frame.png").display().to_string();
    let play_report = |more: &[&str]| {
        let file = file.to_string_lossy();
        let first = ["play", "--headless", "--png", &png, &file];
        let registry = directory.path().join("registry.bin");
        let variables = [place[0], ("GST_REGISTRY", registry.as_path())];
        iotdec(&[&first[..], more].concat(), &variables)
    };
    let played = |more: &[&str]| play_report(more)["accel"].clone();
    std::fs::write(&written, format!("accel = \"native\"\n{text}")).expect("writable");
    assert_eq!(listed(&place)["accel"], "native");
    assert_eq!(played(&[]), "native");
    assert_eq!(played(&["--accel", "turbo"]), "turbo");
    assert_eq!(played(&["--accel", "off"]), "off");
    let over = [place[0], ("IOTDEC_ACCEL_MODE", Path::new("off"))];
    assert_eq!(listed(&over)["accel"], "off");
    let native = format!("accel = \"turbo\"\nnative = [\"mem*\"]\n{text}");
    std::fs::write(&written, native).expect("writable");
    assert_eq!(played(&[]), "turbo");
    let unknown = format!("native = [\"memo*\"]\n{text}");
    std::fs::write(&written, unknown).expect("writable");
    let report = play_report(&[]);
    assert_eq!(report["accel"], "off");
    let reason = report["accel_reason"].as_str().expect("a reason");
    assert!(reason.contains("memo*"), "{reason}");
}

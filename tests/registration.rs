//! Manifests become elements, and nothing that lies beside them does harm. Each look
//! is a GStreamer program of its own, with a registry of its own.

use iotdec_tests::environment;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A directory of manifests, and the registry of who looks at it.
struct Place {
    directory: tempfile::TempDir,
}

/// A library that is in the sysroot.
const GOOD: &str = r#"
name = "NAME"
long-name = "Made for a test"
adapter = "libde265"
library = "libde265.so.0"
caps = "video/x-h265, stream-format=(string)byte-stream"
"#;

fn good(name: &str) -> String {
    GOOD.replace("NAME", name)
}

impl Place {
    fn new() -> Self {
        environment::prepare();
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("decoders")).expect("a writable directory");
        Self { directory }
    }

    fn manifest(&self, file: &str) -> PathBuf {
        self.directory.path().join("decoders").join(file)
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.manifest(file), content).expect("a writable directory");
    }

    /// What gst-inspect-1.0 says of a plugin or an element, and what was logged; `None`
    /// if it does not know it.
    fn inspect(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<String>, String) {
        let output = Command::new("gst-inspect-1.0")
            .args(arguments)
            .env("GST_REGISTRY", self.directory.path().join("registry.bin"))
            .env(
                "IOTDEC_DECODER_PATH",
                self.directory.path().join("decoders"),
            )
            .env("GST_DEBUG", "iotdec:3")
            .env("GST_DEBUG_NO_COLOR", "1")
            .envs(variables.iter().copied())
            .output()
            .expect("gst-inspect-1.0 is there");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success().then_some(text), log)
    }

    fn has(&self, name: &str) -> bool {
        self.inspect(&[&format!("iotdec_{name}")], &[]).0.is_some()
    }

    /// The number behind "Rank".
    #[track_caller]
    fn rank(&self, name: &str, variables: &[(&str, &str)]) -> u32 {
        let (text, _) = self.inspect(&[&format!("iotdec_{name}")], variables);
        let text = text.expect("an element");
        let line = text.lines().find(|line| line.contains("Rank"));
        let number = line.and_then(|line| line.split(['(', ')']).nth(1));
        number
            .and_then(|number| number.parse().ok())
            .expect("a rank")
    }
}

#[test]
fn manifests_come_and_go() {
    let place = Place::new();
    place.write("first.toml", good("first"));
    assert!(place.has("first"));
    assert!(!place.has("second"));
    place.write("second.toml", good("second"));
    assert!(place.has("second"), "nobody looked again");
    fs::remove_file(place.manifest("first.toml")).expect("it is there");
    assert!(!place.has("first"), "its manifest is gone");
    assert!(place.has("second"));
    // What it says may change as well.
    let text = good("second").replace("Made for a test", "Made for another");
    place.write("second.toml", text);
    let (text, _) = place.inspect(&["iotdec_second"], &[]);
    assert!(text.expect("an element").contains("Made for another"));
}

#[test]
fn broken_manifests_are_warnings() {
    let place = Place::new();
    place.write("good.toml", good("good"));
    place.write("syntax.toml", format!("{}\nrank = = 3", good("syntax")));
    place.write("key.toml", good("key").replace("adapter", "adaptor"));
    place.write(
        "caps.toml",
        good("caps").replace("video/x-h265,", "video/x-h265;;,=("),
    );
    place.write(
        "any.toml",
        good("any").replace("video/x-h265, stream-format=(string)byte-stream", "ANY"),
    );
    place.write("name.toml", good("../../name"));
    place.write("long.toml", good(&"x".repeat(1000)));
    place.write("twin.toml", good("good"));
    place.write("latin.toml", b"name = \"latin\"\nlong-name = \"\xe9\"\n");
    place.write("huge.toml", vec![b'\n'; 100 << 20]);
    place.write("empty.toml", "");
    fs::create_dir(place.manifest("directory.toml")).expect("a writable directory");
    std::os::unix::fs::symlink("/nonexistent", place.manifest("link.toml")).expect("a link");
    let fifo = place.manifest("fifo.toml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let (plugin, log) = place.inspect(&["--plugin", "iotdec"], &[]);
    let plugin = plugin.expect("the plugin is loaded in spite of them");
    assert!(plugin.contains("iotdec_good:"), "{plugin}");
    let elements = plugin.matches(": Made for a test").count();
    assert_eq!(elements, 1, "elements of broken manifests: {plugin}");
    let warnings = |what: &str| {
        let is_of = |line: &&str| line.contains("WARN") && line.contains(what);
        log.lines().filter(is_of).count()
    };
    for (file, line) in [
        ("syntax.toml", "line 8"),
        ("key.toml", "line 4"),
        ("caps.toml", "line 6"),
        ("any.toml", "line 6"),
        ("name.toml", "line 2"),
        ("long.toml", "line 2"),
        ("twin.toml", "line 2"),
        ("latin.toml", "line 2"),
        ("huge.toml", "line 1"),
        ("empty.toml", "line 1"),
        ("directory.toml", "not a file"),
        ("link.toml", "No such file"),
        ("fifo.toml", "not a file"),
    ] {
        assert_eq!(warnings(file), 1, "warnings of {file}:\n{log}");
        let near = log.split(file).nth(1).expect("just counted");
        let message: String = near.lines().take(2).collect();
        assert!(message.contains(line), "{file}: {message}");
    }
    assert!(
        log.lines().all(|line| line.len() < 1000),
        "a warning for nobody to read"
    );
}

/// Native decoders come first for standard formats; a manifest for what nothing else
/// decodes may say otherwise, and so may the user.
#[test]
fn ranks_are_the_manifests() {
    let place = Place::new();
    place.write("plain.toml", good("plain"));
    for (name, rank) in [
        ("none", 0),
        ("marginal", 64),
        ("secondary", 128),
        ("primary", 256),
    ] {
        let manifest = format!("{}rank = \"{name}\"", good(name));
        place.write(&format!("{name}.toml"), manifest);
        assert_eq!(place.rank(name, &[]), rank);
    }
    assert_eq!(place.rank("plain", &[]), 64);
    let variables = [(
        "GST_PLUGIN_FEATURE_RANK",
        "iotdec_plain:PRIMARY,iotdec_primary:7",
    )];
    assert_eq!(place.rank("plain", &variables), 256);
    assert_eq!(place.rank("primary", &variables), 7);
    assert_eq!(place.rank("plain", &[]), 64);
}

/// Every GStreamer program that starts may have to register: it reads files for that,
/// and runs no emulator.
#[test]
fn registering_runs_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("good.toml", good("good"));
    let (qemu, ran) = (
        place.directory.path().join("qemu"),
        place.directory.path().join("ran"),
    );
    let script = format!("#!/bin/sh\n: > '{}'\n", ran.display());
    fs::write(&qemu, script).expect("a writable directory");
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let qemu = qemu.display().to_string();
    assert_eq!(place.rank("good", &[("IOTDEC_QEMU", &qemu)]), 64);
    assert!(!ran.exists(), "the emulator was run");
}

/// What cannot run here can be asked why, but is not chosen.
#[test]
fn what_cannot_run_has_no_rank() {
    let place = Place::new();
    let manifest = good("lost").replace("libde265.so.0", "libnowhere.so.3");
    place.write("lost.toml", format!("{manifest}rank = \"primary\""));
    assert_eq!(place.rank("lost", &[]), 0);
}

/// Of two directories the first counts, without a warning: so users replace decoders.
#[test]
fn earlier_directories_come_first() {
    let place = Place::new();
    let other = place.directory.path().join("other");
    fs::create_dir(&other).expect("a writable directory");
    place.write("a.toml", good("same"));
    let text = good("same").replace("Made for a test", "Made for nobody");
    fs::write(other.join("a.toml"), text).expect("a writable directory");
    let path = [&place.manifest(""), &other]
        .map(|path| path.display().to_string())
        .join(":");
    let (text, log) = place.inspect(&["iotdec_same"], &[("IOTDEC_DECODER_PATH", &path)]);
    assert!(text.expect("an element").contains("Made for a test"));
    assert!(!log.contains("a.toml"), "{log}");
}

/// The built-in decoders leave standard formats to native ones.
#[test]
fn built_in_ranks_are_below_native_ones() {
    environment::prepare();
    for entry in fs::read_dir(environment::root().join("manifests")).expect("a directory") {
        let file = entry.expect("an entry").path();
        if file.extension().is_some_and(|e| e == "toml") {
            let manifests = iotdec_bridge::Manifest::read(&file).expect("a good one");
            let modest = manifests
                .iter()
                .all(|manifest| manifest.rank.number() <= 64);
            assert!(modest, "{}", file.display());
        }
    }
}

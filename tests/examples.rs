//! What the documentation shows works as it stands there.

use iotdec_tests::clips::{self, Codec};
use iotdec_tests::environment::{self, sample, variable_or_advice};
use iotdec_tests::pipeline::Playing;
use iotdec_tests::pixels::Pixels;
use iotdec_tests::{exclusive, process};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Runs a program that has this long.
fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "60"])
        .arg(program)
        .args(arguments)
        .env("GST_DEBUG", "iotdec:3")
        .env("GST_DEBUG_NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    let output = command.output().expect("coreutils are installed");
    process::assert_no_children();
    output
}

/// An example as cargo built it, beside this test: `cargo test --workspace` builds
/// them, and where only this package is tested, they are built here.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program");
    // target/debug/deps/examples-0123
    let profile = own.ancestors().nth(2).expect("cargo's folders");
    let path = profile.join("examples").join(name);
    if !path.is_file() {
        let status = Command::new(environment::root().join("setup/cargo"))
            .args(["build", "--quiet", "-p", "iotdec-examples", "--example"])
            .arg(name)
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .arg("--target-dir")
            .arg(profile.parent().expect("cargo's folders"))
            .current_dir(environment::root())
            .status()
            .expect("setup/cargo is executable");
        assert!(status.success(), "example {name} does not compile");
    }
    path
}

#[track_caller]
fn bridge_finds_100_frames(decoder: &str, clip: &str) {
    let _turn = exclusive();
    environment::prepare();
    let file = sample(clip);
    let mut command = run(example("bridge"), &[decoder, &file.to_string_lossy()]);
    let output = output(&mut command);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(text.lines().last(), Some("100 frames"), "{text}{errors}");
    let described = text.lines().filter(|line| line.contains("1280x720"));
    assert_eq!(described.count(), 100, "{text}");
}

#[test]
fn the_bridge_alone_decodes_h264() {
    bridge_finds_100_frames("openh264", "yard-h264.264");
}

#[test]
fn the_bridge_alone_decodes_h265() {
    bridge_finds_100_frames("de265", "yard-h265.265");
}

/// The first block of this language that a page shows.
fn block(page: &str, language: &str) -> String {
    let page = environment::root().join(page);
    let page = std::fs::read_to_string(page).expect("the page is part of the tree");
    let start = format!("```{language}\n");
    let (_, rest) = page.split_once(&start).expect("a block");
    let (lines, _) = rest.split_once("```").expect("its end");
    lines.to_owned()
}

/// Runs lines as a shell of a user would.
fn shell(lines: &str, directory: &Path) -> Output {
    let mut command = run("bash", &["-euxo", "pipefail", "-c", lines]);
    // cargo's would be searched before the directories that are linked with.
    command.current_dir(directory).env_remove("LD_LIBRARY_PATH");
    output(&mut command)
}

#[test]
fn the_questions_function_is_called_in_each_way_that_its_page_shows() {
    let _turn = exclusive();
    // What cargo compiles is no part of the time that the lines have.
    let built = Command::new("setup/cargo")
        .args([
            "build",
            "--quiet",
            "-p",
            "iotdec-examples",
            "--example",
            "library-call",
        ])
        .current_dir(environment::root())
        .status();
    assert!(built.is_ok_and(|status| status.success()));
    let page = "examples/library-bridge/README.md";
    let lines = block(page, "sh");
    for way in ["iotdec wrap", "library-call", "iotdec call", "turnflag"] {
        assert!(lines.contains(way), "{way}");
    }
    let output = shell(&lines, environment::root());
    let printed = String::from_utf8_lossy(&output.stdout);
    // Before that, iotdec wrap tells what it has made.
    assert!(printed.ends_with(&block(page, "text")), "{output:?}");
    assert!(output.status.success(), "{output:?}");
}

/// In a folder of its own, which has of this tree what the lines name.
#[test]
fn the_tutorial_of_the_library_bridge_works_as_it_stands() {
    let _turn = exclusive();
    let directory = scratch();
    for name in [".deps", "examples", "README.md"] {
        let there = environment::root().join(name);
        std::os::unix::fs::symlink(there, directory.path().join(name)).expect("room");
    }
    std::fs::create_dir(directory.path().join("build")).expect("room");
    let lines = block("docs/library-bridge.md", "sh");
    assert!(lines.contains("iotdec wrap") && lines.contains("cmp - README.md"));
    let output = shell(&lines, directory.path());
    assert!(output.status.success(), "{output:?}");
    let packed = std::fs::metadata(directory.path().join("README.md.gz")).expect("it was made");
    let plain = std::fs::metadata(environment::root().join("README.md")).expect("it is there");
    assert!((100..plain.len()).contains(&packed.len()), "{packed:?}");
}

/// The first picture of a pipeline that ends in BGRx.
fn first_picture(source: &str) -> Pixels {
    let description = format!(
        "{source} ! videoconvert ! video/x-raw,format=BGRx \
         ! appsink name=sink sync=false max-buffers=1"
    );
    let mut playing = Playing::start(&description, LIMIT);
    let sample = playing.next_sample().expect("a picture");
    let pixels = Pixels::of(&sample);
    drop(sample);
    playing.stop();
    pixels
}

#[test]
fn a_thumbnail_is_the_first_frame() {
    let _turn = exclusive();
    environment::prepare();
    let directory = scratch();
    for clip in ["yard-h264.mp4", "yard-h265.mp4"] {
        let file = sample(clip);
        let picture = directory.path().join(format!("{clip}.png"));
        let paths = [file.to_string_lossy(), picture.to_string_lossy()];
        let output = output(&mut run(example("thumbnail"), &[&paths[0], &paths[1]]));
        assert!(output.status.success(), "{clip}: {output:?}");
        let made = first_picture(&format!("filesrc location=\"{}\" ! pngdec", paths[1]));
        let frame = first_picture(&format!("filesrc location=\"{}\" ! iotdec", paths[0]));
        assert_eq!((made.width(), made.height()), (1280, 720), "{clip}");
        assert!(frame.psnr(&frame.blank()) < 20.0, "{clip}: a black frame");
        let alike = made.psnr(&frame);
        assert!(alike > 40.0, "{clip}: {alike:.1} dB");
    }
}

/// A user's folder of manifests, and a registry that all programs of a test share.
struct Manifests {
    directory: TempDir,
    path: PathBuf,
}

impl Manifests {
    fn new() -> Self {
        environment::prepare();
        let directory = scratch();
        let path = directory.path().join("decoders");
        std::fs::create_dir(&path).expect("a writable directory");
        Self { directory, path }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path.join(name), text).expect("a writable directory");
    }

    /// Runs a GStreamer tool that looks here first.
    #[track_caller]
    fn run(&self, tool: &str, arguments: &[&str]) -> Output {
        let mut search = self.path.clone().into_os_string();
        search.push(":");
        search.push(variable_or_advice("IOTDEC_DECODER_PATH"));
        output(
            run(tool, arguments)
                .env("IOTDEC_DECODER_PATH", search)
                .env("GST_REGISTRY", self.directory.path().join("registry.bin")),
        )
    }

    #[track_caller]
    fn has(&self, element: &str) -> bool {
        self.run("gst-inspect-1.0", &[element]).status.success()
    }
}

/// The first manifest that docs/manifests.md shows: what is indented there.
fn documented() -> String {
    let page = environment::root().join("docs/manifests.md");
    let page = std::fs::read_to_string(page).expect("the page is part of the tree");
    let lines = page.lines().map(|line| line.strip_prefix("    "));
    let first = lines.skip_while(Option::is_none).map_while(|line| line);
    first.map(|line| format!("{line}\n")).collect()
}

/// The documented manifest with a library that there is.
fn usable(library: &Path) -> String {
    let shown = "/opt/camera/lib/libde265_vendor.so";
    let manifest = documented();
    assert!(manifest.contains(shown), "another example: {manifest}");
    manifest.replace(shown, &library.to_string_lossy())
}

fn real_library() -> PathBuf {
    let sysroot = variable_or_advice("IOTDEC_SYSROOT");
    iotdec_bridge::library::find_in_sysroot(&sysroot, "libde265.so.0").expect("make setup put it")
}

/// Without building anything or forgetting GStreamer's registry.
#[test]
fn a_manifest_makes_an_element_and_takes_it_along() {
    let _turn = exclusive();
    let manifests = Manifests::new();
    let element = "iotdec_vendor_hevc";
    assert!(manifests.has("iotdec_de265"));
    assert!(!manifests.has(element), "before there is a manifest");

    manifests.write("vendor.toml", &usable(&real_library()));
    assert!(manifests.has(element), "after the manifest was added");
    let file = clips::encode(manifests.directory.path(), Codec::H265, 20, 10);
    let raw = manifests.directory.path().join("raw");
    let (input, output) = (
        format!("location={}", file.display()),
        format!("location={}", raw.display()),
    );
    let arguments = [
        "-q",
        "filesrc",
        &input,
        "!",
        "h265parse",
        "!",
        element,
        "!",
        "filesink",
        &output,
    ];
    let played = manifests.run("gst-launch-1.0", &arguments);
    assert!(played.status.success(), "{played:?}");
    let size = std::fs::metadata(&raw).expect("filesink made it").len();
    assert_eq!(
        size,
        20 * 320 * 192 * 3 / 2,
        "not 20 frames, one directly after the other"
    );

    std::fs::remove_file(manifests.path.join("vendor.toml")).expect("it is there");
    assert!(!manifests.has(element), "after the manifest was removed");
    assert!(manifests.has("iotdec_de265"));
}

/// The documented manifest as it stands: its library is on nobody's machine, so the
/// element says what is missing, and another decoder is used by itself.
#[test]
fn an_element_without_its_library_tells_so_and_is_not_chosen() {
    let _turn = exclusive();
    let manifests = Manifests::new();
    manifests.write("vendor.toml", &documented());
    let file = clips::encode(manifests.directory.path(), Codec::H265, 20, 10);
    let input = format!("location={}", file.display());
    assert!(manifests.has("iotdec_vendor_hevc"));

    let chosen = ["-q", "filesrc", &input, "!", "iotdec", "!", "fakesink"];
    let played = manifests.run("gst-launch-1.0", &chosen);
    assert!(played.status.success(), "{played:?}");

    let decoder = "decoder=vendor_hevc";
    let asked_for = [
        "-q", "filesrc", &input, "!", "iotdec", decoder, "!", "fakesink",
    ];
    let played = manifests.run("gst-launch-1.0", &asked_for);
    assert_eq!(played.status.code(), Some(1), "{played:?}");
    let text = String::from_utf8_lossy(&played.stderr);
    let missing = "/opt/camera/lib/libde265_vendor.so does not exist";
    assert!(text.contains(missing), "{text}");
}

#[test]
fn a_mistake_in_a_manifest_is_told_with_file_and_line() {
    let _turn = exclusive();
    let manifests = Manifests::new();
    let good = usable(&real_library());
    let bad = good.replace("adapter = \"libde265\"", "adapter = 5");
    assert_ne!(good, bad);
    let line = bad.lines().position(|line| line == "adapter = 5");
    let line = 1 + line.expect("it is a line of its own");
    manifests.write("vendor.toml", &good);
    assert!(manifests.has("iotdec_vendor_hevc"));

    manifests.write("vendor.toml", &bad);
    let inspected = manifests.run("gst-inspect-1.0", &["iotdec_de265"]);
    assert!(inspected.status.success(), "{inspected:?}");
    let text = String::from_utf8_lossy(&inspected.stderr);
    let warning = text.find("vendor.toml").map(|at| &text[at..]);
    let warning = warning.unwrap_or_else(|| panic!("no warning of the manifest: {text}"));
    assert!(warning.contains(&format!("line {line}")), "{warning}");
    assert!(!manifests.has("iotdec_vendor_hevc"));

    manifests.write("vendor.toml", &good);
    assert!(manifests.has("iotdec_vendor_hevc"), "after it was mended");
}

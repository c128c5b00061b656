//! Everything that can be wrong ends in one error that names the cause and the
//! remedy, or in a clean end; never in a hang, a crash or a process left behind.

use iotdec_tests::clips::{self, Codec};
use iotdec_tests::environment::{self, variable_or_advice};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::{Decoded, Playing, decode};
use iotdec_tests::{crafted, exclusive, native, process};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(40);

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn clip(directory: &TempDir, codec: Codec) -> PathBuf {
    clips::encode(directory.path(), codec, 20, 10)
}

/// Decodes a good H.265 clip with properties that cannot work: one error, with all
/// `words` in it, from the bin and from the element alike.
#[track_caller]
fn assert_refused(properties: &str, words: &[&str]) {
    let directory = scratch();
    let file = clip(&directory, Codec::H265);
    let bin = format!("iotdec name=decoder {properties}");
    let element = format!("h265parse ! iotdec_de265 name=decoder {properties}");
    for middle in [bin, element] {
        let decoded = decode(&file, &middle, LIMIT);
        assert_one_error(&decoded, words);
    }
}

#[track_caller]
fn assert_one_error(decoded: &Decoded, words: &[&str]) {
    process::assert_no_children();
    assert!(decoded.frames.is_empty(), "frames in spite of an error");
    let error = decoded.end.only_error();
    for word in words {
        assert!(error.text.contains(word), "{word:?} is not in {error}");
    }
}

#[test]
fn no_emulator() {
    let _turn = exclusive();
    assert_refused(
        "qemu=/nowhere/qemu-aarch64",
        &["/nowhere/qemu-aarch64", "install the package qemu-user"],
    );
}

#[test]
fn an_emulator_that_is_none() {
    let _turn = exclusive();
    assert_refused("qemu=/bin/false", &["/bin/false"]);
}

#[test]
fn no_sysroot() {
    let _turn = exclusive();
    assert_refused("sysroot=/nowhere", &["/nowhere", "make setup"]);
}

#[test]
fn no_library() {
    let _turn = exclusive();
    assert_refused(
        "library=/nowhere/libde265.so",
        &["/nowhere/libde265.so does not exist", "install"],
    );
}

#[test]
fn a_dependency_is_missing() {
    let _turn = exclusive();
    let directory = scratch();
    crafted::library(directory.path(), "libnothere.so", "int nothing;", &[]);
    let library = crafted::library(
        directory.path(),
        "libneedy.so",
        "extern int nothing; int *use(void) { return &nothing; }",
        &[
            "-L",
            &directory.path().to_string_lossy(),
            "-l:libnothere.so",
        ],
    );
    std::fs::remove_file(directory.path().join("libnothere.so")).expect("it was just made");
    assert_refused(
        &format!("library={}", library.display()),
        &["libnothere.so", "libneedy.so", "install"],
    );
}

#[test]
fn a_dependency_of_a_dependency_is_missing() {
    let _turn = exclusive();
    let directory = scratch();
    let search = ["-L", &*directory.path().to_string_lossy()].map(str::to_owned);
    let make = |name: &str, needs: Option<&str>| {
        let mut arguments: Vec<&str> = search.iter().map(String::as_str).collect();
        let needs = needs.map(|needs| format!("-l:{needs}"));
        arguments.push("-Wl,--no-as-needed");
        arguments.extend(needs.as_deref());
        crafted::library(directory.path(), name, "int nothing;", &arguments)
    };
    make("libnothere.so", None);
    make("libmiddle.so", Some("libnothere.so"));
    let library = make("libouter.so", Some("libmiddle.so"));
    std::fs::remove_file(directory.path().join("libnothere.so")).expect("it was just made");
    assert_refused(
        &format!("library={}", library.display()),
        &["libnothere.so", "libmiddle.so"],
    );
}

/// The amd64 twin of the decoder, which is what somebody tries first.
#[test]
fn a_library_for_amd64() {
    let _turn = exclusive();
    let library = Path::new("/usr/lib/x86_64-linux-gnu/libde265.so.0");
    assert!(library.exists(), "the native library is part of make setup");
    assert_refused(
        &format!("library={}", library.display()),
        &["libde265.so.0", "x86-64", "aarch64"],
    );
}

/// A copy of the worker's library whose ELF header says it is for another machine.
#[track_caller]
fn assert_refused_machine(class: u8, machine: u8, name: &str) {
    let directory = scratch();
    let library = crafted::fake_de265(directory.path(), &[], "");
    let mut bytes = std::fs::read(&library).expect("it was just made");
    (bytes[4], bytes[18]) = (class, machine);
    let other = directory.path().join("libother.so");
    std::fs::write(&other, bytes).expect("a writable directory");
    assert_refused(
        &format!("library={}", other.display()),
        &["libother.so", name],
    );
}

#[test]
fn a_library_for_i386() {
    let _turn = exclusive();
    assert_refused_machine(1, 3, "i386");
}

#[test]
fn a_library_for_32_bit_arm() {
    let _turn = exclusive();
    assert_refused_machine(1, 40, "32-bit ARM");
}

#[test]
fn a_library_that_is_no_elf_file() {
    let _turn = exclusive();
    let directory = scratch();
    let text = directory.path().join("libtext.so");
    std::fs::write(
        &text,
        "not at all an ELF file, but long enough to be one\n".repeat(10),
    )
    .expect("a writable directory");
    assert_refused(
        &format!("library={}", text.display()),
        &["libtext.so", "not an ELF"],
    );
}

#[test]
fn a_library_that_is_cut_short() {
    let _turn = exclusive();
    let directory = scratch();
    let library = crafted::fake_de265(directory.path(), &[], "");
    let bytes = std::fs::read(&library).expect("it was just made");
    let short = directory.path().join("libshort.so");
    std::fs::write(&short, &bytes[..bytes.len() / 3]).expect("a writable directory");
    assert_refused(&format!("library={}", short.display()), &["libshort.so"]);
}

#[test]
fn a_library_that_is_a_directory() {
    let _turn = exclusive();
    let directory = scratch();
    assert_refused(
        &format!("library={}", directory.path().display()),
        &[&directory.path().to_string_lossy()],
    );
}

#[test]
fn a_library_without_a_symbol() {
    let _turn = exclusive();
    let directory = scratch();
    let library = crafted::fake_de265(directory.path(), &[("de265_push_NAL", "")], "");
    assert_refused(
        &format!("library={}", library.display()),
        &["libfake265.so", "de265_push_NAL"],
    );
}

#[test]
fn a_format_without_a_decoder() {
    let _turn = exclusive();
    let directory = scratch();
    let file = directory.path().join("clip.mkv");
    let description = format!(
        "videotestsrc num-buffers=10 ! video/x-raw,width=320,height=240 \
         ! theoraenc ! matroskamux ! filesink location=\"{}\"",
        file.display()
    );
    let mut encoding = Playing::start(&description, LIMIT);
    encoding.wait_for_end();
    encoding.stop().assert_eos();
    let decoded = decode(&file, "iotdec name=decoder", LIMIT);
    assert_one_error(&decoded, &["video/x-theora", "de265", "openh264"]);
}

#[test]
fn a_decoder_that_does_not_exist() {
    let _turn = exclusive();
    let directory = scratch();
    let file = clip(&directory, Codec::H265);
    let decoded = decode(&file, "iotdec name=decoder decoder=nothing", LIMIT);
    assert_one_error(&decoded, &["nothing", "de265", "openh264"]);
}

/// A file that holds no video at all.
#[track_caller]
fn assert_no_video(name: &str, content: &[u8]) {
    let directory = scratch();
    let file = directory.path().join(name);
    std::fs::write(&file, content).expect("a writable directory");
    let decoded = decode(&file, "iotdec name=decoder", LIMIT);
    assert_one_error(&decoded, &[]);
}

#[test]
fn an_empty_file() {
    let _turn = exclusive();
    assert_no_video("empty.265", b"");
}

#[test]
fn a_text_file() {
    let _turn = exclusive();
    assert_no_video("text.txt", "All work and no play.\n".repeat(500).as_bytes());
}

/// Bytes without any structure, the same on every run.
fn garbage(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_garbage_file() {
    let _turn = exclusive();
    assert_no_video("garbage.bin", &garbage(100_000));
}

/// Audio, well typed and parsed, but nothing to decode here.
#[test]
fn a_file_with_audio_only() {
    let _turn = exclusive();
    let directory = scratch();
    let file = directory.path().join("sound.wav");
    let description = format!(
        "audiotestsrc num-buffers=20 ! wavenc ! filesink location=\"{}\"",
        file.display()
    );
    let mut encoding = Playing::start(&description, LIMIT);
    encoding.wait_for_end();
    encoding.stop().assert_eos();
    let decoded = decode(&file, "iotdec name=decoder", LIMIT);
    assert_one_error(&decoded, &["no video", "audio/x-raw", "video/x-h264"]);
}

/// filesrc finds out by itself, and says it more than once; nothing of ours adds to
/// that.
#[test]
fn a_directory_instead_of_a_file() {
    let _turn = exclusive();
    let directory = scratch();
    let decoded = decode(directory.path(), "iotdec name=decoder", LIMIT);
    process::assert_no_children();
    let errors = &decoded.end.errors;
    let first = errors.first().expect("an error");
    assert!(first.text.contains("is a directory"), "{first}");
    assert!(
        errors.iter().all(|e| e.source.starts_with("filesrc")),
        "{errors:#?}"
    );
}

/// A stream that breaks off: what is whole comes out, then it ends.
#[test]
fn a_truncated_stream() {
    let _turn = exclusive();
    for codec in [Codec::H265, Codec::H264] {
        let directory = scratch();
        let file = clip(&directory, codec);
        let expected = decode(&file, "iotdec name=decoder", LIMIT).frames;
        native::assert_equal(&file, codec, &expected);
        let packets = clips::packets(&file, codec);
        for whole in [1, 7, 10, 19] {
            let half = packets[whole].len() / 2;
            let kept = [packets[..whole].concat(), packets[whole][..half].to_vec()].concat();
            let cut = directory.path().join(format!("cut-{whole}"));
            std::fs::write(&cut, kept).expect("a writable directory");
            let decoded = decode(&cut, "iotdec name=decoder", LIMIT);
            process::assert_no_children();
            decoded.end.assert_eos();
            // The picture that was cut shows old memory where nothing was decoded.
            let is_right = |frame: &&Frame| expected.iter().any(|e| e.planes == frame.planes);
            let right = decoded.frames.iter().filter(is_right).count();
            assert!(
                right >= whole,
                "{codec:?}: {right} of {whole} whole packets"
            );
        }
    }
}

/// gst-launch-1.0 with its own registry and, if given, its own manifests.
fn launch(directory: &TempDir, manifests: Option<&Path>, arguments: &str) -> Output {
    environment::prepare();
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "60", "gst-launch-1.0", "-q"])
        .args(arguments.split(' '))
        .env("GST_REGISTRY", directory.path().join("registry.bin"))
        .env("GST_DEBUG", "iotdec:3")
        .env("GST_DEBUG_NO_COLOR", "1")
        .stdin(Stdio::null());
    if let Some(manifests) = manifests {
        let mut path = manifests.as_os_str().to_owned();
        path.push(":");
        path.push(variable_or_advice("IOTDEC_DECODER_PATH"));
        command.env("IOTDEC_DECODER_PATH", path);
    }
    command.output().expect("gst-launch-1.0 is installed")
}

#[test]
fn gst_launch_tells_an_error_by_its_exit_code() {
    let _turn = exclusive();
    let directory = scratch();
    let file = clip(&directory, Codec::H265);
    let pipeline = |property: &str| {
        let file = file.display();
        format!("filesrc location={file} ! iotdec {property} ! fakesink")
    };
    let good = launch(&directory, None, &pipeline("name=decoder"));
    assert!(good.status.success(), "{good:?}");
    let bad = launch(&directory, None, &pipeline("library=/nowhere/libx.so"));
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    let text = String::from_utf8_lossy(&bad.stderr);
    assert_eq!(text.matches("ERROR: from element").count(), 1, "{text}");
    assert!(text.contains("/nowhere/libx.so does not exist"), "{text}");
}

/// One bad manifest is a warning that says where the mistake is; the others work.
#[test]
fn a_broken_manifest() {
    let _turn = exclusive();
    let directory = scratch();
    let manifests = directory.path().join("manifests");
    std::fs::create_dir(&manifests).expect("a writable directory");
    std::fs::write(
        manifests.join("broken.toml"),
        "name = \"broken\"\nlibrary = 5\n",
    )
    .expect("a writable directory");
    std::fs::write(manifests.join("binary.toml"), garbage(300)).expect("a writable directory");
    std::fs::create_dir(manifests.join("directory.toml")).expect("a writable directory");
    let file = clip(&directory, Codec::H265);
    let arguments = format!("filesrc location={} ! iotdec ! fakesink", file.display());
    let output = launch(&directory, Some(&manifests), &arguments);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    let warning = text.find("broken.toml").map(|at| &text[at..]);
    let warning = warning.unwrap_or_else(|| panic!("no warning of the manifest: {text}"));
    assert!(warning.contains("line 2"), "no line in: {warning}");
    for name in ["binary.toml", "directory.toml"] {
        assert!(text.contains(name), "no warning of {name}: {text}");
    }
}

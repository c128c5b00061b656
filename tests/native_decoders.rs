//! Decoders whose zlib the host does: libavcodec's PNG decoder in a worker of the bridge, and
//! libpng behind a wrapper.

use iotdec_bridge::{Event, Frame, Launch, Manifest, Overrides, Packet, SlotPolicy, Wish};
use iotdec_tests::compile::{self, HOST};
use iotdec_tests::environment::{self, is_full, root, variable_or_advice};
use iotdec_tests::fetch;
use iotdec_tests::pipeline::Playing;
use iotdec_wrap::native::native_library;
use iotdec_wrap::wrap::{Request, wrap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Milliseconds of user and system time that a process has used.
fn processor_time(process: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields = stat.rsplit_once(") ").expect("a name").1;
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: f64 = ticks.map(|word| word.parse::<f64>().expect("ticks")).sum();
    ticks * 10.0
}

/// Makes zlib for the guest, of the host's.
fn zlib(directory: &Path) -> PathBuf {
    let output = directory.join("zlib");
    // libavcodec gives all streams an allocator of its own.
    let config = root().join("examples/library-bridge/zlib.toml");
    let config = std::fs::read_to_string(config).expect("part of the tree");
    let table = "[struct.z_stream_s]\n";
    assert!(config.contains(table));
    let waived = format!("{table}zalloc = \"null\"\nzfree = \"null\"\n");
    let file = directory.join("zlib.toml");
    std::fs::write(&file, config.replace(table, &waived)).expect("room");
    let made = native_library(&Request {
        headers: vec![fetch::source("zlib").join("zlib.h")],
        library: variable_or_advice("IOTDEC_SYSROOT").join("lib/aarch64-linux-gnu/libz.so.1"),
        config: Some(file),
        output: output.clone(),
        ..Request::default()
    });
    made.unwrap_or_else(|error| panic!("{error}"));
    output
}

/// A PNG that is hard to compress.
fn picture(directory: &Path) -> PathBuf {
    environment::prepare();
    let file = directory.join("picture.png");
    let description = format!(
        "videotestsrc num-buffers=1 pattern=zone-plate kx2=7 ky2=11 kt=3 \
         ! video/x-raw,format=RGB,width=1280,height=720 ! pngenc ! filesink location=\"{}\"",
        file.display()
    );
    let mut playing = Playing::start(&description, Duration::from_secs(60));
    playing.wait_for_end();
    playing.stop().assert_eos();
    file
}

/// What became of decoding a picture again and again.
#[derive(Debug)]
struct Decoded {
    /// The first picture's samples.
    samples: Vec<u8>,
    /// What each of the others took, in milliseconds: by the clock, and of the worker's
    /// processor time.
    took: [f64; 2],
    /// Calls of zlib in this process.
    calls: u64,
}

fn decode(launch: &Launch, packet: &[u8], count: u64) -> Decoded {
    let log = Arc::new(|line: &str| println!("worker: {line}"));
    let started = iotdec_bridge::start(launch, SlotPolicy::default(), log);
    let (worker, mut feeder, mut receiver) = started.unwrap_or_else(|error| panic!("{error}"));
    let mut samples = Vec::new();
    let (mut start, mut used) = (Instant::now(), 0.0);
    // The first one loads what is loaded late, and is looked at.
    for numbers in [0..1, 1..count + 1] {
        if numbers.start == 1 {
            (start, used) = (Instant::now(), processor_time(worker.pid()));
        }
        std::thread::scope(|scope| {
            let feeder = &mut feeder;
            scope.spawn(move || {
                for number in numbers.clone() {
                    let packet = Packet {
                        number,
                        flags: 0,
                        parts: &[packet],
                    };
                    feeder.send(packet, &mut || false).expect("it decodes");
                }
                feeder.drain(1, &mut || false).expect("it decodes");
            });
            loop {
                match receiver.next(&mut || false).expect("it decodes") {
                    Some(Event::Frame(frame)) if samples.is_empty() => samples = visible(&frame),
                    Some(Event::Complaint(text)) => panic!("{text}"),
                    Some(Event::Drained(_)) => break,
                    Some(_) => {}
                    None => panic!("it ends"),
                }
            }
        });
    }
    let took = [
        start.elapsed().as_secs_f64() * 1e3,
        processor_time(worker.pid()) - used,
    ];
    Decoded {
        samples,
        took: took.map(|all| all / count as f64),
        calls: worker.host_calls(),
    }
}

/// The samples that are shown, of a picture with one plane of three bytes each.
fn visible(frame: &Frame) -> Vec<u8> {
    let slot = frame.lease.map().expect("a slot can be mapped");
    let picture = &frame.picture;
    let [start, stride] = [picture.offset[0], picture.stride[0]].map(|bytes| bytes as usize);
    let rows = (0..picture.crop.height as usize).flat_map(|row| {
        // SAFETY: the bridge has checked that the picture lies within the slot, which the
        // decoder does not write while it is leased.
        unsafe {
            std::slice::from_raw_parts(
                slot.as_ptr().add(start + row * stride),
                3 * picture.crop.width as usize,
            )
        }
    });
    rows.copied().collect()
}

#[test]
fn libavcodec_decodes_png_with_the_hosts_zlib() {
    fetch::avcodec_sysroot();
    let directory = tempfile::tempdir().expect("a directory");
    let picture = std::fs::read(picture(directory.path())).expect("it was encoded");
    let native = zlib(directory.path());
    let manifest = |extra: &str| {
        let file = directory.path().join("png.toml");
        let text = format!(
            "name = \"png\"\nlong-name = \"PNG\"\nadapter = \"libavcodec\"\n\
             library = \"libavcodec.so.59\"\nsysroot = \"avcodec\"\ncaps = \"image/png\"\n\
             {extra}\noptions = {{ codec = \"png\" }}\n"
        );
        std::fs::write(&file, text).expect("room");
        Manifest::read(&file).expect("a manifest").remove(0)
    };
    let with = format!("native-libraries = {:?}", native.display().to_string());
    let in_program = format!("{with}\nnative-libraries-in = \"program\"");
    let mut ways = vec![
        ("without the accelerator", Wish::Off, String::new()),
        (
            "without, zlib the host's, not trusted",
            Wish::Off,
            with.clone(),
        ),
        (
            "without, zlib the host's over the ring",
            Wish::Off,
            in_program,
        ),
    ];
    if environment::accelerator("zlib in the emulator's process").is_some() {
        ways.push(("with the accelerator", Wish::Turbo, String::new()));
        ways.push(("with it, zlib the host's", Wish::Turbo, with));
    }
    let count = if is_full() { 60 } else { 6 };
    let mut first = None;
    for (name, wish, extra) in ways {
        let overrides = Overrides {
            accel: Some(wish),
            ..Overrides::default()
        };
        let launch = Launch::resolve(&manifest(&extra), &overrides);
        let launch = launch.unwrap_or_else(|error| panic!("{error}"));
        let decoded = decode(&launch, &picture, count);
        println!(
            "{name}: {:?} ms, {} calls here",
            decoded.took, decoded.calls
        );
        assert_eq!(decoded.calls > 0, name.ends_with("over the ring"), "{name}");
        let samples = first.get_or_insert_with(|| decoded.samples.clone());
        assert!(!samples.is_empty() && *samples == decoded.samples, "{name}");
    }
}

#[test]
fn a_directory_without_libraries_is_one_error() {
    environment::prepare();
    let (manifests, _) = iotdec_bridge::manifest::discover();
    let mut manifest = manifests
        .into_iter()
        .find(|it| it.name == "de265")
        .expect("built in");
    manifest.native_libraries = Some("/nonexistent".into());
    let error = Launch::resolve(&manifest, &Overrides::default()).expect_err("it is not there");
    assert!(
        error
            .to_string()
            .contains("/nonexistent has no directory guest"),
        "{error}"
    );
}

/// The program, the wrapper and libpng know nothing of it.
#[test]
fn libpng_behind_a_wrapper_uses_the_hosts_zlib() {
    fetch::libraries();
    let directory = tempfile::tempdir().expect("a directory");
    let picture = picture(directory.path());
    let native = zlib(directory.path());
    let sysroot = variable_or_advice("IOTDEC_SYSROOT").with_file_name("sysroot-libraries");
    let runtime = variable_or_advice("IOTDEC_RUNTIME");
    let include = root().join(".deps/libraries/include");
    let made = wrap(&Request {
        headers: vec![include.join("libpng16/png.h")],
        include: vec![include.clone()],
        library: sysroot.join("lib/aarch64-linux-gnu/libpng16.so.16"),
        config: Some(root().join("examples/library-bridge/libpng.toml")),
        output: directory.path().join("libpng"),
        runtime: Some(runtime.clone()),
    });
    let made = made.unwrap_or_else(|error| panic!("{error}"));
    let program = directory.path().join("reads-png");
    let library = made.native.parent().expect("a directory");
    let mut compiler = Command::new(HOST);
    compiler
        .args(["-O2", "-isystem"])
        .arg(include.join("libpng16"))
        .arg(root().join("tests/native-libraries/reads-png.c"))
        .arg(&made.native)
        .arg(format!(
            "-Wl,-rpath,{0}:{1},-rpath-link,{1}",
            library.display(),
            runtime.display()
        ));
    compile::make(&mut compiler, &program);
    let count = if is_full() { "60" } else { "3" };
    // The sum of the pixels, and what is reported of zlib when the worker exits.
    let run = |extra: Option<&Path>, accel: &str| {
        let mut command = Command::new("timeout");
        command.arg("100").arg(&program).arg(&picture).arg(count);
        command
            .env("IOTDEC_SYSROOT", &sysroot)
            .env("IOTDEC_SHARE_PROGRAM", "1")
            .env("IOTDEC_NATIVE_REPORT", "1")
            .env("IOTDEC_ACCEL_MODE", accel);
        command.env("LD_PRELOAD", variable_or_advice("IOTDEC_MALLOC"));
        if let Some(directory) = extra {
            command.env("IOTDEC_NATIVE_LIBRARIES", directory);
        }
        let output = command.output().expect("timeout is part of the system");
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{extra:?}, {accel}: {said}");
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        let sum = said.split_whitespace().next().map(str::to_owned);
        (sum, report.lines().last().unwrap_or_default().to_owned())
    };
    let (own, silence) = run(None, "auto");
    assert_eq!(silence, "");
    let ways = [("off", " calls over the ring")];
    let door =
        environment::accelerator("the host's zlib by the door").map(|_| ("native", " calls"));
    for (accel, end) in ways.into_iter().chain(door) {
        let (ours, report) = run(Some(&native), accel);
        assert_eq!(ours, own);
        let calls = report.strip_prefix("iotdec: libz.so.1: the host did ");
        let calls = calls.and_then(|rest| rest.strip_suffix(end)?.parse::<u64>().ok());
        assert!(calls > Some(0), "{accel}: {report:?}");
    }
}

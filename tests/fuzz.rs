//! Damaged and hostile streams: whatever the library makes of them, our process
//! neither crashes nor hangs nor fills up, and the pipeline ends.

use gst::prelude::*;
use iotdec_tests::clips::{self, Codec};
use iotdec_tests::environment::{self, sample};
use iotdec_tests::frames::Frame;
use iotdec_tests::pipeline::Playing;
use iotdec_tests::process;
use iotdec_tests::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Damaged variants of each clip: some 100 in all, or 1000 with IOTDEC_FULL=1.
const VARIANTS: usize = 15;
const VARIANTS_FULL: usize = 150;
/// Of the inputs that dav1d's fuzzer found, one in so many is always tried.
const SAMPLED: usize = 5;
/// Packets of a clip that are kept.
const PACKETS: usize = 10;
/// Played at once.
const PARALLEL: usize = 2;
/// For one stream. A damaged header can make a picture of the largest size.
const LIMIT: Duration = Duration::from_secs(60);
/// What may stay in our memory after all streams, in KiB.
const KEPT: u64 = 100 << 10;
/// What this process may have needed at most, in KiB, and what a worker may.
const MOST: u64 = 1 << 20;

/// A stream to try.
struct Case {
    name: String,
    stream: Vec<u8>,
    /// What decodes it.
    middle: String,
}

/// Through a parser and a decoder that are told what it is.
fn directly(codec: Codec) -> String {
    match codec {
        Codec::Vp8 | Codec::Vp9 => as_it_is(codec),
        _ => format!("{} ! {} name=decoder", codec.parser(), codec.decoder()),
    }
}

/// Bytes of the header of an IVF file.
const IVF_HEADER: usize = 32;

/// The header of an IVF file: for 320 x 240, 25 frames a second.
fn ivf_header(fourcc: &[u8; 4]) -> [u8; IVF_HEADER] {
    let mut header = *b"DKIF\0\0\x20\0____\x40\x01\xf0\0\x19\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0";
    header[8..12].copy_from_slice(fourcc);
    header
}

/// Packets as an IVF file.
fn ivf(fourcc: &[u8; 4], packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = ivf_header(fourcc).to_vec();
    for (time, packet) in (0u64..).zip(packets) {
        file.extend((packet.len() as u32).to_le_bytes());
        file.extend(time.to_le_bytes());
        file.extend(packet);
    }
    file
}

/// Packets in an IVF file reach the decoder as they are, past any parser that would
/// mend or refuse them.
fn as_it_is(codec: Codec) -> String {
    format!(
        "ivfparse ! capssetter caps=\"{}\" ! {} name=decoder",
        codec.caps(),
        codec.decoder()
    )
}

/// Damages a stream in one of the ways in which networks and disks do.
fn damage(mut stream: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let length = stream.len();
    let range = {
        let start = random.below(length);
        start..(start + 1 + random.below(length / 8)).min(length)
    };
    match random.below(6) {
        // Bits flipped, few or many.
        0..=2 => {
            for _ in 0..1 << random.below(9) {
                stream[random.below(length)] ^= 1 << random.below(8);
            }
        }
        // The same, where the parameter sets are.
        3 => {
            for _ in 0..1 + random.below(4) {
                stream[random.below(length.min(100))] ^= 1 << random.below(8);
            }
        }
        // A piece is missing.
        4 => drop(stream.drain(range)),
        // A piece is something else.
        _ => stream[range].fill_with(|| random.number() as u8),
    }
    stream
}

/// The clips to damage: small ones made on the spot, and the beginnings of samples.
fn clips(directory: &Path) -> Vec<(String, Codec, Vec<u8>)> {
    let made = |codec| clips::encode(directory, codec, PACKETS as u32, 4);
    let files = [
        (made(Codec::H264), Codec::H264),
        (made(Codec::H265), Codec::H265),
        (sample("untimed-h264.264"), Codec::H264),
        (sample("yard-h265.265"), Codec::H265),
        (made(Codec::Av1), Codec::Av1),
        (made(Codec::Vp8), Codec::Vp8),
        (made(Codec::Vp9), Codec::Vp9),
    ];
    let beginning = |(file, codec): (PathBuf, Codec)| {
        let packets = clips::packets(&file, codec);
        let name = file.file_name().expect("a file").to_string_lossy();
        let packets = &packets[..PACKETS.min(packets.len())];
        let stream = match codec {
            Codec::Vp8 => ivf(b"VP80", packets),
            Codec::Vp9 => ivf(b"VP90", packets),
            _ => packets.concat(),
        };
        (name.into_owned(), codec, stream)
    };
    files.into_iter().map(beginning).collect()
}

/// The packets of an IVF file, whatever its header says, in one that is in order: made
/// to break decoders, not demuxers.
fn mended(fourcc: &[u8; 4], file: &[u8]) -> Vec<u8> {
    let mut rest = file.get(IVF_HEADER..).unwrap_or_default();
    let mut packets = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<12>() {
        let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (packet, next) = after.split_at(size.min(after.len()));
        if !packet.is_empty() {
            packets.push(packet.to_vec());
        }
        rest = next;
    }
    ivf(fourcc, &packets)
}

fn damaged_clips(directory: &Path, variants: usize) -> Vec<Case> {
    let clips = clips(directory);
    let mut cases = Vec::new();
    for variant in 0..variants {
        for (index, (name, codec, stream)) in clips.iter().enumerate() {
            let mut random = Random((variant * clips.len() + index) as u64);
            // Made to break decoders, not demuxers.
            let header = match codec {
                Codec::Vp8 | Codec::Vp9 => IVF_HEADER,
                _ => 0,
            };
            let (header, rest) = stream.split_at(header);
            cases.push(Case {
                name: format!("{name}, variant {variant}"),
                stream: [header, &damage(rest.to_vec(), &mut random)].concat(),
                // Where it is to be found out what it is, and where it is known.
                middle: match variant % 2 {
                    0 => "iotdec name=decoder".to_owned(),
                    _ => directly(*codec),
                },
            });
        }
    }
    cases
}

/// The streams in a folder and the folders in it, in the order of their names.
fn found(folder: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            cases.extend(found(&path));
            continue;
        }
        let stream = std::fs::read(&path).expect("a readable file");
        let (stream, middle) = match path.extension().and_then(|e| e.to_str()) {
            Some("264") => (stream, directly(Codec::H264)),
            Some("265") => (stream, directly(Codec::H265)),
            // What dav1d's fuzzer reads: IVF with a header of any content.
            None => (mended(b"AV01", &stream), as_it_is(Codec::Av1)),
            Some("ivf") => (mended(b"VP80", &stream), as_it_is(Codec::Vp8)),
            _ => continue,
        };
        cases.push(Case {
            name: entry.file_name().to_string_lossy().into_owned(),
            stream,
            middle,
        });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// What was seen of all streams together.
#[derive(Default)]
struct Seen {
    frames: AtomicUsize,
    errors: AtomicUsize,
    restarts: AtomicU64,
    /// The most memory that a worker needed, in KiB.
    worker: AtomicU64,
}

/// Plays one stream, which lies in `file`. Panics if it does not end.
fn play(case: &Case, file: &Path, seen: &Seen) {
    let description = format!(
        "filesrc location=\"{}\" ! {} ! appsink name=sink sync=false max-buffers=4",
        file.display(),
        case.middle
    );
    let mut playing = Playing::start(&description, LIMIT);
    while let Some(sample) = playing.next_sample() {
        // Reads every sample of it.
        Frame::of(&sample, None);
        seen.frames.fetch_add(1, Ordering::Relaxed);
        note_workers(seen);
    }
    note_workers(seen);
    let decoder = playing.element("decoder");
    if let Some(stats) = decoder.property::<Option<gst::Structure>>("stats") {
        let restarts = stats.get::<u64>("worker-restarts").expect("a count");
        seen.restarts.fetch_add(restarts, Ordering::Relaxed);
    }
    drop(decoder);
    let end = playing.stop();
    seen.errors.fetch_add(end.errors.len(), Ordering::Relaxed);
    assert!(
        end.errors.len() <= 1,
        "more than one error: {:#?}",
        end.errors
    );
}

fn note_workers(seen: &Seen) {
    for worker in process::workers() {
        // It may just have ended.
        let peak = process::status_kib(worker, "VmHWM:").unwrap_or(0);
        seen.worker.fetch_max(peak, Ordering::Relaxed);
    }
}

/// Plays them all; fails at the end if one of them was not as it should be.
fn play_all(cases: &[Case]) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let own = std::process::id() as i32;
    let resident = || process::status_kib(own, "VmRSS:").expect("a running process");
    let before = resident();
    let (next, seen, failed) = (AtomicUsize::new(0), Seen::default(), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..PARALLEL {
            let (next, seen, failed) = (&next, &seen, &failed);
            scope.spawn(move || {
                // After a crash it tells what the last stream was.
                let file = directory.join(format!("fuzz-{thread}"));
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    std::fs::write(&file, &case.stream).expect("a writable directory");
                    let played = catch_unwind(AssertUnwindSafe(|| play(case, &file, seen)));
                    if played.is_err() {
                        let kept = directory.join(format!("fuzz-failed-{}", case.name));
                        let _ = std::fs::copy(&file, &kept);
                        failed.lock().expect("no panic under it").push(kept);
                    }
                }
            });
        }
    });
    process::assert_no_children();
    let after = resident();
    let most = process::status_kib(own, "VmHWM:").expect("a running process");
    let worker = seen.worker.into_inner();
    println!(
        "{} streams: {} frames, {} errors, {} workers replaced; \
         KiB: {before} before, {after} after, {most} at most, {worker} in a worker",
        cases.len(),
        seen.frames.into_inner(),
        seen.errors.into_inner(),
        seen.restarts.into_inner(),
    );
    let failed = failed.into_inner().expect("no panic under it");
    assert!(failed.is_empty(), "see above; kept for a look: {failed:#?}");
    assert!(worker > 0, "no worker was seen");
    assert!(after < before + KEPT, "memory is not given back");
    assert!(most < MOST && worker < MOST, "too much memory");
}

/// Both tests in one: they measure the memory of the process.
#[test]
fn damaged_streams_end() {
    environment::prepare();
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let variants = if environment::is_full() {
        VARIANTS_FULL
    } else {
        VARIANTS
    };
    play_all(&damaged_clips(scratch.path(), variants));
    if let Some(folder) = environment::vectors("streams that once broke a decoder") {
        let streams = found(&folder.join("fuzz")).into_iter().enumerate();
        let is_wanted = |(index, case): &(usize, Case)| {
            let is_dav1d = case.middle == as_it_is(Codec::Av1);
            environment::is_full() || !is_dav1d || index.is_multiple_of(SAMPLED)
        };
        let streams: Vec<_> = streams.filter(is_wanted).map(|(_, case)| case).collect();
        play_all(&streams);
    }
}

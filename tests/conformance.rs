//! The test vectors, through a whole pipeline. A vector passes if every frame is
//! what the native build of the same library decodes; where that is not what the
//! vector's own checksum says, the table shows it.

use iotdec_tests::clips;
use iotdec_tests::environment;
use iotdec_tests::frames::Checksum;
use iotdec_tests::native;
use iotdec_tests::pipeline::decode_summing;
use iotdec_tests::vectors::{self, Vector};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const FOLDERS: [&str; 10] = [
    "cros-codecs",
    "dav1d-test-data",
    "gen",
    "heif-hevc",
    "iot",
    "libde265",
    "libvpl",
    "openh264",
    "real",
    "vp8",
];
/// Decoded at once.
const PARALLEL: usize = 2;
/// Luma samples of the vectors that are always tried; all are with IOTDEC_FULL=1.
const SMALL: u64 = 16_000_000;
/// Of folders with many that are alike, one in so many is always tried.
const SAMPLED: [(&str, usize); 2] = [("dav1d-test-data", 25), ("vp8", 6)];
/// Tried always in spite of their size.
const ALWAYS: [&str; 2] = ["gen/h264_720p_bp.264", "gen/h265_720p.265"];
/// GStreamer 1.22 takes these for something else, or for nothing: they go through
/// the parser directly instead of through the bin.
const UNTYPED: [&str; 2] = ["heif-hevc/B021.265", "heif-hevc/B025.265"];
/// A vector may take this long.
const LIMIT: Duration = Duration::from_secs(300);

/// What became of one vector.
struct Row {
    name: String,
    frames: usize,
    corrupted: usize,
    seconds: f64,
    /// Against the vector's own checksum; `None` if it has none.
    as_published: Option<bool>,
    native_as_published: Option<bool>,
    /// Against the native library.
    verdict: Result<(), String>,
}

fn try_one(vector: &Vector) -> Row {
    let new_sum = || {
        if vector.is_sha1 {
            Checksum::sha1()
        } else {
            Checksum::md5()
        }
    };
    let (mut sum, mut native_sum) = (new_sum(), new_sum());
    let start = Instant::now();
    let middle = if UNTYPED.contains(&vector.name.as_str()) {
        let (parser, decoder) = (vector.codec.parser(), vector.codec.decoder());
        format!("{parser} ! {decoder} name=decoder")
    } else {
        "iotdec name=decoder".to_owned()
    };
    let decoded = decode_summing(&vector.file, &middle, LIMIT, Some(&mut sum));
    let seconds = start.elapsed().as_secs_f64();
    let frames = &decoded.frames;
    let packets = clips::packets(&vector.file, vector.codec);
    let mut verdict =
        native::first_difference(&packets, vector.codec, frames, Some(&mut native_sum));
    // Where the library gets nothing out of what the parser leaves, the base class says
    // so with an error, and that is right.
    let rightly_nothing = frames.is_empty() && verdict.is_ok();
    let is_clean = decoded.end.eos && decoded.end.errors.is_empty();
    if !is_clean && !rightly_nothing {
        let errors: Vec<_> = decoded.end.errors.iter().map(|e| e.to_string()).collect();
        let difference = verdict.err().unwrap_or_default();
        verdict = Err(format!(
            "no clean end: {}; {difference}",
            errors.join(" | ")
        ));
    }
    let published = |sum: Checksum| vector.checksum.as_ref().map(|c| *c == sum.finish());
    Row {
        name: vector.name.clone(),
        frames: frames.len(),
        corrupted: frames.iter().filter(|frame| frame.corrupted).count(),
        seconds,
        as_published: published(sum),
        native_as_published: published(native_sum),
        verdict,
    }
}

fn print_table(rows: &[Row]) {
    let answer = |answer: Option<bool>| match answer {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    };
    println!(
        "{:<60} frames damaged     s  {:<12} {:<19}  as native",
        "vector", "as published", "native as published"
    );
    for row in rows {
        println!(
            "{:<60} {:>6} {:>7} {:>5.1}  {:<12} {:<19}  {}",
            row.name,
            row.frames,
            row.corrupted,
            row.seconds,
            answer(row.as_published),
            answer(row.native_as_published),
            row.verdict.as_ref().err().map_or("yes", String::as_str),
        );
    }
}

#[test]
fn every_vector_is_decoded_as_by_the_native_library() {
    environment::prepare();
    let Some(folder) = environment::vectors("conformance") else {
        return;
    };
    let is_wanted = |vector: &Vector| {
        FOLDERS.iter().any(|folder| vector.name.starts_with(folder))
            && clips::is_understood(&vector.file)
    };
    let is_sampled = |(index, vector): (usize, &Vector)| {
        let found = SAMPLED
            .iter()
            .find(|(folder, _)| vector.name.starts_with(folder));
        found.is_none_or(|(_, one_in)| index.is_multiple_of(*one_in))
    };
    let wanted = vectors::read(&folder).into_iter().filter(is_wanted);
    let (vectors, rest): (Vec<_>, Vec<_>) = wanted.enumerate().partition(|(index, vector)| {
        environment::is_full()
            || (vector.effort <= SMALL && is_sampled((*index, vector)))
            || ALWAYS.contains(&vector.name.as_str())
    });
    let mut vectors: Vec<_> = vectors.into_iter().map(|(_, vector)| vector).collect();
    // The long ones first, so that none is left alone at the end.
    vectors.sort_by_key(|vector| std::cmp::Reverse(vector.effort));
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some(vector) = vectors.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = try_one(vector);
                    rows.lock().expect("no panic under it").push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no panic under it");
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    print_table(&rows);
    for (_, vector) in &rest {
        println!("left out, IOTDEC_FULL=1 tries it: {}", vector.name);
    }
    for row in rows.iter().filter(|row| row.as_published == Some(false)) {
        println!("not as published: {}", row.name);
    }
    assert_eq!(rows.len(), vectors.len());
    assert!(!rows.is_empty(), "a table without vectors");
    let failed: Vec<_> = rows
        .iter()
        .filter(|row| row.verdict.is_err())
        .map(|row| &row.name)
        .collect();
    assert!(
        failed.is_empty(),
        "not equal to the native library: {failed:#?}"
    );
    // The library is right, and we are not.
    let spoilt: Vec<_> = rows
        .iter()
        .filter(|row| row.native_as_published == Some(true) && row.as_published == Some(false))
        .map(|row| &row.name)
        .collect();
    assert!(
        spoilt.is_empty(),
        "the native library is as published, iotdec is not: {spoilt:#?}"
    );
}

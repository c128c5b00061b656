//! The rings between two instruction sets: nothing is lost, repeated, reordered or
//! damaged, and nobody oversleeps.

use iotdec_bridge::launch;
use iotdec_test_peer::block::{Block, RINGS};
use iotdec_test_peer::records::{self, COUNT, LONGEST, Way};
use iotdec_tests::{environment, process};
use iotdec_wire::ring::{Consumer, Producer, PushError};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// For all records together. A lost wake-up does not end before this.
const LIMIT: Duration = Duration::from_secs(120);
const FOREVER: Duration = Duration::from_secs(600);
/// Where the cursors start: the first few records take them past the end of `u32`.
const START: u32 = 0u32.wrapping_sub(64 << 10);
/// Offsets of tail and head of the command ring and of the event ring, as `layout`
/// asserts them.
const CURSORS: [u64; 4] = [192, 192 + 64, 448, 448 + 64];

/// The guest program, built if need be.
fn peer() -> PathBuf {
    if let Some(path) = std::env::var_os("IOTDEC_TEST_PEER") {
        return path.into();
    }
    let root = environment::root();
    let status = Command::new(root.join("setup/cargo-guest"))
        .args(["build", "--quiet", "--release", "-p", "iotdec-test-peer"])
        .env_remove("IOTDEC_GUEST_TARGET_DIR")
        .current_dir(root)
        .status()
        .expect("setup/cargo-guest is executable");
    assert!(status.success(), "the peer does not compile");
    root.join("target/guest/aarch64-unknown-linux-gnu/release/iotdec-test-peer")
}

/// A block whose cursors are about to wrap.
fn make_block() -> File {
    let memfd = memfd_create(c"iotdec-test-rings", MFdFlags::MFD_CLOEXEC).expect("a memfd");
    let file = File::from(memfd);
    let size = RINGS.block_size() as u64;
    file.set_len(size).expect("memory");
    let identity = RINGS.identity();
    file.write_all_at(&identity.magic.to_le_bytes(), 0)
        .expect("memory");
    let words = [
        identity.version,
        identity.features,
        identity.commands_capacity,
        identity.events_capacity,
    ];
    for (index, word) in words.iter().enumerate() {
        file.write_all_at(&word.to_le_bytes(), 8 + 4 * index as u64)
            .expect("memory");
    }
    for offset in CURSORS {
        file.write_all_at(&START.to_le_bytes(), offset)
            .expect("memory");
    }
    file
}

/// A cursor as it stands in the block.
fn cursor(file: &File, offset: u64) -> u32 {
    let mut word = [0; 4];
    file.read_exact_at(&mut word, offset).expect("memory");
    u32::from_le_bytes(word)
}

fn send_all(mut commands: Producer<()>) -> Result<(), String> {
    let mut buffer = [0; LONGEST];
    for number in 0..COUNT {
        let record = records::fill(Way::Command, number, &mut buffer);
        while let Err(error) = commands.push(number, &[record]) {
            if error != PushError::Full {
                return Err(format!("command {number}: {error:?}"));
            }
            commands.wait_for_room(record.len(), FOREVER, || false);
        }
    }
    Ok(())
}

fn receive_all(mut events: Consumer<()>) -> Result<(), String> {
    let mut buffer = [0; LONGEST];
    for number in 0..COUNT {
        // A wake-up can come late, for a record that was read without it.
        while !events.wait_for_data(FOREVER, || false) {}
        let record = events.next().map_err(|error| error.to_string())?;
        let record = record.ok_or_else(|| format!("no event {number}"))?;
        let length = record.copy_to(&mut buffer);
        records::check(Way::Event, number, record.kind(), &buffer[..length])?;
        record.release();
    }
    match events.next() {
        Ok(None) => Ok(()),
        more => Err(format!("after the last event: {more:?}")),
    }
}

/// Runs one half of the host on a thread of its own, which is left alone if it hangs.
fn spawn(
    half: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> mpsc::Receiver<Result<(), String>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(half()));
    receiver
}

#[test]
fn a_million_records_cross_both_rings_in_order() {
    let block_file = make_block();
    let block = Block::map(block_file.as_fd()).expect("memory");
    // SAFETY: the block is mapped for good, and this is the only host of it.
    let (commands, events) = unsafe { RINGS.host_ends(block.start(), ()) };
    let sysroot = launch::find_sysroot(None).expect("make setup made one");
    let mut child = Command::new(launch::find_qemu(None).expect("qemu-user is installed"))
        .arg("-L")
        .arg(sysroot)
        .args(["-cpu", "cortex-a76"])
        .arg(peer())
        .stdin(Stdio::from(block_file.try_clone().expect("a descriptor")))
        .spawn()
        .expect("QEMU runs");
    let halves = [spawn(|| send_all(commands)), spawn(|| receive_all(events))];
    let mut results = [None, None];
    let mut status = None;
    process::until(LIMIT, || {
        for (half, result) in halves.iter().zip(&mut results) {
            *result = result.take().or_else(|| half.try_recv().ok());
        }
        status = status.or(child.try_wait().expect("our child"));
        // Whoever fails leaves the others waiting.
        let failed = results.iter().flatten().any(Result::is_err)
            || status.is_some_and(|status| !status.success());
        let done = results.iter().all(Option::is_some) && status.is_some();
        (failed || done).then_some(())
    });
    let cursors = CURSORS.map(|offset| cursor(&block_file, offset));
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(
        results,
        [Some(Ok(())), Some(Ok(()))],
        "sending and receiving; the peer's end: {status:?}, cursors: {cursors:x?}"
    );
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    for [tail, head] in [[cursors[0], cursors[1]], [cursors[2], cursors[3]]] {
        assert_eq!(tail, head, "something is left in a ring");
        assert!(tail < START, "a cursor did not wrap: {tail:#x}");
    }
}

//! The guest of the ring test: reads every command, compares it with what it has
//! to be, and answers with an event of the same number. The control block's memfd
//! is its standard input.

use iotdec_test_peer::block::Block;
use iotdec_test_peer::records::{self, COUNT, LONGEST, Way};
use iotdec_wire::layout::RingSizes;
use iotdec_wire::ring::PushError;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

/// So long that a lost wake-up does not end by itself before the host's deadline.
const FOREVER: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let block = Block::map(std::io::stdin().as_fd()).map_err(|error| error.to_string())?;
    let identity = block.identity();
    let rings = RingSizes::from_identity(identity, iotdec_test_peer::block::RINGS.block_size())
        .ok_or_else(|| format!("not a block of this version: {identity:x?}"))?;
    // SAFETY: the block is mapped for good, and this is the only guest of it.
    let (mut commands, mut events) = unsafe { rings.guest_ends(block.start(), ()) };
    let mut buffer = [0; LONGEST];
    for number in 0..COUNT {
        // A wake-up can come late, for a record that was read without it.
        while !commands.wait_for_data(FOREVER, || false) {}
        let record = commands.next().map_err(|error| error.to_string())?;
        let record = record.ok_or_else(|| format!("no command {number}"))?;
        // SAFETY: the host keeps its word and leaves published records alone.
        let payload = unsafe { record.as_slice() };
        records::check(Way::Command, number, record.kind(), payload)?;
        record.release();

        let answer = records::fill(Way::Event, number, &mut buffer);
        while let Err(error) = events.push(number, &[answer]) {
            if error != PushError::Full {
                return Err(format!("{error:?}"));
            }
            events.wait_for_room(answer.len(), FOREVER, || false);
        }
    }
    match commands.next() {
        Ok(None) => Ok(()),
        more => Err(format!(
            "after the last command: {:?}",
            more.map(|r| r.map(|r| r.kind()))
        )),
    }
}

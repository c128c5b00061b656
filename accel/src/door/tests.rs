//! Calls as a guest makes them, right ones and wrong ones.

use super::answer;
use iotdec_wire::door::{Call, Counters, MAGIC, Service, Status, VERSION, features};

fn call(service: u32, values: [u64; 6]) -> Call {
    Call {
        service,
        magic: MAGIC,
        values,
        ..Call::default()
    }
}

fn answered(mut call: Call) -> Call {
    // SAFETY: the call is one, and the services that these tests ask for access no more
    // than they name.
    unsafe { answer(&raw mut call as u64) };
    call
}

#[track_caller]
fn assert_refused(asked: Call, status: Status) {
    let expected = Call {
        status: status.code(),
        ..asked
    };
    assert_eq!(answered(asked), expected);
}

#[test]
fn hello_tells_version_and_features() {
    let call = answered(call(Service::Hello.code(), [VERSION, 0, 0, 0, 0, 0]));
    assert_eq!(call.status, Status::Done.code());
    assert_eq!(call.values[..2], [VERSION, features::TURBO]);
}

#[test]
fn another_version_is_declined_and_told_this_one() {
    let call = answered(call(Service::Hello.code(), [VERSION + 1, 0, 0, 0, 0, 0]));
    assert_eq!(call.status, Status::Declined.code());
    assert_eq!(call.values[0], VERSION);
}

/// Any store can follow the hint, to anywhere.
#[test]
fn what_is_no_call_is_left_alone() {
    let mut calls = [call(Service::Hello.code(), [7; 6]); 2];
    calls[0].magic ^= 1;
    let before = calls;
    for offset in [0, 8, 60] {
        // SAFETY: inside `calls`.
        unsafe { answer(calls.as_mut_ptr() as u64 + offset) };
    }
    assert_eq!(calls, before);
}

#[test]
fn unknown_services_are_refused() {
    for service in [0, 6, 15, u32::MAX] {
        assert_refused(call(service, [1, 2, 3, 4, 5, 6]), Status::NoService);
    }
}

#[test]
fn impossible_addresses_are_refused() {
    let mut counters = Counters::default();
    let unaligned = &raw mut counters as u64 + 1;
    for (service, values) in [
        (Service::Count, [unaligned, 0, 0, 0, 0, 0]),
        (Service::Move, [u64::MAX - 8, 0, 16, 0, 0, 0]),
        (Service::Move, [0, 1 << 63, 1, 0, 0, 0]),
        (Service::Set, [1 << 47, 0, (1 << 47) + 1, 0, 0, 0]),
        (Service::Compare, [0, 0, u64::MAX, 0, 0, 0]),
    ] {
        assert_refused(call(service.code(), values), Status::BadArguments);
    }
    assert_eq!(counters, Counters::default());
}

#[test]
fn counters_are_written_where_they_are_wanted() {
    let mut counters = Counters {
        native_calls: u64::MAX,
        ..Counters::default()
    };
    let address = &raw mut counters as u64;
    let call = answered(call(Service::Count.code(), [address, 0, 0, 0, 0, 0]));
    assert_eq!(call.status, Status::Done.code());
    assert_ne!(counters.native_calls, u64::MAX);
}

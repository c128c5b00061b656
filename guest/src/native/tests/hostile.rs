//! Knocks that no honest guest makes: an error or nothing, and life goes on.

use super::{Random, accelerated};
use iotdec_wire::door::{Call, KNOCK, MAGIC, Service, Status, VERSION};

/// Knocks with any address and service.
///
/// # Safety
/// Four bytes can be stored there.
unsafe fn knock(address: *mut u8, service: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        std::arch::asm!(
            ".balign 8", ".inst {}", ".inst {}",
            const KNOCK[0], const KNOCK[1],
            in("x0") address, in("w1") service,
            options(nostack),
        );
    }
}

fn call(values: [u64; 6]) -> Call {
    Call {
        magic: MAGIC,
        values,
        ..Call::default()
    }
}

#[test]
fn impossible_arguments_are_refused() {
    accelerated(|| {
        let mut random = Random(99);
        let memory = [1u8; 64];
        let good = memory.as_ptr() as u64;
        let bad = [
            1 << 48,
            1 << 63,
            u64::MAX,
            u64::MAX - 63,
            (1 << 48) - 1,
            0xffff_0000_0000_0000,
        ];
        for _ in 0..10_000 {
            let bad = bad[random.below(bad.len())].wrapping_sub(random.next() & 1);
            let length = 3 + random.next() % 61;
            let long = [u64::MAX, u64::MAX - good, 1 << 48][random.below(3)];
            for (service, values) in [
                (Service::Move, [bad, good, length]),
                (Service::Move, [good, bad, length]),
                (Service::Move, [good, good, long]),
                (Service::Set, [bad, 7, length]),
                (Service::Set, [good, 7, long]),
                (Service::Compare, [good, bad, length]),
                (Service::Compare, [bad, good, length]),
                (Service::Find, [bad, 7, length]),
                (Service::Find, [good, 7, long]),
                (Service::Length, [bad | 1 << 48, 0, 0]),
                (Service::FindText, [bad | 1 << 48, 1, 0]),
                (Service::CompareText, [bad | 1 << 48, good, 0]),
                (Service::CompareText, [good, bad | 1 << 48, 0]),
                (Service::ComparePrefix, [good, bad | 1 << 48, long]),
                (Service::Open, [VERSION, bad | 1 << 48, length]),
                (Service::Open, [VERSION, good, long]),
                // Of a library that is not open.
                (Service::Invoke, [bad, 0, good]),
                (Service::Invoke, [0, 0, good]),
            ] {
                let values = [values[0], values[1], values[2], 3, 4, 5];
                let mut call = call(values);
                // SAFETY: a call.
                unsafe { knock((&raw mut call).cast(), service.code()) };
                assert_eq!(
                    call.status,
                    Status::BadArguments.code(),
                    "{service:?} {values:x?}"
                );
                assert_eq!(call.values, values);
            }
        }
        assert_eq!(memory, [1; 64]);
    });
}

#[test]
fn unknown_services_are_refused() {
    accelerated(|| {
        let mut random = Random(5);
        for round in 0..20_000u32 {
            let service = if round < 300 {
                round
            } else {
                random.next() as u32
            };
            let mut values = [0; 6];
            values.fill_with(|| random.next());
            let service = match Service::from_code(service) {
                // No such function.
                Some(Service::Math) => {
                    values[0] |= 64;
                    service
                }
                Some(_) => continue,
                None => service,
            };
            let mut call = call(values);
            // SAFETY: a call.
            unsafe { knock((&raw mut call).cast(), service) };
            assert_eq!(call.status, Status::NoService.code(), "{service:#x}");
            assert_eq!((call.service, call.values), (service, values));
        }
    });
}

#[test]
fn what_is_no_call_is_left_alone() {
    accelerated(|| {
        let mut random = Random(17);
        let mut memory = [Call::default(); 4];
        let bytes = bytemuck::cast_slice_mut::<_, u8>(&mut memory);
        for round in 0..20_000 {
            bytes.fill_with(|| random.next() as u8);
            let at = 4 * random.below(bytes.len() / 4);
            let service =
                [Service::Move, Service::Hello, Service::Run, Service::Count][round % 4].code();
            // With the magic only where no call can be.
            let magic = at + 4;
            if !at.is_multiple_of(64) && magic + 4 <= bytes.len() {
                bytes[magic..magic + 4].copy_from_slice(&MAGIC.to_le_bytes());
            }
            let mut expected = bytes.to_vec();
            expected[at..at + 4].copy_from_slice(&service.to_le_bytes());
            // SAFETY: four bytes are there.
            unsafe { knock(bytes.as_mut_ptr().add(at), service) };
            assert!(bytes == expected, "{round}: {at}");
        }
    });
}

#[test]
fn knocks_are_heard_wherever_they_are_on_a_page() {
    const PAGES: usize = 8;
    accelerated(|| {
        for first in 0..4 {
            const PROTECTION: libc::c_int = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            const FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: new memory, filled with functions before any is called.
            let (code, words) = unsafe {
                let none = std::ptr::null_mut();
                let code = libc::mmap(none, PAGES * 4096, PROTECTION, FLAGS, -1, 0);
                assert_ne!(code, libc::MAP_FAILED);
                let words = std::slice::from_raw_parts_mut(code.cast::<u32>(), PAGES * 1024);
                (code, words)
            };
            // `ret`, and what follows it.
            let function = [KNOCK[0], KNOCK[1], 0xd65f_03c0, 0];
            for to in words[first..].chunks_exact_mut(4) {
                to.copy_from_slice(&function);
            }
            let starts = (first..words.len() - 3).step_by(4);
            // But not across the end of one.
            for start in starts.filter(|start| start % 1024 != 1023) {
                let mut byte = 0u8;
                let mut call = call([&raw mut byte as u64, 7, 1, 0, 0, 0]);
                // SAFETY: one of the functions; the byte can be set.
                unsafe {
                    let function = words.as_ptr().add(start);
                    let function: extern "C" fn(*mut Call, u32) = std::mem::transmute(function);
                    function(&raw mut call, Service::Set.code());
                }
                assert_eq!((call.status, byte), (Status::Done.code(), 7), "{start}");
            }
            // SAFETY: nothing is there any more that is called.
            unsafe { libc::munmap(code, PAGES * 4096) };
        }
    });
}

#[test]
fn half_a_knock_is_a_store() {
    accelerated(|| {
        let mut call = call([1, 0, 0, 0, 0, 0]);
        // SAFETY: jumps over the hint.
        unsafe {
            std::arch::asm!(
                "b 2f", ".inst {}", "2:", ".inst {}",
                const KNOCK[0], const KNOCK[1],
                in("x0") &raw mut call, in("w1") Service::Hello.code(),
                options(nostack),
            );
        }
        assert_eq!(
            (call.service, call.status),
            (Service::Hello.code(), Status::Unanswered.code())
        );
    });
}

/// The door changes memory, no registers.
#[test]
fn registers_are_kept() {
    accelerated(|| {
        let text = [1u8; 100];
        let mut other = [0u8; 100];
        let mut call = call([
            other.as_mut_ptr() as u64,
            text.as_ptr() as u64,
            100,
            0,
            0,
            0,
        ]);
        let mut before = [0u64; 16 + 64 + 3];
        let mut random = Random(3);
        before.fill_with(|| random.next());
        // Modes and flags that there are: rounding up, NZCV, two of FPSR.
        before[80..].copy_from_slice(&[1 << 22, 0xa << 28, 0x11]);
        let mut after = before;
        // SAFETY: `x19` points to the registers' values, of which all are declared.
        unsafe {
            std::arch::asm!(
                "ldp x2, x3, [x20]", "ldp x4, x5, [x20, 16]", "ldp x6, x7, [x20, 32]",
                "ldp x8, x9, [x20, 48]", "ldp x10, x11, [x20, 64]", "ldp x12, x13, [x20, 80]",
                "ldp x14, x15, [x20, 96]", "ldp x16, x17, [x20, 112]",
                "add x21, x20, 128",
                "ld1 {{v0.16b-v3.16b}}, [x21], 64", "ld1 {{v4.16b-v7.16b}}, [x21], 64",
                "ld1 {{v8.16b-v11.16b}}, [x21], 64", "ld1 {{v12.16b-v15.16b}}, [x21], 64",
                "ld1 {{v16.16b-v19.16b}}, [x21], 64", "ld1 {{v20.16b-v23.16b}}, [x21], 64",
                "ld1 {{v24.16b-v27.16b}}, [x21], 64", "ld1 {{v28.16b-v31.16b}}, [x21], 64",
                "ldp x22, x23, [x21]", "ldr x24, [x21, 16]",
                "msr fpcr, x22", "msr fpsr, x24", "msr nzcv, x23",
                ".balign 8", ".inst {}", ".inst {}",
                "mrs x22, fpcr", "mrs x23, nzcv", "mrs x24, fpsr",
                "msr fpcr, xzr",
                "stp x2, x3, [x20]", "stp x4, x5, [x20, 16]", "stp x6, x7, [x20, 32]",
                "stp x8, x9, [x20, 48]", "stp x10, x11, [x20, 64]", "stp x12, x13, [x20, 80]",
                "stp x14, x15, [x20, 96]", "stp x16, x17, [x20, 112]",
                "add x21, x20, 128",
                "st1 {{v0.16b-v3.16b}}, [x21], 64", "st1 {{v4.16b-v7.16b}}, [x21], 64",
                "st1 {{v8.16b-v11.16b}}, [x21], 64", "st1 {{v12.16b-v15.16b}}, [x21], 64",
                "st1 {{v16.16b-v19.16b}}, [x21], 64", "st1 {{v20.16b-v23.16b}}, [x21], 64",
                "st1 {{v24.16b-v27.16b}}, [x21], 64", "st1 {{v28.16b-v31.16b}}, [x21], 64",
                "stp x22, x23, [x21]", "str x24, [x21, 16]",
                const KNOCK[0], const KNOCK[1],
                in("x0") &raw mut call, in("x1") u64::from(Service::Move.code()),
                in("x20") after.as_mut_ptr(),
                out("x21") _, out("x22") _, out("x23") _, out("x24") _,
                clobber_abi("C"),
                options(nostack),
            );
        }
        assert_eq!(call.status, Status::Done.code());
        assert_eq!(other, text);
        assert_eq!(after, before);
    });
}

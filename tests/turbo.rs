//! Turbo is dependable: whatever a library does, it does the same under QEMU alone and
//! in turbo. The libraries are in tests/guest/.

#[path = "turbo/guest.rs"]
mod guest;

use guest::{Call, Mode, Outcome};

/// Calls every function under QEMU alone and in turbo: nothing is to differ.
#[track_caller]
fn same(library: &str, functions: &[&str]) -> Vec<Outcome> {
    let pairs = functions
        .iter()
        .map(|name| same_call(&Call::new(library, name)));
    pairs.collect()
}

#[track_caller]
fn same_call(call: &Call) -> Outcome {
    let [plain, turbo] = call.in_both_modes();
    for outcome in [&plain, &turbo] {
        assert!(outcome.is_success(), "{call:?}: {outcome:#?}");
    }
    assert_eq!(plain.output, turbo.output, "{call:?}");
    assert!(turbo.count("entries") > 0, "{call:?}: {turbo:#?}");
    turbo
}

#[test]
fn system_calls() {
    let functions = [
        "maps",
        "breaks",
        "files",
        "clocks",
        "futexes",
        "interruptions",
        "many",
        "allocations",
    ];
    same("syscalls.c", &functions);
}

#[test]
fn control_flow() {
    same("jumps.c", &["longjmps", "deep", "coroutines", "callbacks"]);
}

#[test]
fn exceptions() {
    let functions = [
        "thrown",
        "rethrown",
        "in_threads",
        "through_callbacks",
        "cancelled_threads",
    ];
    same("exceptions.cpp", &functions);
}

#[test]
fn floating_point_modes() {
    same(
        "floats.c",
        &["modes", "flags", "denormals", "leaves_a_mode"],
    );
}

/// Every instruction is compared with QEMU. What matters here are those which turbo
/// leaves to QEMU one by one; which those are is turbo's affair, that there are many is
/// this test's.
#[test]
fn unknown_instructions() {
    let models = [
        ("base", "cortex-a53", 10),
        ("lse", "cortex-a76", 15),
        ("more", "max,sve=off,sme=off", 10),
    ];
    for (function, model, least) in models {
        let call = Call::new("unknown.c", function).on(model).times(100);
        let turbo = same_call(&call);
        let unknown = turbo.unknown_instructions();
        assert!(unknown.len() >= least, "{unknown:?}");
    }
    let turbo = same("unknown.c", &["system_registers", "tagged"]).remove(0);
    // cntvct_el0 into any register.
    let hits = turbo.unknown_instructions();
    let reads = hits.iter().filter(|(word, _)| *word & !0x1f == 0xd53b_e040);
    assert!(reads.map(|(_, hits)| hits).sum::<u64>() >= 1001, "{hits:?}");
}

/// Falls back to QEMU a million times in each call.
#[test]
fn turbo_is_given_up_where_it_does_not_pay() {
    let turbo = same_call(&Call::new("unknown.c", "often").times(10));
    assert!(turbo.errors.contains("turbo is off"), "{turbo:#?}");
    assert!(turbo.errors.contains("0xd5380"), "{turbo:#?}");
}

#[test]
fn handlers_of_illegal_instructions() {
    same("unknown.c", &["probes", "changed_registers"]);
}

#[test]
fn changed_code() {
    let functions = [
        "rewritten",
        "protected",
        "mapped_over",
        "in_two_threads",
        "in_two_turbo_threads",
        "reloaded",
    ];
    same("code.c", &functions);
    // QEMU 7.2 misses what is written through another mapping.
    let turbo = Call::new("code.c", "dual").run(Mode::Turbo);
    assert!(turbo.is_success(), "{turbo:#?}");
}

#[test]
fn threads() {
    let functions = [
        "brief_ones",
        "detached_ones",
        "exit_from_the_depth",
        "cancelled",
        "together",
        "crowd",
        "left_running",
    ];
    same("threads.c", &functions);
}

/// Each of 500 threads enters turbo; the self-test before has about 100 entries.
#[test]
fn c11_threads() {
    let [outcome] = same("threads.c", &["c11"]).try_into().expect("one");
    assert!(outcome.count("entries") > 500, "{outcome:#?}");
}

/// More than 1,000,000 increments of one counter by turbo, QEMU and another process;
/// message passing; store buffering.
#[test]
fn atomics() {
    same("atomics.c", &["counters", "messages", "barriers"]);
}

/// QEMU itself grows: it puts every library at a new address. Turbo adds nothing to it.
#[test]
fn cycles_leave_nothing_behind() {
    let [plain, turbo] = Call::new("cycles.c", "cycles").in_both_modes();
    let [plain_kib, turbo_kib] = [&plain, &turbo].map(|outcome| {
        assert!(outcome.is_success(), "{outcome:#?}");
        let grown = outcome.errors.lines().find_map(|line| {
            let kib = line.strip_prefix("grown by ")?.strip_suffix(" KiB")?;
            kib.parse::<i64>().ok()
        });
        grown.unwrap_or_else(|| panic!("{outcome:#?}"))
    });
    println!("{plain_kib} KiB under QEMU alone, {turbo_kib} KiB in turbo");
    // A thread may begin before the one before it has given its translator back: two more
    // of 20 MiB may come to be, not one a cycle.
    assert!(turbo_kib < plain_kib + 2 * 20480 + 4096);
    assert!(turbo.count("code_bytes") < 16 << 20, "{turbo:#?}");
}

#[test]
fn addresses_that_are_not_the_hosts() {
    for (library, function) in [
        ("syscalls.c", "maps"),
        ("code.c", "mapped_over"),
        ("threads.c", "together"),
        ("signals.c", "own_faults"),
    ] {
        let call = Call::new(library, function).option(&["-B", "0x4000000000"]);
        same_call(&call);
    }
    let call = Call::new("faults.c", "null_read").option(&["-B", "0x4000000000"]);
    let turbo = call.run(Mode::Turbo);
    assert_eq!(turbo.signal(), Some(libc::SIGSEGV), "{turbo:#?}");
    assert!(turbo.errors.contains(" after null_read"), "{turbo:#?}");
}

#[test]
fn signals() {
    same(
        "signals.c",
        &["timers", "sent", "leaps", "kept", "own_faults"],
    );
}

#[test]
fn children() {
    let functions = [
        "forked",
        "forked_among_threads",
        "forked_in_a_thread",
        "spawned",
    ];
    same("forks.c", &functions);
}

/// Signal, what the message names, and whether that is the symbol's own function.
const FAULTS: [(&str, i32, &str, &str); 9] = [
    (
        "null_read",
        libc::SIGSEGV,
        "SIGSEGV at address 0x0 ",
        "null_read",
    ),
    (
        "wild_write",
        libc::SIGSEGV,
        "SIGSEGV at address 0x123456789008 ",
        "wild_write",
    ),
    (
        "constant_write",
        libc::SIGSEGV,
        "SIGSEGV at address 0x",
        "constant_write",
    ),
    (
        "null_jump",
        libc::SIGSEGV,
        "SIGSEGV at address 0x0 in no library, pc 0x0",
        "",
    ),
    ("data_jump", libc::SIGSEGV, "SIGSEGV at address 0x", ""),
    (
        "undefined",
        libc::SIGILL,
        "SIGILL at address 0x",
        "undefined",
    ),
    (
        "stack_overflow",
        libc::SIGSEGV,
        "SIGSEGV at address 0x",
        "stack_overflow",
    ),
    (
        "beyond_the_file",
        libc::SIGBUS,
        "SIGBUS at address 0x",
        "beyond_the_file",
    ),
    (
        "in_a_thread",
        libc::SIGSEGV,
        "SIGSEGV at address 0x0 ",
        "null_read",
    ),
];

/// The worker dies of the right signal, and says where the library was.
#[test]
fn faults_are_reported() {
    for (function, signal, message, symbol) in FAULTS {
        for outcome in Call::new("faults.c", function).in_both_modes() {
            assert_eq!(outcome.signal(), Some(signal), "{function}: {outcome:#?}");
            let line = outcome.errors.lines().find(|line| line.contains(message));
            let line = line.unwrap_or_else(|| panic!("{function}: {outcome:#?}"));
            if !symbol.is_empty() {
                assert!(line.contains("in faults.so+0x"), "{line}");
                assert!(line.ends_with(&format!(" after {symbol}")), "{line}");
            }
        }
    }
    // A jump to data ends where it leads to.
    let [plain, turbo] = Call::new("faults.c", "data_jump").in_both_modes();
    for outcome in [plain, turbo] {
        assert!(outcome.errors.contains("in faults.so+0x"), "{outcome:#?}");
    }
}

#[test]
fn other_ends_and_no_fault() {
    let ends = [
        ("aborts", libc::SIGABRT),
        ("breakpoint", libc::SIGTRAP),
        ("killed", libc::SIGSEGV),
    ];
    for (function, signal) in ends {
        for outcome in Call::new("faults.c", function).in_both_modes() {
            assert_eq!(outcome.signal(), Some(signal), "{function}: {outcome:#?}");
            assert!(!outcome.errors.contains(" at address "), "{outcome:#?}");
        }
    }
    same("faults.c", &["division"]);
}

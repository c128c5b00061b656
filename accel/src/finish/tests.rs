//! Code is run before and after it was finished, on the same state.

use super::finish;
use iced_x86::code_asm::*;

/// Places of the state, the stack and the guest's memory in one block of memory.
const STATE: i32 = 0;
const STACK: i32 = 512;
const MEMORY: i32 = 1024;
const REGISTERS: i32 = 2048;
const SIZE: usize = 4096;
/// Where the packed flags are kept in the state.
const FLAGS: i32 = 0x108;

/// A generator of numbers, xorshift64* of S. Vigna.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 32) % end
    }
}

const WIDE: [AsmRegister64; 8] = [rax, rcx, rsi, r8, r9, r10, r11, r12];
const NARROW: [AsmRegister32; 8] = [eax, ecx, esi, r8d, r9d, r10d, r11d, r12d];

/// Appends what the translator emits for some instruction of the guest.
fn emit(a: &mut CodeAssembler, random: &mut Random) -> Result<(), IcedError> {
    let (x, y) = (random.below(8) as usize, random.below(8) as usize);
    let z = 1 + random.below(7) as usize;
    let state = STATE + 8 * random.below(4) as i32;
    let stack = STACK + 16 * random.below(3) as i32;
    // The stack pointer is not to be changed here: rbp stands for rsp. See `frame`.
    match random.below(22) {
        0 => a.mov(WIDE[x], qword_ptr(r15 + state)),
        1 => a.mov(NARROW[x], dword_ptr(r15 + state)),
        2 => a.mov(qword_ptr(r15 + state), WIDE[x]),
        3 => a.mov(dword_ptr(r15 + state), NARROW[x]),
        4 => a.mov(qword_ptr(rsp + stack), WIDE[x]),
        5 => a.mov(dword_ptr(rsp + stack), NARROW[x]),
        6 => a.mov(WIDE[x], qword_ptr(rsp + stack)),
        7 => a.mov(NARROW[x], dword_ptr(rsp + stack)),
        8 => a.lea(WIDE[x], qword_ptr(WIDE[y] + 0x40)),
        9 => a.mov(NARROW[x], NARROW[y]),
        10 => a.add(NARROW[x], NARROW[y]),
        11 => a.movzx(NARROW[x], word_ptr(r13 + MEMORY + 8)),
        12 => a.mov(qword_ptr(r13 + MEMORY + 16), WIDE[x]),
        13 => a.xor(NARROW[x], NARROW[x]),
        14 => a.mov(qword_ptr(r15 + state), 7),
        15 => a.setb(al),
        16..=18 => {
            a.xor(eax, eax)?;
            a.cmp(NARROW[z], NARROW[y])?;
            a.cmc()?;
            a.lahf()?;
            a.seto(al)?;
            a.mov(dword_ptr(r15 + FLAGS), eax)
        }
        kind => {
            if random.below(2) == 0 {
                a.xor(NARROW[z], NARROW[z])?;
            }
            a.mov(eax, dword_ptr(r15 + FLAGS))?;
            if kind != 19 {
                a.cmp(al, 0x81)?;
            }
            a.sahf()?;
            match kind {
                19 => a.cmove(NARROW[z], NARROW[y]),
                20 => a.cmovle(NARROW[z], NARROW[y]),
                _ => a.cmova(NARROW[z], NARROW[y]),
            }
        }
    }
}

/// Runs `code` on `state`, which all of its bases point to.
fn run(code: &[u8], state: &mut [u8; SIZE]) {
    let mut all = frame(true);
    all.extend(code);
    all.extend(frame(false));
    let length = all.len();
    // SAFETY: a new mapping, written before it is made executable. The frame keeps the
    // registers that a C function keeps and the stack; the code between writes to `state`
    // alone.
    unsafe {
        let place = libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(place, libc::MAP_FAILED);
        place
            .cast::<u8>()
            .copy_from_nonoverlapping(all.as_ptr(), length);
        assert_eq!(
            libc::mprotect(place, length, libc::PROT_READ | libc::PROT_EXEC),
            0
        );
        let function: unsafe extern "C" fn(*mut u8) = std::mem::transmute(place);
        function(state.as_mut_ptr());
        libc::munmap(place, length);
    }
}

/// What comes before the code and after it: `rdi` is the state. The real stack pointer
/// waits in the state while the code has its own.
fn frame(before: bool) -> Vec<u8> {
    let mut a = CodeAssembler::new(64).unwrap();
    let kept = [rbx, rbp, r12, r13, r14, r15];
    let emitted: Result<(), IcedError> = (|| {
        if before {
            for register in kept {
                a.push(register)?;
            }
            a.mov(qword_ptr(rdi + REGISTERS + 256), rsp)?;
            a.mov(r15, rdi)?;
            a.mov(r13, rdi)?;
            a.mov(rsp, rdi)?;
            for (index, register) in (0..).zip(WIDE) {
                a.mov(register, qword_ptr(r15 + REGISTERS + 8 * index))?;
            }
            a.add(ecx, 0)
        } else {
            for (index, register) in (0..).zip(WIDE) {
                a.mov(qword_ptr(r15 + REGISTERS + 8 * index), register)?;
            }
            // All flags that `lahf` and `seto` tell.
            a.lahf()?;
            a.seto(al)?;
            a.mov(word_ptr(r15 + REGISTERS + 128), ax)?;
            a.mov(rsp, qword_ptr(r15 + REGISTERS + 256))?;
            for register in kept.into_iter().rev() {
                a.pop(register)?;
            }
            a.ret()
        }
    })();
    emitted.unwrap();
    a.assemble(0).unwrap()
}

/// The code, and what it does to a state; a red zone below its stack is not needed, for
/// no signal handler runs on it: the test's threads block them.
#[test]
fn finished_code_does_the_same() {
    let mut random = Random(0x1d0_7dec);
    let mut shorter = 0;
    crate::fault::without_signals(|| {
        for round in 0..4_000 {
            let mut a = CodeAssembler::new(64).unwrap();
            for _ in 0..=random.below(24) {
                emit(&mut a, &mut random).unwrap();
            }
            let code = a.assemble(0).unwrap();
            let mut finished = code.clone();
            finish(&mut finished, 0, &|_| None, &|_| None);
            shorter += usize::from(finished != code);

            let mut state = [0; SIZE];
            state
                .iter_mut()
                .for_each(|byte| *byte = random.next() as u8);
            let mut expected = state;
            run(&code, &mut expected);
            run(&finished, &mut state);
            let differs = (0..SIZE).find(|at| {
                let is_saved_stack = (REGISTERS as usize + 256..).take(8).any(|b| b == *at);
                state[*at] != expected[*at] && !is_saved_stack
            });
            assert_eq!(
                differs,
                None,
                "round {round}:\n{}\n{}",
                list(&code),
                list(&finished)
            );
        }
    });
    assert!(shorter > 2_000, "{shorter} of 4000 were changed");
}

/// The usual way of a comparison and a selection, which needs no packed flags.
#[test]
fn flags_that_are_used_at_once_are_not_packed() {
    let mut a = CodeAssembler::new(64).unwrap();
    let emitted: Result<(), IcedError> = (|| {
        for _ in 0..2 {
            a.xor(eax, eax)?;
            a.cmp(r10d, 0xff)?;
            a.cmc()?;
            a.lahf()?;
            a.seto(al)?;
            a.mov(dword_ptr(r15 + FLAGS), eax)?;
            a.xor(ecx, ecx)?;
            a.mov(eax, dword_ptr(r15 + FLAGS))?;
            a.cmp(al, 0x81)?;
            a.sahf()?;
            a.cmovle(ecx, r10d)?;
        }
        a.ret()
    })();
    emitted.unwrap();
    let mut code = a.assemble(0).unwrap();
    finish(&mut code, 0, &|_| None, &|_| None);
    let text = list(&code);
    assert_eq!(text.matches("sahf").count(), 0, "{text}");
    assert_eq!(
        text.matches("lahf").count(),
        1,
        "the last are the guest's: {text}"
    );
    assert_eq!(text.matches("mov ecx,0").count(), 2, "{text}");
}

/// Flags do not outlive an access to memory, which may have been done by a call.
#[test]
fn an_access_that_may_fault_loses_the_flags() {
    let mut a = CodeAssembler::new(64).unwrap();
    let emitted: Result<(), IcedError> = (|| {
        let (mut back, mut aside) = (a.create_label(), a.create_label());
        a.xor(eax, eax)?;
        a.cmp(r10d, 0xff)?;
        a.lahf()?;
        a.seto(al)?;
        a.mov(dword_ptr(r15 + FLAGS), eax)?;
        a.mov(r11, qword_ptr(r13 + r9))?;
        a.set_label(&mut back)?;
        a.mov(eax, dword_ptr(r15 + FLAGS))?;
        a.sahf()?;
        a.cmove(ecx, r10d)?;
        a.ret()?;
        a.call(aside)?;
        a.jmp(back)?;
        a.set_label(&mut aside)?;
        a.ret()
    })();
    emitted.unwrap();
    let mut code = a.assemble(0).unwrap();
    finish(&mut code, 0, &|_| None, &|_| None);
    let text = list(&code);
    assert_eq!(text.matches("sahf").count(), 1, "{text}");
    assert_eq!(
        text.matches("[r15+108h]").count(),
        1,
        "eax still holds it: {text}"
    );
}

/// The end of a block that compares and branches: each way may go on in another block.
fn branch_to(pc: [u64; 2]) -> Vec<u8> {
    let mut a = CodeAssembler::new(64).unwrap();
    let emitted: Result<(), IcedError> = (|| {
        a.mov(qword_ptr(rsp + STACK), rcx)?;
        a.xor(eax, eax)?;
        a.cmp(r10d, 0xff)?;
        a.cmc()?;
        a.lahf()?;
        a.seto(al)?;
        a.mov(dword_ptr(r15 + FLAGS), eax)?;
        a.mov(eax, dword_ptr(r15 + FLAGS))?;
        a.sahf()?;
        let mut other = a.create_label();
        a.jne(other)?;
        for (index, pc) in pc.into_iter().enumerate() {
            if index == 1 {
                a.set_label(&mut other)?;
            }
            a.cmp(dword_ptr(r15 + 0x318), 0)?;
            for way in 0..2 {
                a.mov(rax, pc)?;
                a.mov(qword_ptr(r15 + 0x100), rax)?;
                if way == 0 {
                    a.je(0x10_0000)?;
                } else {
                    a.jmp(0x10_0000)?;
                }
            }
        }
        Ok(())
    })();
    emitted.unwrap();
    let mut code = a.assemble(0).unwrap();
    // `cmp w0, #1` at one address, `cset w0, eq` at another.
    let guest = |pc| {
        [(0x5500000000, 0x7100_041f), (0x5500000100, 0x1a9f_17e0)]
            .into_iter()
            .find_map(|(at, word)| (at == pc).then_some(word))
    };
    finish(&mut code, 0, &guest, &|_| None);
    code
}

/// Flags at the end of a block are left out if no way reads them.
#[test]
fn flags_that_the_guest_sets_again_are_not_packed() {
    let (sets, reads, unknown) = (0x5500000000, 0x5500000100, 0x5500000200);
    for (pc, packed) in [
        ([sets, sets], false),
        ([sets, reads], true),
        ([reads, sets], true),
        ([sets, unknown], true),
    ] {
        let text = list(&branch_to(pc));
        assert_eq!(text.contains("lahf"), packed, "{pc:x?}: {text}");
        assert!(!text.contains("sahf"), "{text}");
        assert!(!text.contains("[rsp"), "nobody reads the stack: {text}");
    }
}

fn list(code: &[u8]) -> String {
    use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
    let mut text = String::new();
    let mut formatter = IntelFormatter::new();
    for instruction in &mut Decoder::with_ip(64, code, 0, DecoderOptions::NONE) {
        formatter.format(&instruction, &mut text);
        text.push('\n');
    }
    text
}

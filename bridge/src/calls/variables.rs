//! Exported variables. The program has each of them in memory of its own, where the dynamic
//! linker has put it, and the library has it in its own; before the library runs it gets what
//! the program has changed, and when it has run the program gets what the library has changed.
//!
//! Pointers in variables cross as those in parameters do.

mod store;

use super::call::Call;
use super::errno;
use super::error::{Kind, Record};
use super::heap::heap;
use super::worker::Worker;
use super::wrapper::Wrapper;
use iotdec_wire::lane::Request;
use nix::libc;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use store::store;

/// `struct iotdec_slot`
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    offset: u32,
    kind: u32,
    detail: u64,
}

/// `struct iotdec_variable`
#[repr(C)]
#[derive(Debug)]
pub struct Variable {
    name: *const c_char,
    here: *mut u8,
    first: *const u8,
    size: u64,
    slots: *const Slot,
    count: u32,
    flags: u32,
}

/// `IOTDEC_SLOT_FUNCTION` and so on
const FUNCTION: u32 = 1;
const TEXT: u32 = 2;
const SHARED: u32 = 3;
const HANDLE: u32 = 4;
/// `IOTDEC_VARIABLE_CONSTANT`: it is filled in once, and is the library's alone.
const CONSTANT: u32 = 1;

/// A pointer's.
const WORD: usize = size_of::<u64>();

impl Variable {
    fn name(&self) -> &CStr {
        // SAFETY: generated code has a string constant there.
        unsafe { CStr::from_ptr(self.name) }
    }

    fn slots(&self) -> &[Slot] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: the generated table has so many.
        unsafe { std::slice::from_raw_parts(self.slots, self.count as usize) }
    }

    fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// What changes as a whole: pointers, and words of what is between them.
    fn pieces(&self) -> impl Iterator<Item = (usize, usize, Option<Slot>)> {
        let (mut at, mut slots) = (0, self.slots().iter().peekable());
        let size = self.size as usize;
        std::iter::from_fn(move || {
            let from = at;
            let next = slots.peek().map(|slot| slot.offset as usize);
            if next == Some(from) {
                at += WORD;
                return Some((from, at, slots.next().copied()));
            }
            let end = next.unwrap_or(size).min((from / WORD + 1) * WORD);
            at = end;
            (from < size).then_some((from, end, None))
        })
    }
}

/// The variables of a wrapper's library.
#[derive(Debug)]
pub(crate) struct Table {
    all: &'static [Variable],
    known: Mutex<Known>,
}

/// What was seen last.
#[derive(Debug)]
struct Known {
    /// Of the worker that has them; 0 at first.
    generation: u64,
    twins: Vec<Twin>,
}

#[derive(Debug)]
struct Twin {
    /// Where the library has it.
    there: u64,
    /// What the program's was when it was looked at last.
    seen_here: Vec<u8>,
    /// What the library's was; none if it was not looked at yet.
    seen_there: Option<Vec<u8>>,
}

/// What is at an address, read once: others may write there.
///
/// # Safety
/// So many bytes can be read.
unsafe fn copy_of(address: *const u8, size: usize) -> Vec<u8> {
    let mut copy = vec![0; size];
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(address, copy.as_mut_ptr(), size) };
    copy
}

impl Table {
    /// # Safety
    /// `all` is a generated table of so many.
    pub(crate) unsafe fn new(all: *const Variable, count: usize) -> Option<Self> {
        if count == 0 {
            return None;
        }
        // SAFETY: the caller's promise; generated tables are constants.
        let all = unsafe { std::slice::from_raw_parts(all, count) };
        let twin = |variable: &Variable| Twin {
            there: 0,
            seen_here: match variable.first.is_null() {
                true => vec![0; variable.size as usize],
                // SAFETY: the generated constant is as large as the variable.
                false => unsafe { copy_of(variable.first, variable.size as usize) },
            },
            seen_there: None,
        };
        Some(Self {
            all,
            known: Mutex::new(Known {
                generation: 0,
                twins: all.iter().map(twin).collect(),
            }),
        })
    }

    /// Gives the library what the program has changed.
    pub(crate) fn push(&self, call: &mut Call) {
        errno::keep(|| self.each(call, give));
    }

    /// Gives the program what the library has changed.
    pub(crate) fn pull(&self, call: &mut Call) {
        errno::keep(|| self.each(call, take));
    }

    fn each(&self, call: &mut Call, step: fn(&mut Call, &Variable, &mut Twin)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.attach(call, &mut known).is_some() {
            let all = self.all.iter().zip(&mut known.twins);
            for (variable, twin) in all.filter(|(variable, _)| !variable.is(CONSTANT)) {
                step(call, variable, twin);
            }
        }
    }

    /// Finds the variables of a worker that is new, and takes over what is in them, but for
    /// what the program has changed itself. None if the call has failed.
    fn attach(&self, call: &mut Call, known: &mut Known) -> Option<()> {
        let (lane, state) = call.parties()?;
        let worker = Arc::clone(&lane.worker);
        if known.generation == worker.generation {
            return Some(());
        }
        let part = state.part.load(std::sync::atomic::Ordering::Acquire);
        for (variable, twin) in self.all.iter().zip(&mut known.twins) {
            match find(&worker, part, variable) {
                Ok(there) => twin.there = there,
                Err(record) => {
                    call.fail(record);
                    return None;
                }
            }
            twin.seen_there = None;
            take(call, variable, twin);
        }
        if !call.has_failed() {
            known.generation = worker.generation;
            return Some(());
        }
        None
    }
}

/// Where the library has a variable.
fn find(worker: &Worker, part: u32, variable: &Variable) -> Result<u64, Box<Record>> {
    let name = variable.name();
    let (there, _) = worker.ask(Request::Symbol, part, name.to_bytes())?;
    if worker.shares(there, variable.size) {
        return Ok(there);
    }
    let name = name.to_string_lossy();
    let text = format!("variable {name} of the library is not in shared memory");
    Err(Record::new(Kind::BadPointer, &text)
        .at(there)
        .of(worker.generation))
}

fn give(call: &mut Call, variable: &Variable, twin: &mut Twin) {
    // SAFETY: generated code has the variable's address and size there.
    let now = unsafe { copy_of(variable.here, variable.size as usize) };
    if now == twin.seen_here {
        return;
    }
    for (from, end, slot) in variable.pieces() {
        let bytes = &now[from..end];
        if *bytes == twin.seen_here[from..end] {
            continue;
        }
        let mut sent = [0; WORD];
        let sent = &mut sent[..end - from];
        sent.copy_from_slice(bytes);
        if let (Some(slot), Ok(word)) = (slot, <[u8; WORD]>::try_from(bytes)) {
            let word = to_library(call, variable, slot, u64::from_ne_bytes(word));
            sent.copy_from_slice(&word.to_ne_bytes());
        }
        // The next call complains of it again.
        if call.has_failed() {
            return;
        }
        twin.seen_here[from..end].copy_from_slice(bytes);
        if let Some(there) = &mut twin.seen_there {
            there[from..end].copy_from_slice(sent);
        }
        let to = (twin.there + from as u64) as *mut u8;
        // SAFETY: the library's variable, which is shared: `find` looked.
        unsafe { std::ptr::copy_nonoverlapping(sent.as_ptr(), to, sent.len()) };
    }
}

fn take(call: &mut Call, variable: &Variable, twin: &mut Twin) {
    let size = variable.size as usize;
    // SAFETY: the library's variable, which is shared: `find` looked.
    let now = unsafe { copy_of(twin.there as *const u8, size) };
    if twin.seen_there.as_ref() == Some(&now) {
        return;
    }
    // SAFETY: generated code has the variable's address and size there.
    let here = unsafe { copy_of(variable.here, size) };
    let former = twin.seen_there.replace(now.clone());
    let mut changed = here.clone();
    for (from, end, slot) in variable.pieces() {
        let bytes = &now[from..end];
        let is_old = former.as_ref().is_some_and(|it| it[from..end] == *bytes);
        // What the program has changed since, the library gets.
        if is_old || (here[from..end] != twin.seen_here[from..end] && former.is_none()) {
            continue;
        }
        let to = &mut changed[from..end];
        to.copy_from_slice(bytes);
        if let (Some(slot), Ok(word)) = (slot, <[u8; WORD]>::try_from(bytes)) {
            let word = to_program(call, slot, u64::from_ne_bytes(word));
            to.copy_from_slice(&word.to_ne_bytes());
        }
        twin.seen_here[from..end].copy_from_slice(&changed[from..end]);
    }
    if changed != here {
        store(variable, &here, &changed);
    }
}

/// A pointer of the program's as the library is to see it.
fn to_library(call: &mut Call, variable: &Variable, slot: Slot, word: u64) -> u64 {
    let name = || variable.name().to_string_lossy();
    match slot.kind {
        FUNCTION => call.give_function(word, slot.detail as u32),
        TEXT => {
            // SAFETY: null, or a string of the program's.
            let text = (word != 0).then(|| unsafe { CStr::from_ptr(word as *const c_char) });
            text.map_or(0, |text| kept(call, text))
        }
        SHARED => call.check_shared(word, &name()),
        HANDLE => call.check_handle(word),
        _ => word,
    }
}

/// A pointer of the library's as the program is to see it.
fn to_program(call: &mut Call, slot: Slot, word: u64) -> u64 {
    match slot.kind {
        FUNCTION => call.take_function(word, slot.detail as u32),
        TEXT => call.check_string(word) as u64,
        SHARED if slot.detail > 0 => call.check(word, slot.detail as usize) as u64,
        _ => word,
    }
}

/// Text where the library can read it, for ever: it may keep what is in a variable.
fn kept(call: &mut Call, text: &CStr) -> u64 {
    let bytes = text.to_bytes_with_nul();
    if call.shares(bytes.as_ptr(), bytes.len()) {
        return bytes.as_ptr() as u64;
    }
    let copy = (heap().malloc)(bytes.len()).cast::<u8>();
    if copy.is_null() {
        let text = "no shared memory is left for a variable's text";
        call.fail(Record::new(Kind::NoMemory, text));
        return 0;
    }
    // SAFETY: new memory of that size.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len()) };
    copy as u64
}

/// `iotdec_variables_begin`: fills in what only the running library knows, before the program
/// reads it.
pub fn begin(wrapper: &'static Wrapper) {
    type WhenShared = unsafe extern "C" fn(extern "C" fn(*const c_void), *const c_void);
    extern "C" fn fill(wrapper: *const c_void) {
        // SAFETY: `begin` passed it.
        let wrapper = unsafe { &*wrapper.cast::<Wrapper>() };
        let mut call = std::mem::MaybeUninit::<Call>::uninit();
        // SAFETY: a call that is begun here, and ended if it began.
        unsafe {
            let call = call.as_mut_ptr();
            if Call::begin(call, wrapper, WORD).is_null() {
                return;
            }
            if let Some(table) = (*call).state().and_then(|state| state.variables.as_ref()) {
                table.pull(&mut *call);
            }
            (*call).end();
        }
    }
    let wrapper = (&raw const *wrapper).cast();
    // With libiotdec-malloc.so, a worker is to have what the program shares.
    // SAFETY: looks a name up; it is ours, and the function has this type.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"iotdec_preloaded_when_shared".as_ptr());
        if found.is_null() {
            fill(wrapper);
        } else {
            std::mem::transmute::<*mut c_void, WhenShared>(found)(fill, wrapper);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::null;

    #[test]
    fn pieces_are_pointers_and_what_is_between() {
        let slot = |offset| Slot {
            offset,
            kind: SHARED,
            detail: 0,
        };
        let slots = [slot(4), slot(16)];
        let variable = Variable {
            name: c"v".as_ptr(),
            here: std::ptr::null_mut(),
            first: null(),
            size: 33,
            slots: slots.as_ptr(),
            count: 2,
            flags: 0,
        };
        let pieces: Vec<_> = variable
            .pieces()
            .map(|(from, end, slot)| (from, end, slot.is_some()))
            .collect();
        let wanted = [
            (0, 4, false),
            (4, 12, true),
            (12, 16, false),
            (16, 24, true),
            (24, 32, false),
            (32, 33, false),
        ];
        assert_eq!(pieces, wanted);
    }
}

//! Function pointers, callable on both sides at one address.

use super::error::{Kind, Record};
use super::exchange::is_of_ended;
use super::lane::HostLane;
use super::wrapper::State;
use iotdec_wire::exchange::Range;
use iotdec_wire::lane::Request;
use iotdec_wire::stubs::{Full, Stubs};
use nix::libc;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Different function pointers of one worker.
const MAX_FUNCTIONS: usize = 1 << 16;

/// A function's address, wrapper and signature.
type Key = (u64, u32, u32);

/// What one worker and the program have given each other.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    /// Where the guest has each native function.
    given: HashMap<Key, u64>,
    /// The native function at each of those addresses.
    natives: HashMap<u64, u64>,
    /// Where we have each of the guest's functions.
    taken: HashMap<Key, u64>,
    /// The guest's function at each of those addresses.
    guests: HashMap<u64, u64>,
    /// The guest's functions that were asked for by name.
    named: HashSet<u64>,
}

impl Functions {
    /// Whether the program gave a native function with this signature.
    pub(crate) fn is_given(&self, key: Key) -> bool {
        self.given.contains_key(&key)
    }

    /// Where the guest has a function of the program's, which may have it from the guest.
    fn in_guest(&self, key: Key) -> Option<u64> {
        let exchanged = self.guests.get(&key.0).or_else(|| self.given.get(&key));
        exchanged.copied().or_else(|| self.met_elsewhere(key.0))
    }

    /// Where the program has a function of the guest's, which may have it from the program.
    fn in_program(&self, key: Key) -> Option<u64> {
        let exchanged = self.natives.get(&key.0).or_else(|| self.taken.get(&key));
        exchanged.copied()
    }

    /// The address itself, if it is where both sides have a native function of another one.
    fn met_elsewhere(&self, address: u64) -> Option<u64> {
        let native = self.natives.get(&address)?;
        (*native != address).then_some(address)
    }

    /// Whether both sides can call a function.
    fn is_met(&self, key: Key) -> bool {
        let at_home = self.given.get(&key) == Some(&key.0);
        at_home
            || self.taken.contains_key(&key)
            || self.natives.contains_key(&key.0)
            || self.guests.contains_key(&key.0)
    }

    /// Lets a function be called that was asked for by name.
    pub(crate) fn add_named(&mut self, address: u64) {
        self.named.insert(address);
    }

    fn is_full(&self) -> bool {
        self.given.len() + self.taken.len() >= MAX_FUNCTIONS
    }
}

/// Our stubs, of all workers: pointers to them may be kept for ever. By the guest's
/// address and the entry they lead to.
static STUBS: Mutex<Option<HostStubs>> = Mutex::new(None);

struct HostStubs {
    stubs: Stubs,
    known: HashMap<(u64, u64), u64>,
    /// Addresses of guests' functions that have a stub there.
    kept: HashSet<u64>,
    /// All addresses that stubs are at.
    all: HashSet<u64>,
}

/// Whether something stands for a choice and not for a function: null, SIG_IGN, (void *) -1.
fn is_no_address(value: u64) -> bool {
    const PAGE: u64 = 4096;
    value < PAGE || value >= PAGE.wrapping_neg()
}

/// Whether programs can have a function there.
fn is_possible(address: u64) -> bool {
    address < 1 << 47
}

/// Whether an address is in the program or a library of its.
fn is_native(address: u64) -> bool {
    // SAFETY: any bytes are valid there.
    let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: the address is only looked up.
    unsafe { libc::dladdr(address as *const libc::c_void, &raw mut found) != 0 }
}

fn no_memory(full: Full) -> Box<Record> {
    let text = match full {
        Full::Pages => "too many different function pointers",
        Full::System => "the system gives no memory for function pointers",
    };
    Record::new(Kind::NoMemory, text)
}

fn stale(address: u64) -> Box<Record> {
    let text = "a function of a library's process that has ended; ask the library for it again";
    Record::new(Kind::Stale, text).at(address)
}

/// Whether a guest's function had an address here in an earlier worker.
fn was_taken(address: u64) -> bool {
    let stubs = STUBS.lock().expect("nothing panics with it");
    stubs
        .as_ref()
        .is_some_and(|stubs| stubs.all.contains(&address))
}

/// A function with this signature of a wrapper's.
fn key(state: &State, function: u64, signature: u32) -> Key {
    (function, state.part.load(Ordering::Acquire), signature)
}

impl HostLane {
    /// What `find` finds of what was exchanged before; an error if it is new, and there is room
    /// for no more.
    fn exchanged(
        &self,
        find: impl FnOnce(&Functions) -> Option<u64>,
    ) -> Result<Option<u64>, Box<Record>> {
        let known = self.worker.known_functions();
        match find(&known) {
            None if known.is_full() => Err(no_memory(Full::Pages)),
            found => Ok(found),
        }
    }

    /// A native function as the guest is to see it.
    pub(crate) fn give_function(
        &self,
        state: &State,
        function: u64,
        signature: u32,
    ) -> Result<u64, Box<Record>> {
        if is_no_address(function) || !is_possible(function) {
            return Ok(function);
        }
        let key = key(state, function, signature);
        if let Some(guest) = self.exchanged(|known| known.in_guest(key))? {
            return Ok(guest);
        }
        if was_taken(function) {
            return Err(stale(function));
        }
        let (_, part, _) = key;
        let guest = self
            .worker
            .ask_number(Request::Stub, part, function, u64::from(signature))?;
        let mut known = self.worker.change_functions();
        known.given.insert(key, guest);
        known.natives.insert(guest, function);
        Ok(guest)
    }

    /// A guest's function as the program is to see it.
    pub(crate) fn take_function(
        &self,
        state: &State,
        function: u64,
        signature: u32,
    ) -> Result<u64, Box<Record>> {
        if is_no_address(function) {
            return Ok(function);
        }
        let key = key(state, function, signature);
        if let Some(native) = self.exchanged(|known| known.in_program(key))? {
            return Ok(native);
        }
        if !is_possible(function) {
            let text = "the library returned a pointer to a function where none can be";
            return Err(Record::new(Kind::BadPointer, text).at(function));
        }
        let entry = state
            .entry(signature)
            .ok_or_else(|| Record::new(Kind::NotStarted, "the wrapper has no such signature"))?;
        let native = add_stub(function, entry)?;
        let mut known = self.worker.change_functions();
        known.taken.insert(key, native);
        known.guests.insert(native, function);
        Ok(native)
    }

    /// A function pointer in memory that both sides use: makes it callable on both sides, and
    /// gives the address at which it is: its own where that can be. What is no function's
    /// address, or can be called at no common one, is left alone: memory may hold anything,
    /// and nobody need ever call it.
    ///
    /// The library may have written it. So functions of the program's are given this way
    /// only if all of its heap is shared, and the library trusted with what is there.
    pub(crate) fn meet_function(&self, state: &State, function: u64, signature: u32) -> u64 {
        let key = key(state, function, signature);
        if is_no_address(function) || self.worker.known_functions().is_met(key) {
            return function;
        }
        if self.worker.is_image(function, 1) {
            let _ = self.take_function(state, function, signature);
        } else if super::heap::is_all_shared()
            && is_native(function)
            && let Ok(guest) = self.give_function(state, function, signature)
            && guest != function
            && add_stub(guest, function).is_ok_and(|native| native == guest)
        {
            // An address that no instruction of the guest can have, such as an odd one.
            return guest;
        }
        function
    }

    /// The guest's function that a stub of ours is about to call.
    pub(crate) fn check_function(
        &self,
        state: &State,
        function: u64,
        signature: u32,
    ) -> Result<(), Box<Record>> {
        let key = key(state, function, signature);
        let known = self.worker.known_functions();
        if known.taken.contains_key(&key) || known.named.contains(&function) {
            return Ok(());
        }
        Err(stale(function))
    }

    /// A handle of the library's that the program gives back.
    pub(crate) fn check_handle(&self, handle: u64) -> Result<(), Box<Record>> {
        if self.worker.shares(handle, 0) || !is_of_ended(handle) {
            return Ok(());
        }
        let text = "a handle of a library's process that has ended; make it anew";
        Err(Record::new(Kind::Stale, text).at(handle))
    }
}

/// Lets stubs be where a library's constants are mapped: its functions lie among them.
pub(crate) fn cover(range: Range) {
    if let Ok(stubs) = host_stubs(&mut STUBS.lock().expect("nothing panics with it")) {
        stubs.stubs.cover(range);
    }
}

fn host_stubs(place: &mut Option<HostStubs>) -> Result<&mut HostStubs, Box<Record>> {
    if place.is_none() {
        *place = Some(HostStubs {
            stubs: Stubs::new().ok_or_else(|| no_memory(Full::System))?,
            known: HashMap::new(),
            kept: HashSet::new(),
            all: HashSet::new(),
        });
    }
    place.as_mut().ok_or_else(|| no_memory(Full::System))
}

fn add_stub(function: u64, entry: u64) -> Result<u64, Box<Record>> {
    let mut place = STUBS.lock().expect("nothing panics with it");
    let stubs = host_stubs(&mut place)?;
    if let Some(native) = stubs.known.get(&(function, entry)) {
        return Ok(*native);
    }
    let keep = !stubs.kept.contains(&function);
    let native = stubs.stubs.add(function, entry, keep).map_err(no_memory)?;
    stubs.known.insert((function, entry), native);
    stubs.kept.insert(function);
    stubs.all.insert(native);
    Ok(native)
}

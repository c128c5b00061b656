//! What function pointers of the other side point to.
//!
//! A function keeps its address on both sides: where the other side's function is, this
//! side maps a page, and at that address puts a jump to a *body*, which loads the address
//! into a register and goes on in generated code of the signature. So a pointer needs no
//! translation wherever it is stored, and one that goes there and back is the same.
//!
//! Where that cannot be, because something else is at the address, or it cannot be one
//! of an instruction, the body itself is what callers get.
//!
//! No page is ever both writable and executable: all are mapped twice, from one memfd.
//! Bytes are only added where none were, so nobody can be executing what changes.

mod code;

use crate::exchange::Range;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ptr::NonNull;

const PAGE: u64 = 4096;
/// Pages that all stubs together may take.
const PAGES: u64 = 4096;
/// Bytes of a group of bodies.
const GROUP: u64 = 16 * PAGE;
/// Where groups are tried, at multiples of this from the page that needs one.
const STEP: u64 = 1 << 20;
/// User addresses end here on both architectures.
const ADDRESSES: u64 = 1 << 47;

/// Why there is no stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All the pages that stubs may have are taken.
    Pages,
    /// The system gives no memory.
    System,
}

/// The stubs of a process.
#[derive(Debug)]
pub struct Stubs {
    file: libc::c_int,
    /// All pages of the file, writable.
    writable: NonNull<u8>,
    used: u64,
    /// Offset in the file of each page at another function's address; `None` if something
    /// else is there.
    pages: BTreeMap<u64, Option<u64>>,
    groups: Vec<Group>,
    /// Where jumps are.
    jumps: BTreeSet<u64>,
    /// Ranges that may be covered.
    covered: Vec<Range>,
}

// SAFETY: memory of the process, written only through `&mut self`.
unsafe impl Send for Stubs {}

/// Bodies.
#[derive(Clone, Copy, Debug)]
struct Group {
    start: u64,
    offset: u64,
    used: u64,
    /// Near a function of the other side. There, that side may have no room for a stub of its own
    /// at a body's address, which it needs if that is what both sides call.
    is_near: bool,
}

impl Group {
    fn is_full(&self) -> bool {
        self.used + code::BODY as u64 > GROUP
    }
}

impl Stubs {
    /// Room for stubs; `None` if the system gives none.
    pub fn new() -> Option<Self> {
        // SAFETY: the calls take no memory of ours but the name; results are checked.
        unsafe {
            let file = libc::memfd_create(c"iotdec-stubs".as_ptr(), libc::MFD_CLOEXEC);
            if file < 0 {
                return None;
            }
            let size = PAGES * PAGE;
            let mut writable = libc::MAP_FAILED;
            if libc::ftruncate(file, size as libc::off_t) == 0 {
                writable = libc::mmap(
                    core::ptr::null_mut(),
                    size as usize,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_NORESERVE,
                    file,
                    0,
                );
            }
            let writable = NonNull::new(writable.cast::<u8>());
            match writable.filter(|it| it.as_ptr() != libc::MAP_FAILED.cast()) {
                Some(writable) => Some(Self {
                    file,
                    writable,
                    used: 0,
                    pages: BTreeMap::new(),
                    groups: Vec::new(),
                    jumps: BTreeSet::new(),
                    covered: Vec::new(),
                }),
                None => {
                    libc::close(file);
                    None
                }
            }
        }
    }

    /// Lets stubs be in a range, whole pages, that stays mapped and readable, and in which
    /// nothing is executed: what is there can still be read, but for the stubs' own bytes.
    pub fn cover(&mut self, range: Range) {
        self.covered.push(range);
    }

    /// Makes the other side's function `target` callable through `entry`: at its own
    /// address if `keep` and that can be, else at the one returned. `target` has no stub
    /// at its own address yet.
    pub fn add(&mut self, target: u64, entry: u64, keep: bool) -> Result<u64, Full> {
        let place = if keep { self.place(target) } else { None };
        let near = place.map(|_| target);
        let body = match (self.body(target, entry, near), near) {
            (Ok(body), _) => body,
            // Nothing free near it.
            (Err(_), Some(_)) => return self.body(target, entry, None).map(|(start, _)| start),
            (Err(full), None) => return Err(full),
        };
        let Some(offset) = place else {
            return Ok(body.0);
        };
        self.write(offset, &code::jump(target, body.0));
        self.jumps.insert(target);
        flush(target, code::JUMP);
        Ok(target)
    }

    /// The offset in the file at which a jump can be written that then is at `target`.
    fn place(&mut self, target: u64) -> Option<u64> {
        let within = target % PAGE;
        if !(16 * PAGE..ADDRESSES).contains(&target)
            || !target.is_multiple_of(code::ALIGNMENT)
            || within + code::JUMP as u64 > PAGE
        {
            return None;
        }
        let page = target - within;
        let known = self.pages.get(&page).copied();
        let offset = match known {
            Some(offset) => offset,
            None => {
                let is_covered = self.covered.iter().any(|range| range.contains(page, PAGE));
                let mapped = if is_covered {
                    self.map_over(page)
                } else {
                    self.map(page, PAGE)
                };
                let offset = mapped.ok().map(|(_, offset)| offset);
                self.pages.insert(page, offset);
                offset
            }
        }? + within;
        let size = code::JUMP as u64;
        let mut near = self
            .jumps
            .range(target.saturating_sub(size - 1)..target + size);
        near.next().is_none().then_some(offset)
    }

    /// Writes a body, near an address if one is given.
    fn body(&mut self, target: u64, entry: u64, near: Option<u64>) -> Result<(u64, u64), Full> {
        let fits = |group: &Group| {
            let reaches = |near| group.start.abs_diff(near) + GROUP < code::REACH;
            !group.is_full() && near.map_or(!group.is_near, reaches)
        };
        let index = match self.groups.iter().position(fits) {
            Some(index) => index,
            None => {
                let group = self.group(near)?;
                self.groups.push(group);
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[index];
        let (start, offset) = (group.start + group.used, group.offset + group.used);
        group.used += code::BODY as u64;
        self.write(offset, &code::body(target, entry));
        flush(start, code::BODY);
        Ok((start, offset))
    }

    fn group(&mut self, near: Option<u64>) -> Result<Group, Full> {
        let group = |(start, offset)| Group {
            start,
            offset,
            used: 0,
            is_near: near.is_some(),
        };
        let Some(near) = near else {
            return self.map(0, GROUP).map(group);
        };
        let page = near - near % PAGE;
        for distance in 1..code::REACH / STEP / 2 {
            for start in [
                page.checked_sub(distance * STEP),
                page.checked_add(distance * STEP),
            ] {
                let start = start.filter(|start| (STEP..ADDRESSES).contains(start));
                let Some(start) = start else { continue };
                match self.map(start, GROUP) {
                    Ok(mapped) => return Ok(group(mapped)),
                    Err(Full::System) => {}
                    Err(Full::Pages) => return Err(Full::Pages),
                }
            }
        }
        Err(Full::System)
    }

    /// Maps the next pages of the file: at `start` exactly, or anywhere if that is 0.
    fn map(&mut self, start: u64, size: u64) -> Result<(u64, u64), Full> {
        let offset = self.used;
        if offset + size > PAGES * PAGE {
            return Err(Full::Pages);
        }
        let fixed = if start == 0 {
            0
        } else {
            libc::MAP_FIXED_NOREPLACE
        };
        // SAFETY: without MAP_FIXED no existing mapping changes.
        let mapped = unsafe {
            libc::mmap(
                start as *mut libc::c_void,
                size as usize,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_SHARED | fixed,
                self.file,
                offset as libc::off_t,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(Full::System);
        }
        // QEMU 7.2 takes the flag for a wish.
        if start != 0 && mapped as u64 != start {
            // SAFETY: just mapped, and told to nobody.
            unsafe { libc::munmap(mapped, size as usize) };
            return Err(Full::System);
        }
        self.used += size;
        Ok((mapped as u64, offset))
    }

    /// Maps the next page of the file over one of a covered range, with the same contents.
    fn map_over(&mut self, page: u64) -> Result<(u64, u64), Full> {
        let offset = self.used;
        if offset + PAGE > PAGES * PAGE {
            return Err(Full::Pages);
        }
        // SAFETY: `cover` was told of a range that is mapped and readable, so the page is;
        // it is replaced by one with the same contents.
        let mapped = unsafe {
            let copy = self.writable.as_ptr().add(offset as usize);
            core::ptr::copy_nonoverlapping(page as *const u8, copy, PAGE as usize);
            libc::mmap(
                page as *mut libc::c_void,
                PAGE as usize,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_SHARED | libc::MAP_FIXED,
                self.file,
                offset as libc::off_t,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(Full::System);
        }
        self.used += PAGE;
        Ok((page, offset))
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= PAGES * PAGE);
        // SAFETY: inside the file, which is mapped; nobody reads these bytes yet.
        unsafe {
            let to = self.writable.as_ptr().add(offset as usize);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }
}

/// Has the processor see instructions that were written through another address.
fn flush(start: u64, size: usize) {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: cache maintenance of mapped addresses; lines are of 64 bytes or more, and
    // `start` and its end are both touched.
    unsafe {
        for line in [start, start + size as u64 - 1] {
            core::arch::asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", in(reg) line);
        }
        core::arch::asm!("isb");
    }
    #[cfg(not(target_arch = "aarch64"))]
    let _ = (start, size);
}

impl Drop for Stubs {
    fn drop(&mut self) {
        // The executable mappings stay: somebody may still hold a pointer into them.
        // SAFETY: both are ours, and nothing uses them later.
        unsafe {
            libc::munmap(self.writable.as_ptr().cast(), (PAGES * PAGE) as usize);
            libc::close(self.file);
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Returns the register that a stub loads.
    #[unsafe(naked)]
    extern "C" fn entry() -> u64 {
        core::arch::naked_asm!("mov rax, r10", "ret")
    }

    fn call(address: u64) -> u64 {
        // SAFETY: an address that `add` gave, of a body that ends in `entry`.
        let function: extern "C" fn() -> u64 =
            unsafe { core::mem::transmute(address as *const ()) };
        function()
    }

    #[test]
    fn functions_keep_their_addresses_where_they_can() {
        let mut stubs = Stubs::new().unwrap();
        let entry = entry as *const () as u64;
        let free = 0x55_1234_5000;
        for target in [free, free + 16, free + 5, free + 64, free + (1 << 40)] {
            assert_eq!(stubs.add(target, entry, true), Ok(target));
            assert_eq!(call(target), target);
        }
        // Overlapping, across pages, occupied, not wanted.
        let here = Box::new(0u64);
        let occupied = &raw const *here as u64;
        for (target, keep) in [
            (free + 2, true),
            (free + 4094, true),
            (occupied, true),
            (free + 128, false),
            (u64::MAX - 7, true),
            (0x100, true),
        ] {
            let address = stubs.add(target, entry, keep).unwrap();
            assert_ne!(address, target);
            assert_eq!(call(address), target);
            // Not where the other side has something.
            let near = [free, free + (1 << 40)].map(|it| address.abs_diff(it) < code::REACH);
            assert_eq!(near, [false; 2]);
        }
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut stubs = Stubs::new().unwrap();
        let mut count = 0u64;
        let full = loop {
            match stubs.add(0x56_0000_0000 + count * PAGE, 1, true) {
                Ok(_) => count += 1,
                Err(full) => break full,
            }
        };
        assert_eq!(full, Full::Pages);
        assert!(count > PAGES / 2);
    }
}

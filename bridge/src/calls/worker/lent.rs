//! The program's numbers for file descriptors that libraries lend it.
//!
//! A library that is asked for the same one each time, and keeps it, has a program that never
//! closes it. So there is one number here for each one there, whatever the library has open
//! under it. It stays when the library's process ends, for the program may still wait for
//! something on it, and would get another file's events if the number were used again: by
//! anything but what the next process lends.

use nix::libc;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// What the libraries of one setting can have lent.
const MOST: usize = 64;

/// A number of the program's that stands for one of a library's.
#[derive(Debug)]
struct Lent {
    setting: usize,
    generation: u64,
    theirs: i32,
    ours: RawFd,
    /// What was put there.
    file: File,
}

/// Which file it is, as far as can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    device: u64,
    inode: u64,
}

static LENT: Mutex<Vec<Lent>> = Mutex::new(Vec::new());

/// The number for descriptor `theirs` of a setting's worker, of which `received` is a duplicate.
pub(super) fn stand_in(
    (setting, generation): (usize, u64),
    theirs: i32,
    received: OwnedFd,
) -> Result<RawFd, String> {
    let cannot = |error| format!("a file descriptor that the library lent is lost: {error}");
    let file = file(received.as_raw_fd()).ok_or_else(|| cannot(std::io::Error::last_os_error()))?;
    let mut lent = LENT.lock().expect("nothing panics with it");
    let position = |is: &dyn Fn(&Lent) -> bool| {
        let mut all = lent.iter();
        all.position(|it| it.setting == setting && is(it))
    };
    let same = position(&|it| (it.generation, it.theirs) == (generation, theirs));
    // A library that does the same again lends the same in the same order.
    let place = same.or_else(|| position(&|it| it.generation < generation));
    if let Some(place) = place {
        let known = &mut lent[place];
        // Closed by mistake, the number may be another file's by now, and often that can be told.
        if self::file(known.ours) == Some(known.file) {
            // SAFETY: takes numbers; the program leaves to us what is open under this one.
            let put = unsafe { libc::dup3(received.as_raw_fd(), known.ours, libc::O_CLOEXEC) };
            if put < 0 {
                return Err(cannot(std::io::Error::last_os_error()));
            }
        } else {
            known.ours = received.into_raw_fd();
        }
        (known.generation, known.theirs) = (generation, theirs);
        known.file = file;
        return Ok(known.ours);
    }
    if lent.iter().filter(|it| it.setting == setting).count() == MOST {
        return Err(format!(
            "the library has lent more than {MOST} different file descriptors; if the program is \
             to close what it gets, say \"descriptor\" in wrap.toml instead of \"lent descriptor\""
        ));
    }
    let ours = received.into_raw_fd();
    lent.push(Lent {
        setting,
        generation,
        theirs,
        ours,
        file,
    });
    Ok(ours)
}

fn file(number: RawFd) -> Option<File> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: takes any number, and there is room for what it writes.
    if unsafe { libc::fstat(number, stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: it has succeeded.
    let stat = unsafe { stat.assume_init() };
    Some(File {
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};
    use std::os::fd::FromRawFd;

    /// Of a setting that no worker has.
    const SETTING: usize = usize::MAX;

    fn holding(text: &str) -> OwnedFd {
        let mut file = tempfile::tempfile().expect("room");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("room");
        file.into()
    }

    fn text(number: RawFd) -> String {
        // SAFETY: not closed here.
        let file = unsafe { std::fs::File::from_raw_fd(number) };
        let mut file = std::mem::ManuallyDrop::new(file);
        let mut text = String::new();
        file.rewind().expect("a file");
        file.read_to_string(&mut text).expect("text");
        text
    }

    #[test]
    fn one_number_stands_for_one_number() {
        let put = |theirs, text| stand_in((SETTING, 1), theirs, holding(text)).expect("room");
        let first = put(5, "one");
        // Kept, or the next file could have its inode's number.
        let two = holding("two");
        let put_two = stand_in((SETTING, 1), 5, two.try_clone().expect("room"));
        assert_eq!(put_two, Ok(first));
        assert_eq!(text(first), "two");
        let other = put(6, "three");
        assert_ne!(other, first);
        // SAFETY: a program that closes what is not its own.
        unsafe { libc::close(first) };
        let mine = holding("the program's");
        let again = put(5, "four");
        assert_eq!(text(again), "four");
        assert_eq!(text(mine.as_raw_fd()), "the program's");
        assert_eq!(text(other), "three");
        for theirs in 100..100 + MOST as i32 - 2 {
            put(theirs, "x");
        }
        let full = stand_in((SETTING, 1), 1000, holding("y")).expect_err("no room");
        assert!(full.contains("more than 64"), "{full}");
        assert_eq!(put(6, "six"), other);
        let next = |theirs| stand_in((SETTING, 2), theirs, holding("z")).expect("room");
        assert_eq!((next(7), next(8), next(7)), (again, other, again));
    }
}

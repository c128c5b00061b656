//! An X display that nobody sees, and what it shows.

use crate::pixels::Pixels;
use crate::process::{Running, until};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A running Xvfb.
#[derive(Debug)]
pub struct Display {
    name: String,
    directory: tempfile::TempDir,
    _server: Running,
}

impl Display {
    /// Starts a display of this size, in 24 bit colour. Xvfb picks a free number.
    ///
    /// # Panics
    /// If Xvfb does not start; it is part of what make setup installs.
    pub fn start(width: u32, height: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut server = Command::new("timeout")
            .args(["--kill-after=5", "300", "Xvfb", "-displayfd", "1"])
            .arg("-fbdir")
            .arg(directory.path())
            .args(["-screen", "0", &format!("{width}x{height}x24")])
            .args(["-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("coreutils are installed");
        let mut number = String::new();
        let output = server.stdout.take().expect("piped");
        // The line comes when the display is ready, or the end when it failed.
        let read = BufReader::new(output).read_line(&mut number);
        let server = Running::new(server);
        assert!(
            read.is_ok_and(|bytes| bytes > 0),
            "Xvfb does not start; is the package xvfb installed?"
        );
        Self {
            name: format!(":{}", number.trim()),
            directory,
            _server: server,
        }
    }

    /// What DISPLAY has to be.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it shows now.
    pub fn screenshot(&self) -> Pixels {
        let file = self.directory.path().join("Xvfb_screen0");
        // The server makes the file before it is ready.
        let dump = fs::read(&file).expect("Xvfb keeps the screen in this file");
        read_xwd(&dump)
    }

    /// Looks at the screen again and again until `look` finds what it looks for.
    pub fn until<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&Pixels) -> Option<T>,
    ) -> Option<T> {
        until(limit, || look(&self.screenshot()))
    }
}

/// A screen dump in the format of xwd: a header of big-endian words, a colour map
/// of 12 bytes an entry, the pixels (XWDFile.h).
fn read_xwd(dump: &[u8]) -> Pixels {
    let word = |index: usize| {
        let bytes = dump[4 * index..][..4].try_into().expect("4 bytes");
        u32::from_be_bytes(bytes) as usize
    };
    let [header, version, _, depth, width, height] = [0, 1, 2, 3, 4, 5].map(word);
    let [byte_order, bits, stride, colours] = [7, 11, 12, 19].map(word);
    assert_eq!(
        [version, depth, byte_order, bits],
        [7, 24, 0, 32],
        "not the format that was asked for"
    );
    let rows = dump[header + 12 * colours..].chunks(stride);
    Pixels::from_rows(width, rows.take(height))
}

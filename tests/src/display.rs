//! Screens that nobody sees, and what they show: of X and of Wayland.

use crate::pipeline::Playing;
use crate::pixels::Pixels;
use crate::process::{Running, until};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Something to look at.
pub trait Screen {
    /// What it shows now.
    fn screenshot(&self) -> Pixels;

    /// Looks at the screen again and again until `look` finds what it looks for.
    fn until<T>(&self, limit: Duration, mut look: impl FnMut(&Pixels) -> Option<T>) -> Option<T>
    where
        Self: Sized,
    {
        until(limit, || look(&self.screenshot()))
    }
}

/// A running Xvfb.
#[derive(Debug)]
pub struct Display {
    name: String,
    directory: tempfile::TempDir,
    // Before the server in whose window it draws.
    _inner: Option<Running>,
    _server: Running,
}

impl Display {
    /// Starts a display of this size, in 24 bit colour. Xvfb picks a free number.
    ///
    /// # Panics
    /// If Xvfb does not start; it is part of what make setup installs.
    pub fn start(width: u32, height: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut server = command("Xvfb");
        server.arg("-fbdir").arg(directory.path()).args([
            "-screen",
            "0",
            &format!("{width}x{height}x24"),
        ]);
        let (name, server) = start_server(server, "xvfb");
        Self {
            name,
            directory,
            _inner: None,
            _server: server,
        }
    }

    /// One whose server has the XVideo extension: Xvfb has no adaptor for it, so Xephyr
    /// draws into a window that covers the display, with OpenGL in software.
    pub fn with_xvideo(width: u32, height: u32) -> Self {
        let outer = Self::start(width, height);
        let mut inner = command("Xephyr");
        inner
            .args(["-glamor", "-screen", &format!("{width}x{height}")])
            .env("DISPLAY", &outer.name);
        let (name, inner) = start_server(inner, "xserver-xephyr");
        Self {
            name,
            _inner: Some(inner),
            ..outer
        }
    }

    /// What DISPLAY has to be.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Screen for Display {
    fn screenshot(&self) -> Pixels {
        let file = self.directory.path().join("Xvfb_screen0");
        // The server makes the file before it is ready.
        let dump = fs::read(&file).expect("Xvfb keeps the screen in this file");
        read_xwd(&dump)
    }
}

/// An X server that picks a free number for its display and prints it when it is ready.
fn command(server: &str) -> Command {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "300", server, "-displayfd", "1"])
        .args(["-nolisten", "tcp", "-noreset"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Starts a [`command`]; what DISPLAY has to be for it.
fn start_server(mut command: Command, package: &str) -> (String, Running) {
    let mut server = command.spawn().expect("coreutils are installed");
    let mut number = String::new();
    let output = server.stdout.take().expect("piped");
    // The line comes when the display is ready, or the end when it failed.
    let read = BufReader::new(output).read_line(&mut number);
    let server = Running::new(server);
    assert!(
        read.is_ok_and(|bytes| bytes > 0),
        "{command:?} does not start; is the package {package} installed?"
    );
    (format!(":{}", number.trim()), server)
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

/// A running Weston without a screen, which renders with OpenGL in software, because its
/// other renderer takes no YUV.
#[derive(Debug)]
pub struct Weston {
    directory: tempfile::TempDir,
    _server: Running,
}

/// Nothing on the screen but windows, and no effects.
const WESTON_INI: &str = "\
[shell]
panel-position=none
background-color=0xff000000
locking=false
animation=none
startup-animation=none
close-animation=none
";

impl Weston {
    /// Starts a compositor with one output of this size.
    ///
    /// # Panics
    /// If Weston does not start; it is part of what make setup installs.
    pub fn start(width: u32, height: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("weston.ini"), WESTON_INI).expect("a writable directory");
        let server = Command::new("timeout")
            .args(["--kill-after=5", "300", "weston"])
            .args(["--backend=headless-backend.so", "--use-gl", "--idle-time=0"])
            .arg(format!("--width={width}"))
            .arg(format!("--height={height}"))
            // Lets weston-screenshooter in.
            .args(["--debug", &format!("--socket={SOCKET}")])
            .arg(format!("--config={}", path("weston.ini").display()))
            .arg(format!("--log={}", path("weston.log").display()))
            .env("XDG_RUNTIME_DIR", directory.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("coreutils are installed");
        let weston = Self {
            directory,
            _server: Running::new(server),
        };
        let ready = until(Duration::from_secs(30), || weston.try_screenshot());
        assert!(
            ready.is_some(),
            "Weston does not start; is it installed? {}",
            fs::read_to_string(weston.directory.path().join("weston.log")).unwrap_or_default()
        );
        weston
    }

    /// What WAYLAND_DISPLAY has to be, and waylandsink's `display`.
    pub fn name(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }

    fn try_screenshot(&self) -> Option<Pixels> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let taken = Command::new("timeout")
            .args(["--kill-after=5", "20", "weston-screenshooter"])
            .current_dir(&directory)
            .env("WAYLAND_DISPLAY", self.name())
            .env("XDG_RUNTIME_DIR", self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("coreutils are installed");
        // It picks the name.
        let file = fs::read_dir(&directory).ok()?.next()?.ok()?.path();
        taken.status.success().then(|| read_png(&file))
    }
}

const SOCKET: &str = "wayland";

impl Screen for Weston {
    fn screenshot(&self) -> Pixels {
        self.try_screenshot().expect("weston-screenshooter works")
    }
}

fn read_png(file: &Path) -> Pixels {
    let description = format!(
        "filesrc location=\"{}\" ! pngdec ! videoconvert ! video/x-raw,format=BGRx \
         ! appsink name=sink sync=false",
        file.display()
    );
    let mut playing = Playing::start(&description, Duration::from_secs(20));
    let pixels = Pixels::of(&playing.next_sample().expect("a picture"));
    playing.stop();
    pixels
}

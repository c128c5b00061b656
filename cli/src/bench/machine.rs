//! What the numbers were measured on and with.

use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The computer.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor, as the kernel names it.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Processes that wanted to run during the last minute, when the benchmark
    /// began: what else was going on.
    pub load: f64,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cpu: cpu_model(&cpuinfo).unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: release.trim().to_owned(),
            load: load
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
        }
    }
}

/// The programs.
#[derive(Debug, Serialize)]
pub struct Versions {
    /// This program.
    pub iotdec: &'static str,
    /// GStreamer.
    pub gstreamer: String,
    /// The emulator.
    pub qemu: String,
    /// The foreign library.
    pub library: String,
    /// The native library.
    pub native_library: Option<String>,
    /// The processor that the emulator shows the library.
    pub cpu_model: String,
    /// What is on of the accelerator unless the contender says otherwise.
    pub accelerator: String,
}

/// The first line of what an emulator says of itself.
pub fn qemu_version(qemu: &Path) -> String {
    let said = Command::new(qemu).arg("--version").output();
    let said = said.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&said);
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_found() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: x\n";
        assert_eq!(cpu_model(cpuinfo), Some("Some CPU @ 2 GHz"));
        assert_eq!(cpu_model(""), None);
    }
}

//! Loads one decoder library and decodes with it: see [`iotdec_guest::worker`].

fn main() -> std::process::ExitCode {
    iotdec_guest::worker()
}

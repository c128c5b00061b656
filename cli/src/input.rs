//! The file to work on.

use crate::failure::Failure;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The clip that is used when no file is named.
const SAMPLE: &str = "yard-h264.264";

/// The named file, or the sample clip; checked, so that whoever reads it next
/// need not explain why it cannot.
pub fn resolve(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(file) = named else {
        return sample();
    };
    if file.is_dir() {
        return Err(Failure::new(
            format_args!("{} is a directory", file.display()),
            "Name a video file.",
        ));
    }
    match File::open(file) {
        Ok(_) => Ok(file.into()),
        Err(error) => Err(Failure::new(
            format_args!("cannot open {}: {error}", file.display()),
            "Check the name, and that you may read it.",
        )),
    }
}

fn sample() -> Result<PathBuf, Failure> {
    let directory = env::var_os("IOTDEC_SAMPLES").map_or_else(
        || iotdec_bridge::manifest::data_directory().join("samples"),
        PathBuf::from,
    );
    let file = directory.join(SAMPLE);
    if file.is_file() {
        Ok(file)
    } else {
        Err(Failure::new(
            format_args!("the sample clip {} is not there", file.display()),
            "Name a video file, or set IOTDEC_SAMPLES to the directory of the samples.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_can_be_read_are_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(resolve(Some(file.path())).unwrap(), file.path());
        assert!(resolve(Some(Path::new("/"))).is_err());
        assert!(resolve(Some(Path::new("/nonexistent/clip.264"))).is_err());
    }
}

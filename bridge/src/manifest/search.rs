//! Where manifests are found.

use super::{Manifest, ManifestError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

/// Directories that are searched before all others, separated by colons.
pub const PATH_VARIABLE: &str = "IOTDEC_DECODER_PATH";

/// Where the distribution's package keeps manifests and, if any, a sysroot.
pub fn data_directory() -> PathBuf {
    option_env!("IOTDEC_DATADIR")
        .unwrap_or("/usr/local/share/iotdec")
        .into()
}

/// The directories that hold manifests, the most particular first.
pub fn search_path() -> Vec<PathBuf> {
    let listed = env::var_os(PATH_VARIABLE).unwrap_or_default();
    let user = env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".local/share")));
    env::split_paths(&listed)
        .chain(user.map(|data| data.join("iotdec/decoders")))
        .chain([data_directory().join("decoders")])
        .filter(|directory| !directory.as_os_str().is_empty())
        .collect()
}

/// Every manifest on the search path, sorted by name, and what was wrong with
/// the others. Of two with one name, the one in the earlier directory counts.
pub fn discover() -> (Vec<Manifest>, Vec<ManifestError>) {
    let (mut found, mut errors) = (BTreeMap::<String, Manifest>::new(), Vec::new());
    for directory in search_path() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue; // Directories on the path need not exist.
        };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|e| e == "toml"));
        files.sort();
        for file in files {
            let manifests = Manifest::read(&file).unwrap_or_else(|error| {
                errors.push(error);
                Vec::new()
            });
            for manifest in manifests {
                match found.get(&manifest.name) {
                    // Who put it there cannot have wanted both.
                    Some(other) if other.file.parent() == file.parent() => {
                        errors.push(ManifestError::Duplicate {
                            line: manifest.lines.name,
                            other: other.file.clone(),
                            file: file.clone(),
                        });
                    }
                    // That is how a user replaces one.
                    Some(_) => {}
                    None => drop(found.insert(manifest.name.clone(), manifest)),
                }
            }
        }
    }
    (found.into_values().collect(), errors)
}

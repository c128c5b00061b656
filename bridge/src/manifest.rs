//! Decoder manifests: small TOML files, one per decoder, found on a search path.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

/// Directories that are searched before all others, separated by colons.
pub const PATH_VARIABLE: &str = "IOTDEC_DECODER_PATH";

/// One decoder: which library, how to talk to it, and what it decodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Names the element `iotdec_<name>`: lower-case letters, digits, `_`.
    pub name: String,
    /// For people, as `gst-inspect-1.0` shows it.
    pub long_name: String,
    /// The worker's adapter that knows this library's interface.
    pub adapter: String,
    /// A file name to look up in the sysroot, or a path (relative ones start at
    /// the manifest).
    pub library: PathBuf,
    /// Input caps in GStreamer's notation.
    pub caps: String,
    /// Autoplugging rank.
    #[serde(default)]
    pub rank: Rank,
    /// Sysroot to run in, instead of the default one: a path (relative ones start
    /// at the manifest) or a name, see [`crate::launch::find_sysroot`].
    pub sysroot: Option<PathBuf>,
    /// QEMU CPU model, instead of the one chosen from the library's code.
    pub cpu: Option<String>,
    /// Handed to the adapter as they are.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// The file this was read from.
    #[serde(skip)]
    pub file: PathBuf,
}

/// GStreamer's autoplugging rank, by name or number.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Rank {
    /// One of GStreamer's names.
    Named(RankName),
    /// Any number.
    Number(u16),
}

/// GStreamer's names for ranks (gstpluginfeature.h).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RankName {
    /// Never chosen automatically.
    None = 0,
    /// Chosen where nothing better exists.
    Marginal = 64,
    /// Chosen before marginal ones.
    Secondary = 128,
    /// Chosen first.
    Primary = 256,
}

impl Default for Rank {
    /// Below native decoders: emulation is the slower way.
    fn default() -> Self {
        Self::Named(RankName::Marginal)
    }
}

impl Rank {
    /// GStreamer's number.
    pub fn number(self) -> u16 {
        match self {
            Self::Named(name) => name as u16,
            Self::Number(number) => number,
        }
    }
}

/// Why a manifest is not used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Unreadable {
        /// The manifest.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not a manifest; the message names the line.
    #[error("{file}: {source}")]
    Syntax {
        /// The manifest.
        file: PathBuf,
        /// Line and reason.
        source: Box<toml::de::Error>,
    },
    /// The name cannot become an element's name.
    #[error("{file}: name {name:?} must consist of lower-case letters, digits and _")]
    Name {
        /// The manifest.
        file: PathBuf,
        /// The name in it.
        name: String,
    },
}

impl Manifest {
    /// Reads one manifest.
    pub fn read(file: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(file).map_err(|source| ManifestError::Unreadable {
            file: file.into(),
            source,
        })?;
        let mut manifest: Self = toml::from_str(&text).map_err(|source| ManifestError::Syntax {
            file: file.into(),
            source: source.into(),
        })?;
        manifest.file = file.into();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if manifest.name.is_empty() || !manifest.name.chars().all(allowed) {
            let (file, name) = (file.into(), manifest.name);
            return Err(ManifestError::Name { file, name });
        }
        Ok(manifest)
    }

    /// The sysroot it asks for: a name, or where the path leads.
    pub fn sysroot(&self) -> Option<PathBuf> {
        self.sysroot.as_deref().map(|sysroot| self.beside(sysroot))
    }

    /// A path in the manifest starts at the manifest; a name stays as it is.
    pub fn beside(&self, path: &Path) -> PathBuf {
        let is_name = path.file_name() == Some(path.as_os_str());
        match self.file.parent() {
            Some(directory) if !is_name => directory.join(path),
            _ => path.into(),
        }
    }

    /// The name of its element.
    pub fn element_name(&self) -> String {
        format!("iotdec_{}", self.name)
    }
}

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
    let (mut found, mut errors) = (BTreeMap::new(), Vec::new());
    for directory in search_path() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue; // Directories on the path need not exist.
        };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|e| e == "toml"));
        files.sort();
        for file in files {
            match Manifest::read(&file) {
                Ok(manifest) => drop(found.entry(manifest.name.clone()).or_insert(manifest)),
                Err(error) => errors.push(error),
            }
        }
    }
    (found.into_values().collect(), errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, ManifestError> {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(&file, text).unwrap();
        Manifest::read(file.path())
    }

    const MINIMAL: &str = r#"
        name = "x"
        long-name = "X"
        adapter = "libde265"
        library = "libx.so"
        caps = "video/x-h265"
    "#;

    #[test]
    fn defaults_are_modest() {
        let manifest = read(MINIMAL).unwrap();
        assert_eq!(manifest.rank.number(), 64);
        assert_eq!(manifest.element_name(), "iotdec_x");
        assert!(manifest.options.is_empty());
    }

    #[test]
    fn ranks_are_names_or_numbers() {
        let rank = |rank: &str| {
            Ok::<_, ManifestError>(read(&format!("{MINIMAL}\nrank = {rank}"))?.rank.number())
        };
        assert_eq!(rank("\"primary\"").unwrap(), 256);
        assert_eq!(rank("300").unwrap(), 300);
        assert!(rank("\"best\"").is_err());
    }

    #[test]
    fn mistakes_are_located() {
        let error = read(&format!("{MINIMAL}\nlibary = 1"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("libary") && error.contains("line 8"),
            "{error}"
        );
        let error = read(&MINIMAL.replace("\"x\"", "\"X y\"")).unwrap_err();
        assert!(matches!(error, ManifestError::Name { .. }), "{error}");
    }
}

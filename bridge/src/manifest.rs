//! Decoder manifests: small TOML files, one per decoder or per library with many
//! decoders, found on a search path.

mod search;

use crate::accel::{Pattern, Wish};
pub use search::{PATH_VARIABLE, data_directory, discover, search_path};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Bytes that a manifest may have. What is larger is none, and would only take time
/// from every GStreamer program that starts.
const MOST_BYTES: u64 = 64 << 10;
/// Letters that a name may have; elements' names are read by people.
const LONGEST_NAME: usize = 64;

/// One decoder: which library, how to talk to it, and what it decodes.
#[derive(Clone, Debug)]
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
    pub rank: Rank,
    /// Sysroot to run in, instead of the default one: a path (relative ones start
    /// at the manifest) or a name, see [`crate::launch::find_sysroot`].
    pub sysroot: Option<PathBuf>,
    /// QEMU CPU model, instead of the one chosen from the library's code.
    pub cpu: Option<String>,
    /// How much of the accelerator to use, instead of as much as there is.
    pub accel: Option<Wish>,
    /// Native functions to use, instead of those that pay.
    pub native: Option<Vec<Pattern>>,
    /// A directory of `iotdec wrap --direction guest-to-host`: libraries that the host does;
    /// a relative path starts at the manifest.
    pub native_libraries: Option<PathBuf>,
    /// Where those of the host may run.
    pub native_libraries_in: Place,
    /// Handed to the adapter as they are.
    pub options: BTreeMap<String, String>,
    /// The file this was read from.
    pub file: PathBuf,
    /// Where in it things are.
    pub lines: Lines,
}

/// Lines of a manifest, counted from 1, for messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Of the name.
    pub name: usize,
    /// Of the caps.
    pub caps: usize,
}

/// A manifest's file: a decoder's keys, or those that its `[[decoder]]` tables share.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Keys {
    name: Option<Spanned<String>>,
    long_name: Option<String>,
    adapter: Option<String>,
    library: Option<PathBuf>,
    caps: Option<Spanned<String>>,
    rank: Option<Rank>,
    sysroot: Option<PathBuf>,
    cpu: Option<String>,
    accel: Option<Wish>,
    native: Option<Vec<Pattern>>,
    native_libraries: Option<PathBuf>,
    native_libraries_in: Option<Place>,
    options: BTreeMap<String, String>,
    decoder: Vec<Spanned<Keys>>,
}

impl Keys {
    /// The decoder that these keys describe together with the shared ones; the name
    /// of the first key that is missing, if one is.
    fn complete(
        self,
        shared: &Self,
        (file, text): (&Path, &str),
    ) -> Result<Manifest, &'static str> {
        let line = |value: &Spanned<String>| line_of(text, value.span().start);
        let name = self.name.or(shared.name.clone()).ok_or("name")?;
        let caps = self.caps.or(shared.caps.clone()).ok_or("caps")?;
        let lines = Lines {
            name: line(&name),
            caps: line(&caps),
        };
        let mut options = shared.options.clone();
        options.extend(self.options);
        Ok(Manifest {
            name: name.into_inner(),
            long_name: self
                .long_name
                .or(shared.long_name.clone())
                .ok_or("long-name")?,
            adapter: self.adapter.or(shared.adapter.clone()).ok_or("adapter")?,
            library: self.library.or(shared.library.clone()).ok_or("library")?,
            caps: caps.into_inner(),
            rank: self.rank.or(shared.rank).unwrap_or_default(),
            sysroot: self.sysroot.or(shared.sysroot.clone()),
            cpu: self.cpu.or(shared.cpu.clone()),
            accel: self.accel.or(shared.accel),
            native: self.native.or(shared.native.clone()),
            native_libraries: self.native_libraries.or(shared.native_libraries.clone()),
            native_libraries_in: self
                .native_libraries_in
                .or(shared.native_libraries_in)
                .unwrap_or_default(),
            options,
            file: file.into(),
            lines,
        })
    }
}

/// Where the host's libraries may run that do functions for the guest.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the emulator's process, by the accelerator. The guest has no more power there
    /// than it has anyway.
    #[default]
    Emulator,
    /// In the program as well, where there is no accelerator: libraries of the host then work
    /// there on data of the guest's choice.
    Program,
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
    /// A decoder without a key that it needs.
    #[error("{file}: the decoder at line {line} has no {key}")]
    Incomplete {
        /// The manifest.
        file: PathBuf,
        /// Where the decoder's table begins, from 1.
        line: usize,
        /// What is missing.
        key: &'static str,
    },
    /// A value that cannot be used.
    #[error("{}, line {line}: {text}", file.display())]
    Value {
        /// The manifest.
        file: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong.
        text: String,
    },
    /// Its directory has another of that name, which counts.
    #[error(
        "{}, line {line}: {} has a decoder of that name already",
        file.display(),
        other.display()
    )]
    Duplicate {
        /// The manifest.
        file: PathBuf,
        /// Where its name is.
        line: usize,
        /// The other one.
        other: PathBuf,
    },
}

impl Manifest {
    /// Reads a file: one decoder, or several.
    pub fn read(file: &Path) -> Result<Vec<Self>, ManifestError> {
        let text = read(file)?;
        let mut shared: Keys = toml::from_str(&text).map_err(|source| ManifestError::Syntax {
            file: file.into(),
            source: source.into(),
        })?;
        let decoders = std::mem::take(&mut shared.decoder);
        let tables: Vec<_> = match decoders.is_empty() {
            true => vec![(1, Keys::default())],
            false => {
                let line = |table: &Spanned<Keys>| line_of(&text, table.span().start);
                let tables = decoders.into_iter();
                tables
                    .map(|table| (line(&table), table.into_inner()))
                    .collect()
            }
        };
        let complete = |(line, keys): (usize, Keys)| {
            let manifest =
                keys.complete(&shared, (file, &text))
                    .map_err(|key| ManifestError::Incomplete {
                        file: file.into(),
                        line,
                        key,
                    })?;
            manifest.check()
        };
        tables.into_iter().map(complete).collect()
    }

    fn check(self) -> Result<Self, ManifestError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let name = &self.name;
        if (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(allowed) {
            return Ok(self);
        }
        let name: String = name.chars().take(LONGEST_NAME).collect();
        Err(ManifestError::Value {
            file: self.file,
            line: self.lines.name,
            text: format!(
                "name {name:?} must consist of 1 to {LONGEST_NAME} lower-case letters, digits \
                 and _"
            ),
        })
    }

    /// The sysroot it asks for: a name, or where the path leads.
    pub fn sysroot(&self) -> Option<PathBuf> {
        self.sysroot.as_deref().map(|sysroot| self.beside(sysroot))
    }

    /// Where libraries are that the host does.
    pub fn native_libraries(&self) -> Option<PathBuf> {
        let directory = self.native_libraries.as_deref()?;
        let start = self.file.parent().unwrap_or(Path::new("."));
        Some(start.join(directory))
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

/// The text of a manifest. A regular file: to open a pipe would wait for a writer.
fn read(file: &Path) -> Result<String, ManifestError> {
    let unreadable = |source| ManifestError::Unreadable {
        file: file.into(),
        source,
    };
    let refused = |line, text: &str| ManifestError::Value {
        file: file.into(),
        line,
        text: text.to_owned(),
    };
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("not a file")));
    }
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    let all = opened.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    if all.map_err(unreadable)? as u64 > MOST_BYTES {
        return Err(refused(1, "not a manifest: more than 64 KiB"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        refused(line, "not UTF-8")
    })
}

/// In which line a byte of a text is, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, ManifestError> {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(&file, text).unwrap();
        let mut manifests = Manifest::read(file.path())?;
        assert_eq!(manifests.len(), 1);
        Ok(manifests.remove(0))
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
    fn the_accelerator_is_chosen_by_word_and_function() {
        let manifest = read(MINIMAL).unwrap();
        assert_eq!((manifest.accel, manifest.native), (None, None));
        let text = format!("{MINIMAL}\naccel = \"native\"\nnative = [\"mem*\", \"strlen\"]");
        let manifest = read(&text).unwrap();
        assert_eq!(manifest.accel, Some(Wish::Native));
        let native = manifest.native.unwrap();
        let names: Vec<_> = native.iter().map(AsRef::as_ref).collect();
        assert_eq!(names, ["mem*", "strlen"]);
        let none = read(&format!("{MINIMAL}\nnative = []")).unwrap();
        assert_eq!(none.native, Some(vec![]));
        for wrong in ["accel = \"fast\"", "native = [\"a,b\"]", "native = [\"\"]"] {
            let error = read(&format!("{MINIMAL}\n{wrong}")).unwrap_err();
            assert!(error.to_string().contains("line 8"), "{error}");
        }
    }

    #[test]
    fn libraries_of_the_host_start_at_the_manifest() {
        let manifest = read(MINIMAL).unwrap();
        assert_eq!(manifest.native_libraries(), None);
        assert_eq!(manifest.native_libraries_in, Place::Emulator);
        let text =
            format!("{MINIMAL}\nnative-libraries = \"zlib\"\nnative-libraries-in = \"program\"");
        let manifest = read(&text).unwrap();
        let beside = manifest.file.with_file_name("zlib");
        assert_eq!(manifest.native_libraries(), Some(beside));
        assert_eq!(manifest.native_libraries_in, Place::Program);
        assert!(read(&format!("{MINIMAL}\nnative-libraries-in = \"guest\"")).is_err());
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
        assert!(
            error.to_string().contains("line 2: name \"X y\""),
            "{error}"
        );
        let long = read(&MINIMAL.replace("\"x\"", &format!("\"{}\"", "x".repeat(65))));
        assert!(long.unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn what_is_no_text_is_no_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.toml");
        let error = |content: &[u8]| {
            std::fs::write(&file, content).unwrap();
            Manifest::read(&file).unwrap_err().to_string()
        };
        let latin = error(b"name = \"x\"\nlong-name = \"Caf\xe9\"\n");
        assert!(latin.ends_with("x.toml, line 2: not UTF-8"), "{latin}");
        let huge = error(&vec![b'#'; 1 << 20]);
        assert!(huge.contains("64 KiB"), "{huge}");
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        let error = Manifest::read(&file).unwrap_err().to_string();
        assert!(error.ends_with("not a file"), "{error}");
    }

    #[test]
    fn a_file_may_hold_several_decoders() {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        let text = r#"
            adapter = "libx"
            library = "libx.so"
            rank = "none"
            options = { threads = "1", codec = "?" }
            [[decoder]]
            name = "x_one"
            long-name = "One"
            caps = "video/x-one"
            options = { codec = "one" }
            [[decoder]]
            name = "x_two"
            long-name = "Two"
            caps = "video/x-two"
            rank = "marginal"
        "#;
        std::fs::write(&file, text).unwrap();
        let [one, two] = &Manifest::read(file.path()).unwrap()[..] else {
            panic!("two decoders");
        };
        assert_eq!(
            (one.element_name().as_str(), one.rank.number()),
            ("iotdec_x_one", 0)
        );
        assert_eq!(
            (
                one.options["codec"].as_str(),
                one.options["threads"].as_str()
            ),
            ("one", "1")
        );
        assert_eq!(
            (two.library.as_path(), two.rank.number()),
            (Path::new("libx.so"), 64)
        );
        std::fs::write(&file, text.replace("caps = \"video/x-two\"", "")).unwrap();
        let error = Manifest::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("line 11 has no caps"), "{error}");
        std::fs::write(&file, text.replace("rank = \"marginal\"", "rang = 1")).unwrap();
        let error = Manifest::read(file.path()).unwrap_err().to_string();
        assert!(
            error.contains("rang") && error.contains("line 15"),
            "{error}"
        );
    }
}

//! What an aarch64 library is, read from its ELF file before anything runs: its
//! machine, what it needs, and which CPU model suits it.

use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, ReadCache, ReadRef};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

/// Where a glibc or musl system keeps its libraries, below the sysroot.
pub const LIBRARY_DIRECTORIES: [&str; 6] = [
    "lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
];

/// Why a file cannot serve as an aarch64 library.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// No such file.
    #[error(
        "library {0} does not exist; check the path, or install its arm64 package into the sysroot"
    )]
    Missing(PathBuf),
    /// It exists but cannot be read.
    #[error("cannot read library {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Some other kind of file.
    #[error("{0} is not an ELF shared library; give the path of an aarch64 .so file")]
    NotElf(PathBuf),
    /// An ELF file for something else.
    #[error(
        "library {path} is for {machine}, not for aarch64; a native build of it needs no iotdec"
    )]
    WrongMachine {
        /// The file.
        path: PathBuf,
        /// What it was built for.
        machine: String,
    },
    /// ELF and aarch64, but an executable or an object file.
    #[error("{0} is an ELF file but not a shared library")]
    NotShared(PathBuf),
    /// Something it needs is nowhere to be found.
    #[error(
        "{dependency}, which {needed_by} needs, is not in sysroot {sysroot} nor beside the library; \
         install its arm64 package there, or put the file beside the library"
    )]
    DependencyMissing {
        /// The missing library's name.
        dependency: String,
        /// Who asks for it.
        needed_by: PathBuf,
        /// Where it was looked for.
        sysroot: PathBuf,
    },
}

/// The facts about one library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Library {
    /// DT_NEEDED entries, in order.
    pub needed: Vec<String>,
    /// DT_RUNPATH or DT_RPATH directories, `$ORIGIN` not yet replaced.
    pub run_path: Vec<String>,
    /// It executes instructions that exist only with pointer authentication.
    pub requires_pac: bool,
    /// It contains SVE instructions.
    pub contains_sve: bool,
    /// It contains instructions that came after Armv8.0, such as atomics (LSE).
    pub contains_newer: bool,
    /// It asks the kernel which features there are, and so can do without.
    pub asks_for_features: bool,
}

/// What code cannot do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Pointer authentication.
    pub pac: bool,
    /// SVE.
    pub sve: bool,
    /// Instructions of Armv8.1 or later.
    pub newer: bool,
}

impl Library {
    /// Reads a library's headers and code.
    pub fn inspect(path: &Path) -> Result<Self, LibraryError> {
        let data = std::fs::read(path).map_err(|source| unreadable(path, source))?;
        let (mut library, file) = Self::parse(path, &*data)?;
        // The one with underscores is what compilers' own helpers for atomics ask.
        library.asks_for_features = file.dynamic_symbols().any(|symbol| {
            symbol.is_undefined() && matches!(symbol.name(), Ok("getauxval" | "__getauxval"))
        });
        library.scan_code(&file);
        Ok(library)
    }

    /// Reads only what a library needs: a hundred of them take no time.
    fn read_headers(path: &Path) -> Result<Self, LibraryError> {
        let file = std::fs::File::open(path).map_err(|source| unreadable(path, source))?;
        let cache = ReadCache::new(file);
        Self::parse(path, &cache).map(|(library, _)| library)
    }

    fn parse<'a, R: ReadRef<'a>>(
        path: &Path,
        data: R,
    ) -> Result<(Self, ElfFile64<'a, Endianness, R>), LibraryError> {
        let not_elf = |_| LibraryError::NotElf(path.into());
        if let Some(machine) = foreign_machine(data) {
            let path = path.into();
            return Err(LibraryError::WrongMachine { path, machine });
        }
        let file = ElfFile64::<Endianness, R>::parse(data).map_err(not_elf)?;
        if file.elf_header().e_type(Endianness::Little) != elf::ET_DYN {
            return Err(LibraryError::NotShared(path.into()));
        }
        let mut library = Self::default();
        library.read_dynamic(&file).map_err(not_elf)?;
        Ok((library, file))
    }

    fn read_dynamic<'a, R: ReadRef<'a>>(
        &mut self,
        file: &ElfFile64<'a, Endianness, R>,
    ) -> object::Result<()> {
        let table = file.elf_dynamic_table()?;
        for entry in &table {
            let text = || {
                let name = table.string(entry).unwrap_or_default();
                String::from_utf8_lossy(name).into_owned()
            };
            match entry.tag {
                elf::DT_NEEDED => self.needed.push(text()),
                elf::DT_RUNPATH | elf::DT_RPATH => {
                    self.run_path.extend(text().split(':').map(str::to_owned));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks for instructions that not every CPU model has. Constants between the
    /// instructions can look like one, so a few are not believed; but a single one that
    /// Armv8.0 lacks is: it costs turbo if it is wrong, and the worker if it is right.
    fn scan_code(&mut self, file: &ElfFile64<'_, Endianness>) {
        const BELIEVED: usize = 16;
        let (mut pac, mut sve, mut newer) = (0, 0, 0);
        for code in code(file) {
            for word in code.chunks_exact(4) {
                let word = u32::from_le_bytes(word.try_into().expect("4 bytes"));
                pac += usize::from(is_pac_only(word));
                sve += usize::from(is_sve(word));
                newer += usize::from(is_newer(word));
            }
        }
        self.requires_pac = pac >= BELIEVED;
        self.contains_sve = sve >= BELIEVED;
        self.contains_newer = newer > 0;
    }

    /// What it cannot do without.
    pub fn needs(&self) -> Needs {
        Needs {
            pac: self.requires_pac,
            sve: self.contains_sve && !self.asks_for_features,
            newer: self.contains_newer && !self.asks_for_features,
        }
    }
}

impl Needs {
    /// What two libraries in one process need.
    pub fn and(self, other: Self) -> Self {
        Self {
            pac: self.pac | other.pac,
            sve: self.sve | other.sve,
            newer: self.newer | other.newer,
        }
    }

    /// The QEMU CPU model that runs the code at the least cost.
    ///
    /// Neither PAC nor SVE unless they are needed: QEMU 7.2 computes a pointer's
    /// signature with a block cipher, 800 to 990 ns per call of a function that
    /// signs its return address; on a model without PAC the same instructions are
    /// hints and cost nothing (measured).
    pub fn cpu_model(self) -> &'static str {
        match (self.pac, self.sve) {
            (false, false) => "cortex-a76",
            (true, false) => "max,sve=off,pauth-impdef=on",
            (false, true) => "max,pauth=off",
            (true, true) => "max,pauth-impdef=on",
        }
    }

    /// What of it a processor of Armv8.0 lacks.
    pub fn beyond_armv8_0(self) -> Option<&'static str> {
        match self {
            Self { pac: true, .. } => Some("pointer authentication"),
            Self { sve: true, .. } => Some("SVE"),
            Self { newer: true, .. } => Some("instructions of Armv8.1 or later"),
            _ => None,
        }
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> LibraryError {
    let path = path.into();
    match source.kind() {
        std::io::ErrorKind::NotFound => LibraryError::Missing(path),
        _ => LibraryError::Unreadable { path, source },
    }
}

/// The bytes that are instructions: the executable sections, or, where the vendor
/// stripped the section headers, the executable segments, in which linkers often put
/// constants too.
fn code<'a>(file: &ElfFile64<'a, Endianness>) -> Vec<&'a [u8]> {
    let endian = Endianness::Little;
    let sections = file.sections().filter(|section| {
        let flags = section.elf_section_header().sh_flags(endian);
        flags.contains(elf::SHF_EXECINSTR)
    });
    let sections: Vec<_> = sections.filter_map(|section| section.data().ok()).collect();
    if !sections.is_empty() {
        return sections;
    }
    let segments = file.elf_program_headers().iter().filter(|header| {
        header.p_type(endian) == elf::PT_LOAD && header.p_flags(endian).contains(elf::PF_X)
    });
    segments
        .filter_map(|header| header.data(endian, file.data()).ok())
        .collect()
}

/// RETAA and RETAB, and the BRAA and BLRAA family: undefined without FEAT_PAuth,
/// unlike PACIASP and AUTIASP, which are hints (Arm ARM, C4.1 and C6.2).
fn is_pac_only(word: u32) -> bool {
    matches!(word, 0xd65f_0bff | 0xd65f_0fff) || word & 0xfedf_f800 == 0xd61f_0800
}

/// The SVE encoding group: op0 = 0b0010 (Arm ARM, C4.1).
fn is_sve(word: u32) -> bool {
    word >> 25 & 0xf == 0b0010 && word >> 29 != 0
}

/// Atomics and LDAPR (LSE, RCpc), compare-and-swap (LSE), and the vector groups of
/// rounding doubling multiplications, dot products and complex numbers, and of
/// half-precision arithmetic (Arm ARM, C4.1): undefined before Armv8.1.
fn is_newer(word: u32) -> bool {
    word & 0x3b20_0c00 == 0x3820_0000
        || word & 0x3fa0_7c00 == 0x08a0_7c00
        || word & 0x9f20_8400 == 0x0e00_8400
        || word & 0x9f60_c400 == 0x0e40_0400
}

/// What an ELF file was built for, if that is not 64-bit little-endian aarch64.
fn foreign_machine<'a>(data: impl ReadRef<'a>) -> Option<String> {
    let data = data.read_bytes_at(0, 20).ok()?;
    if data[..4] != elf::ELFMAG {
        return None;
    }
    let (class, order) = (elf::FileClass(data[4]), elf::DataEncoding(data[5]));
    let machine = match order {
        elf::ELFDATA2MSB => u16::from_be_bytes([data[18], data[19]]),
        _ => u16::from_le_bytes([data[18], data[19]]),
    };
    let bits = if class == elf::ELFCLASS64 { 64 } else { 32 };
    let name = match elf::Machine(machine) {
        elf::EM_AARCH64 if (class, order) == (elf::ELFCLASS64, elf::ELFDATA2LSB) => return None,
        elf::EM_AARCH64 => "aarch64 in another ABI",
        elf::EM_X86_64 => "x86-64 (amd64)",
        elf::EM_386 => "i386",
        elf::EM_ARM => "32-bit ARM",
        elf::EM_MIPS => "MIPS",
        elf::EM_RISCV => "RISC-V",
        elf::EM_PPC64 => "PowerPC",
        elf::EM_XTENSA => "Xtensa",
        _ => return Some(format!("{bits}-bit ELF machine {machine}")),
    };
    Some(name.to_owned())
}

/// Looks up a library by file name in the sysroot.
pub fn find_in_sysroot(sysroot: &Path, name: &str) -> Option<PathBuf> {
    LIBRARY_DIRECTORIES
        .iter()
        .map(|directory| sysroot.join(directory).join(name))
        .find(|path| path.exists())
}

/// What a library needs of the processor, itself and what comes with it; it is there with
/// everything it depends on. What it has of the sysroot is not looked at: a system's libraries
/// know each other's processor.
pub fn needs(library: &Path, sysroot: &Path) -> Result<Needs, LibraryError> {
    let inspected = Library::inspect(library)?;
    let others = resolve_dependencies(library, &inspected, sysroot)?;
    let mut needs = inspected.needs();
    for other in others.values().filter(|path| !path.starts_with(sysroot)) {
        needs = needs.and(Library::inspect(other)?.needs());
    }
    Ok(needs)
}

/// Walks everything the library needs, as the guest's dynamic linker will, and
/// says what is missing. Returns the files found, by name.
pub fn resolve_dependencies(
    path: &Path,
    library: &Library,
    sysroot: &Path,
) -> Result<BTreeMap<String, PathBuf>, LibraryError> {
    let beside = path.parent().unwrap_or(Path::new("."));
    let mut found = BTreeMap::new();
    let mut queue = VecDeque::from([(path.to_path_buf(), library.clone())]);
    while let Some((needed_by, library)) = queue.pop_front() {
        let origin = needed_by.parent().unwrap_or(Path::new("."));
        for name in &library.needed {
            if found.contains_key(name) {
                continue;
            }
            let run_path = library.run_path.iter().map(|directory| {
                let directory = directory.replace("$ORIGIN", &origin.to_string_lossy());
                PathBuf::from(directory).join(name)
            });
            let dependency = run_path
                .chain([beside.join(name)])
                .find(|path| path.exists())
                .or_else(|| find_in_sysroot(sysroot, name))
                .ok_or_else(|| LibraryError::DependencyMissing {
                    dependency: name.clone(),
                    needed_by: needed_by.clone(),
                    sysroot: sysroot.into(),
                })?;
            let headers = Library::read_headers(&dependency)?;
            found.insert(name.clone(), dependency.clone());
            queue.push_back((dependency, headers));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_apart() {
        assert!(is_pac_only(0xd65f_0bff), "retaa");
        assert!(is_pac_only(0xd73f_0821), "blraa x1, x1");
        assert!(!is_pac_only(0xd503_233f), "paciasp is a hint");
        assert!(!is_pac_only(0xd65f_03c0), "ret");
        assert!(is_sve(0x0420_e3e0) || is_sve(0x2518_e3e0), "cntb or ptrue");
        assert!(!is_sve(0x4e20_1c00), "and v0.16b is NEON");
        assert!(!is_sve(0), "zero padding");
        assert!(is_newer(0xb820_0020), "ldadd w0, w0, [x1]");
        assert!(is_newer(0xb8bf_c020), "ldapr w0, [x1]");
        assert!(is_newer(0x88a0_7c41), "cas w0, w1, [x2]");
        assert!(is_newer(0x4e82_9420), "sdot v0.4s, v1.16b, v2.16b");
        assert!(is_newer(0x6e82_8420), "sqrdmlah v0.4s, v1.4s, v2.4s");
        assert!(is_newer(0x4e42_1420), "fadd v0.8h, v1.8h, v2.8h");
        assert!(!is_newer(0xb862_7820), "ldr w0, [x1, x2, lsl #2]");
        assert!(!is_newer(0x885f_fc20), "ldaxr w0, [x1]");
        assert!(!is_newer(0x4e22_8420), "add v0.16b, v1.16b, v2.16b");
        assert!(!is_newer(0x4e22_d420), "fadd v0.4s, v1.4s, v2.4s");
        assert!(!is_newer(0x4e02_0420), "dup v0.8h, v1.h[0]");
    }

    #[test]
    fn the_model_follows_the_code() {
        let needs = |requires_pac, contains_sve, asks_for_features| {
            let library = Library {
                requires_pac,
                contains_sve,
                asks_for_features,
                ..Library::default()
            };
            library.needs()
        };
        assert_eq!(needs(false, false, false).cpu_model(), "cortex-a76");
        assert_eq!(needs(false, true, true).cpu_model(), "cortex-a76");
        assert_eq!(needs(false, true, false).cpu_model(), "max,pauth=off");
        assert!(needs(true, false, false).cpu_model().contains("sve=off"));
        assert_eq!(needs(false, true, true).beyond_armv8_0(), None);
        assert!(needs(true, false, true).beyond_armv8_0().is_some());
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        let exe = std::env::current_exe().unwrap();
        let error = Library::inspect(&exe).unwrap_err().to_string();
        assert!(error.contains("x86-64"), "{error}");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = Library::inspect(&source).unwrap_err();
        assert!(matches!(error, LibraryError::NotElf(_)), "{error}");
        let error = Library::inspect(Path::new("/nonexistent.so")).unwrap_err();
        assert!(matches!(error, LibraryError::Missing(_)), "{error}");
    }
}

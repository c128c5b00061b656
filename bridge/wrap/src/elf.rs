//! What a library exports, read from its ELF file.

use crate::Error;
use object::elf::{FileHeader64, STT_FUNC, STT_GNU_IFUNC};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Rela, SectionHeader, Sym};
use object::{Endianness, elf};
use std::collections::BTreeMap;
use std::path::Path;

/// The dynamic side of a library.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    /// Its SONAME.
    pub name: String,
    /// Functions it defines, each with the version it is exported under.
    pub functions: BTreeMap<String, Option<String>>,
    /// Variables it defines.
    pub variables: BTreeMap<String, Variable>,
}

/// A variable as it lies in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// The version that it is exported under.
    pub version: Option<String>,
    /// What it holds before anything runs; zero where the dynamic linker writes something.
    pub contents: Vec<u8>,
    /// What its address is a multiple of.
    pub alignment: u64,
    /// Whether nobody can write there.
    pub is_constant: bool,
    /// Whether the dynamic linker writes something there: addresses.
    pub is_relocated: bool,
    /// Whether each thread has its own.
    pub is_thread_local: bool,
}

/// Larger ones are not read.
const MAX_VARIABLE: u64 = 16 << 20;

/// Reads an aarch64 library.
///
/// # Errors
/// It cannot be read, is no aarch64 library, or has no SONAME.
pub fn exports(library: &Path) -> Result<Exports, Error> {
    let wrong = |what: String| Error::Library {
        library: library.to_owned(),
        what,
    };
    let data = std::fs::read(library).map_err(|error| wrong(error.to_string()))?;
    read(&data).map_err(|error| wrong(error.to_string()))
}

fn read(data: &[u8]) -> Result<Exports, Box<dyn std::error::Error>> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    if header.e_machine(endian) != elf::EM_AARCH64 || header.e_type(endian) != elf::ET_DYN {
        return Err("not an aarch64 shared library".into());
    }
    let sections = header.sections(endian, data)?;
    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM)?;
    let versions = sections.versions(endian, data)?;
    let mut exports = Exports::default();
    if let Some((dynamic, strings)) = sections.dynamic(endian, data)? {
        let strings = sections.strings(endian, data, strings)?;
        for entry in dynamic {
            if entry.tag(endian) == elf::DT_SONAME {
                exports.name = String::from_utf8(entry.string(endian, strings)?.to_vec())?;
            }
        }
    }
    if exports.name.is_empty() {
        return Err("it has no SONAME".into());
    }
    let file = File {
        data,
        endian,
        header,
        relocated: relocated(header, endian, data)?,
    };
    for (index, symbol) in symbols.enumerate() {
        let is_own = symbol.is_definition(endian, symbols.strings())
            || (symbol.st_type() == elf::STT_TLS && !symbol.is_undefined(endian));
        if !is_own || symbol.is_local() {
            continue;
        }
        let name = String::from_utf8(symbol.name(endian, symbols.strings())?.to_vec())?;
        let mut version = None;
        if let Some(versions) = &versions {
            let index = versions.version_index(endian, index);
            if let Some(found) = versions.version(index.index())? {
                version = Some(String::from_utf8(found.name().to_vec())?);
            }
        }
        match symbol.st_type() {
            STT_FUNC | STT_GNU_IFUNC => {
                exports.functions.insert(name, version);
            }
            // The names of versions are exported as symbols too.
            elf::STT_OBJECT | elf::STT_TLS if version.as_deref() != Some(&name) => {
                let place = (symbol.st_value(endian), symbol.st_size(endian));
                let mut variable = file.variable(place)?;
                variable.is_thread_local = symbol.st_type() == elf::STT_TLS;
                variable.version = version;
                exports.variables.insert(name, variable);
            }
            _ => {}
        }
    }
    Ok(exports)
}

/// Sorted addresses, if they are known.
type Addresses = Option<Vec<u64>>;

/// Where the dynamic linker writes; none if that is packed in a way that is not read here.
fn relocated(
    header: &FileHeader64<Endianness>,
    endian: Endianness,
    data: &[u8],
) -> Result<Addresses, Box<dyn std::error::Error>> {
    let mut addresses = Vec::new();
    for section in header.sections(endian, data)?.iter() {
        if section.sh_type(endian) == elf::SHT_RELR {
            return Ok(None);
        }
        if let Some((relocations, _)) = section.rela(endian, data)? {
            addresses.extend(relocations.iter().map(|it| it.r_offset(endian)));
        }
    }
    addresses.sort_unstable();
    Ok(Some(addresses))
}

/// What variables are read from.
struct File<'a> {
    data: &'a [u8],
    endian: Endianness,
    header: &'a FileHeader64<Endianness>,
    relocated: Addresses,
}

impl File<'_> {
    fn variable(&self, (start, size): (u64, u64)) -> Result<Variable, Box<dyn std::error::Error>> {
        if size > MAX_VARIABLE {
            return Err(format!("it exports a variable of {size} bytes").into());
        }
        let mut variable = Variable {
            contents: vec![0; size as usize],
            alignment: 1 << start.trailing_zeros().min(6),
            ..Variable::default()
        };
        let segments = self.header.program_headers(self.endian, self.data)?;
        let segment = segments.iter().find(|segment| {
            let first = segment.p_vaddr(self.endian);
            let is_there = first <= start && start - first < segment.p_memsz(self.endian);
            segment.p_type(self.endian) == elf::PT_LOAD && is_there
        });
        let Some(segment) = segment else {
            return Ok(variable);
        };
        variable.is_constant = (segment.p_flags(self.endian) & elf::PF_W).0 == 0;
        let bytes = segment.data(self.endian, self.data).unwrap_or_default();
        let from = (start - segment.p_vaddr(self.endian)) as usize;
        // What the file has no bytes for is zero.
        let there = bytes.get(from..).unwrap_or_default();
        let count = there.len().min(variable.contents.len());
        variable.contents[..count].copy_from_slice(&there[..count]);
        let Some(relocated) = &self.relocated else {
            variable.is_relocated = !variable.is_constant && size >= 8;
            return Ok(variable);
        };
        let first = relocated.partition_point(|at| *at < start);
        for at in relocated[first..]
            .iter()
            .take_while(|at| **at - start < size)
        {
            variable.is_relocated = true;
            let at = (at - start) as usize;
            let end = variable.contents.len().min(at + 8);
            variable.contents[at..end].fill(0);
        }
        Ok(variable)
    }
}

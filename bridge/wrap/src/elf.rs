//! What a library exports, read from its ELF file.

use crate::Error;
use object::elf::{FileHeader64, STT_FUNC, STT_GNU_IFUNC};
use object::read::elf::{Dyn, FileHeader, Sym};
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
    pub variables: Vec<String>,
}

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
    for (index, symbol) in symbols.enumerate() {
        if !symbol.is_definition(endian, symbols.strings()) || symbol.is_local() {
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
                exports.variables.push(name);
            }
            _ => {}
        }
    }
    Ok(exports)
}

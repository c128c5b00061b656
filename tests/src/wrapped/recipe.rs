//! What is tested of a library and how, as `tests/wrapped/*.toml` say it. README.md
//! beside them explains the keys.

use super::Material;
use crate::environment::root;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How the tests of a library are compiled and run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The file's name without its end.
    #[serde(skip)]
    pub name: String,
    /// The SONAME; a line of setup/sysroot-libraries.txt begins with it.
    pub library: String,
    /// The headers that are wrapped, below the directory of headers; `*` as in tests.
    pub headers: Vec<String>,
    /// Options that every program is compiled with. `$SRC` is the upstream's source,
    /// `$INC` the directory of headers, `$TO` that of the programs.
    #[serde(default)]
    pub options: Vec<String>,
    /// Files that the upstream's configure would have made; found by `#include`.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Tests that pass with the wrapper, as they must from then on.
    #[serde(default)]
    pub wrapped: Vec<String>,
    /// Programs that tests use besides their own.
    #[serde(default, rename = "program")]
    pub programs: Vec<Program>,
    /// The tests.
    #[serde(rename = "test")]
    pub tests: Vec<Test>,
    /// Tests that the upstream has and that cannot be run so, with the reason.
    #[serde(default)]
    pub unrunnable: BTreeMap<String, String>,
}

/// A program out of the upstream's source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its name; that of the first source if it is not given.
    #[serde(default)]
    pub name: String,
    /// Below the upstream's source.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Options for this program.
    #[serde(default)]
    pub options: Vec<String>,
    /// Further libraries, by SONAME: native ones, always.
    #[serde(default)]
    pub links: Vec<String>,
    /// What a shell does before, in the directory of the programs.
    #[serde(default)]
    pub prepare: String,
}

/// A test: a program of its own, what is run, and how long that may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// A `*` in the first source makes a test of each file; without sources it uses others'
    /// programs, and a name is given.
    #[serde(flatten)]
    pub program: Program,
    /// Names that `*` does not stand for.
    #[serde(default)]
    pub except: Vec<String>,
    /// What a shell does, in an empty directory; it passed if that succeeds. `run NAME`
    /// runs a program with the library. If not given: the program alone.
    #[serde(default)]
    pub run: String,
    /// The longest that it may take natively.
    #[serde(default = "a_minute")]
    pub seconds: u32,
    /// It is one of the few that are always run.
    #[serde(default)]
    pub short: bool,
}

fn a_minute() -> u32 {
    60
}

/// All recipes, by name; with IOTDEC_WRAPPED="zlib lz4" those.
///
/// # Panics
/// If one is wrong.
pub fn recipes() -> Vec<Recipe> {
    let wanted = std::env::var("IOTDEC_WRAPPED").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split_whitespace().collect();
    let mut recipes: Vec<Recipe> = files(&root().join("tests/wrapped"), "", ".toml")
        .iter()
        .filter(|name| wanted.is_empty() || wanted.contains(&name.as_str()))
        .map(|name| read(name))
        .collect();
    assert!(!recipes.is_empty(), "no recipe is called {wanted:?}");
    recipes.sort_by(|a, b| a.name.cmp(&b.name));
    recipes
}

fn read(name: &str) -> Recipe {
    let file = root()
        .join("tests/wrapped")
        .join(name)
        .with_extension("toml");
    let text = std::fs::read_to_string(&file).expect("listed a moment ago");
    let recipe: Result<Recipe, _> = toml::from_str(&text);
    let mut recipe = recipe.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    recipe.name = name.to_owned();
    recipe.expand();
    recipe
}

/// Names of files between a beginning and an end.
fn files(directory: &Path, begin: &str, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_prefix(begin)?.strip_suffix(end)?.to_owned()))
        .collect();
    names.sort();
    names
}

impl Program {
    /// The name of its first source, without directories and end.
    fn first_name(&self) -> String {
        let source = self.sources.first().expect("a source or a name");
        let stem = Path::new(source).file_stem().expect("a file");
        stem.to_str().expect("UTF-8").to_owned()
    }
}

impl Recipe {
    /// The Debian source package, as setup/sysroot-libraries.txt has it.
    ///
    /// # Panics
    /// If that has no such library.
    pub fn source_package(&self) -> String {
        let list = root().join("setup/sysroot-libraries.txt");
        let list = std::fs::read_to_string(list).expect("part of the tree");
        let words = |line: &str| {
            let line = line.split('#').next().unwrap_or_default().to_owned();
            line.split_whitespace().map(str::to_owned).collect()
        };
        let mut lines = list.lines().map(words);
        let line = lines.find(|words: &Vec<String>| words.first() == Some(&self.library));
        let line = line.unwrap_or_else(|| panic!("setup fetches no {}", self.library));
        line[3].clone()
    }

    /// The upstream's source.
    pub fn source(&self) -> PathBuf {
        root().join(".deps/sources").join(self.source_package())
    }

    /// What wrapping it takes besides the header.
    pub fn wrap_toml(&self) -> PathBuf {
        let directory = root().join("examples/library-bridge");
        directory.join(&self.name).with_extension("toml")
    }

    /// The headers that are wrapped.
    pub fn header_files(&self, material: &Material) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for header in &self.headers {
            let Some((before, end)) = header.split_once('*') else {
                found.push(material.headers.join(header));
                continue;
            };
            let (directory, begin) = before.rsplit_once('/').unwrap_or(("", before));
            let directory = material.headers.join(directory);
            let names = files(&directory, begin, end);
            found.extend(
                names
                    .iter()
                    .map(|name| directory.join(format!("{begin}{name}{end}"))),
            );
        }
        found
    }

    /// Where those find others: where programs find them too.
    pub fn include_directories(&self, material: &Material) -> Vec<PathBuf> {
        let own = self
            .options
            .iter()
            .filter_map(|option| option.strip_prefix("-I$INC/"));
        let own = own.map(|directory| material.headers.join(directory));
        own.chain([material.headers.clone()]).collect()
    }

    /// Fills in names, and replaces each test of many files by a test of each.
    fn expand(&mut self) {
        let source = self.source();
        for program in &mut self.programs {
            if program.name.is_empty() {
                program.name = program.first_name();
            }
            assert!(!program.sources.is_empty(), "{}: no sources", program.name);
        }
        let mut tests = Vec::new();
        for test in std::mem::take(&mut self.tests) {
            let first = test
                .program
                .sources
                .first()
                .map(String::as_str)
                .unwrap_or_default();
            let Some((before, end)) = first.split_once('*') else {
                tests.push(test);
                continue;
            };
            let (directory, begin) = before.rsplit_once('/').unwrap_or(("", before));
            for part in files(&source.join(directory), begin, end) {
                let mut one = test.clone();
                one.program.sources[0] = format!("{before}{part}{end}");
                if !test.except.contains(&one.program.first_name()) {
                    tests.push(one);
                }
            }
        }
        for test in &mut tests {
            if test.program.name.is_empty() {
                test.program.name = test.program.first_name();
            }
            if test.run.is_empty() {
                test.run = "run $NAME".to_owned();
            }
        }
        self.tests = tests;
        for name in &self.wrapped {
            let is_known = self.tests.iter().any(|test| test.program.name == *name);
            assert!(is_known, "{}: wrapped: there is no test {name}", self.name);
        }
    }

    /// Every program of it, those of tests included.
    pub fn all_programs(&self) -> Vec<Program> {
        let own = self.tests.iter().map(|test| &test.program);
        let own = own.filter(|program| !program.sources.is_empty());
        self.programs.iter().chain(own).cloned().collect()
    }

    /// Those of them that the recipe's present tests run; a test may run another's.
    pub fn needed(&self, all: Vec<Program>) -> Vec<Program> {
        let is_run = |name: &String| {
            let mut words = self
                .tests
                .iter()
                .flat_map(|test| test.run.split_whitespace());
            self.tests.iter().any(|test| test.program.name == *name)
                || words.any(|word| word == name)
        };
        let is_shared = |name: &String| self.programs.iter().any(|own| own.name == *name);
        let all = all.into_iter();
        all.filter(|program| is_shared(&program.name) || is_run(&program.name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_errors() {
        let test = "[[test]]\nname = \"one\"\nrun = \"true\"\n";
        for (line, is_known) in [
            ("links = []", true),
            ("seconds = 3", true),
            ("link = []", false),
        ] {
            let text = format!("library = \"l\"\nheaders = []\n{test}{line}\n");
            let recipe: Result<Recipe, _> = toml::from_str(&text);
            assert_eq!(recipe.is_ok(), is_known, "{line}: {recipe:?}");
        }
    }
}

//! The worker's command line: `--key value` pairs and bare `--switch`es.

use crate::accel::Mode;
use std::str::FromStr;

/// Words that stand alone; every other `--word` is followed by its value.
const SWITCHES: &[&str] = &["checksum", "low-delay", "at-once"];

/// A parsed command line.
#[derive(Debug, Default)]
pub struct Args {
    pairs: Vec<(String, String)>,
}

impl Args {
    /// Reads the words after the command.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let mut pairs = Vec::new();
        while let Some(word) = words.next() {
            let key = word
                .strip_prefix("--")
                .ok_or_else(|| format!("unexpected argument '{word}'"))?;
            let value = if SWITCHES.contains(&key) {
                String::new()
            } else {
                words
                    .next()
                    .ok_or_else(|| format!("--{key} needs a value"))?
            };
            pairs.push((key.to_owned(), value));
        }
        Ok(Self { pairs })
    }

    /// The value of `--key`, if it was given.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut values = self.pairs.iter().filter(|(name, _)| name == key);
        values.next().map(|(_, value)| value.as_str())
    }

    /// The value of `--key`, or a complaint that it is missing.
    pub fn require(&self, key: &str) -> Result<&str, String> {
        self.get(key).ok_or_else(|| format!("--{key} is missing"))
    }

    /// The value of `--key` as a number.
    pub fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, String> {
        self.get(key)
            .map(|text| {
                text.parse()
                    .map_err(|_| format!("--{key} {text}: not a number"))
            })
            .transpose()
    }

    /// How much of the accelerator is wanted.
    pub fn accelerator(&self) -> Result<Mode, String> {
        match self.get("accel") {
            Some(name) => Mode::from_name(name)
                .ok_or_else(|| format!("--accel {name}: not off, native or turbo")),
            None => Ok(Mode::Off),
        }
    }

    /// Whether `--key` was given.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Every value of a repeated `--key`.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn pairs_switches_and_repetitions() {
        let args = parse("--adapter x --checksum --option a=1 --option b=2 --repeat 3").unwrap();
        assert_eq!(args.require("adapter"), Ok("x"));
        assert!(args.has("checksum"));
        assert_eq!(args.all("option").collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(args.number("repeat"), Ok(Some(3)));
        assert_eq!(args.number::<u32>("absent"), Ok(None));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse("--library").unwrap_err(), "--library needs a value");
        assert_eq!(parse("x").unwrap_err(), "unexpected argument 'x'");
        assert!(
            parse("--repeat x")
                .unwrap()
                .number::<u32>("repeat")
                .is_err()
        );
        assert!(parse("").unwrap().require("adapter").is_err());
    }
}

//! The table of wrapped libraries, as Markdown and as JSON.

use super::recipe::Recipe;
use super::run::Outcome;
use iotdec_wrap::wrap::Report;
use serde::Serialize;
use std::path::Path;

/// A library's line.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The recipe's name.
    pub name: String,
    /// The SONAME.
    pub library: String,
    /// Functions that it exports and a header declares.
    pub functions: Option<usize>,
    /// Those that can be called through the wrapper.
    pub wrapped: Option<usize>,
    /// Those that cannot, with the reason.
    pub refused: Vec<(String, String)>,
    /// Lines of its wrap.toml that say something.
    pub annotations: usize,
    /// The upstream's tests that passed.
    pub passed: Vec<String>,
    /// Those that did not, with how they ended.
    pub failed: Vec<(String, String)>,
    /// Those that no wrapper of the library could run, with the reason.
    pub unrunnable: Vec<(String, String)>,
    /// Why there is no wrapper at all.
    pub error: Option<String>,
}

impl Line {
    /// What is known before anything is wrapped.
    pub fn new(recipe: &Recipe) -> Self {
        let text = std::fs::read_to_string(recipe.wrap_toml()).unwrap_or_default();
        let says = |line: &&str| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        };
        Self {
            name: recipe.name.clone(),
            library: recipe.library.clone(),
            functions: None,
            wrapped: None,
            refused: Vec::new(),
            annotations: text.lines().filter(says).count(),
            passed: Vec::new(),
            failed: Vec::new(),
            unrunnable: recipe.unrunnable.clone().into_iter().collect(),
            error: None,
        }
    }

    /// Adds what became of the functions.
    pub fn wrapped(&mut self, report: &Report) {
        self.functions = Some(report.functions);
        self.wrapped = Some(report.wrapped);
        let refused = report.refused.iter();
        self.refused = refused
            .map(|one| (one.name.clone(), one.why.clone()))
            .collect();
    }

    /// Adds what the tests said.
    pub fn add(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            if outcome.passed {
                self.passed.push(outcome.test.clone());
            } else {
                self.failed
                    .push((outcome.test.clone(), outcome.end.clone()));
            }
        }
    }
}

/// The table as Markdown.
pub fn markdown(lines: &[Line]) -> String {
    let number = |number: Option<usize>| number.map_or("-".to_owned(), |number| number.to_string());
    let mut text = String::from(
        "| library | functions | wrapped | refused | lines of wrap.toml | upstream tests passed | not runnable |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for line in lines {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} / {} | {} |\n",
            line.name,
            number(line.functions),
            number(line.wrapped),
            line.refused.len(),
            line.annotations,
            line.passed.len(),
            line.passed.len() + line.failed.len(),
            line.unrunnable.len(),
        );
    }
    text
}

/// Writes the table into a directory, as `wrapped.md` and `wrapped.json`.
///
/// # Panics
/// If there is no room.
pub fn write(lines: &[Line], directory: &Path) {
    std::fs::create_dir_all(directory).expect("room for a table");
    let json = serde_json::to_string_pretty(lines).expect("plain values");
    std::fs::write(directory.join("wrapped.json"), json).expect("room for a table");
    std::fs::write(directory.join("wrapped.md"), markdown(lines)).expect("room for a table");
}

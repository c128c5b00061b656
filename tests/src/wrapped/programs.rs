//! Compiles the upstreams' tests: natively, from unmodified sources and headers.

use super::recipe::{Program, Recipe};
use super::{Material, in_parallel};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles those of a recipe's programs that are not there yet. The directory of the
/// programs, and what the compiler says of those that do not compile.
pub fn compile(
    recipe: &Recipe,
    programs: &[Program],
    material: &Material,
    made: &Path,
) -> (PathBuf, Vec<String>) {
    let to = made.join(&recipe.name);
    std::fs::create_dir_all(&to).expect("room for programs");
    for (name, text) in &recipe.files {
        let file = to.join(name);
        if std::fs::read_to_string(&file).ok().as_deref() != Some(text) {
            std::fs::write(file, text).expect("room for a file");
        }
    }
    let results = in_parallel(programs, |program| one(recipe, program, material, &to));
    (to, results.into_iter().filter_map(Result::err).collect())
}

fn one(recipe: &Recipe, program: &Program, material: &Material, to: &Path) -> Result<(), String> {
    let source = recipe.source();
    let is_cpp = |file: &String| file.ends_with(".cpp") || file.ends_with(".cc");
    let compiler = if program.sources.iter().any(is_cpp) {
        "g++"
    } else {
        "gcc"
    };
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let (headers, output) = (text(&material.headers), text(&to.join(&program.name)));
    let mut words = vec![compiler.to_owned()];
    words.extend(["-O1", "-w", "-pthread"].map(str::to_owned));
    let options = recipe.options.iter().chain(&program.options);
    let filled = |option: &String| {
        let option = option.replace("$SRC", &text(&source));
        let option = option.replace("$INC", &headers);
        option.replace("$TO", &text(to))
    };
    words.extend(options.map(filled));
    words.extend([
        format!("-I{}", to.display()),
        format!("-I{headers}"),
        format!("-I{headers}/x86_64-linux-gnu"),
    ]);
    words.extend(program.sources.iter().map(|file| text(&source.join(file))));
    words.push(text(&material.native.join(&recipe.library)));
    words.extend(
        program
            .links
            .iter()
            .map(|name| text(&material.native.join(name))),
    );
    // The twins' own libraries are found there, not in the host.
    words.push(format!("-Wl,-rpath-link,{}", material.native.display()));
    words.extend(["-lm", "-ldl", "-o", &output].map(str::to_owned));

    let note = to.join(format!("{}.command", program.name));
    let command = words.join(" ") + &program.prepare;
    if std::fs::read_to_string(&note).ok().as_deref() == Some(&command)
        && to.join(&program.name).exists()
    {
        return Ok(());
    }
    if !program.prepare.is_empty() {
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", &program.prepare])
            .env("SRC", &source);
        let output = shell.current_dir(to).output().expect("a shell");
        if !output.status.success() {
            return Err(format!("{}: {output:?}", program.name));
        }
    }
    let output = Command::new(compiler).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{compiler}: {error}; run make setup"));
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = errors.lines().take(12).collect();
        return Err(format!("{command}\n{}", errors.join("\n")));
    }
    std::fs::write(note, command).expect("room for a note");
    Ok(())
}

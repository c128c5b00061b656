//! Debian's libraries for arm64 behind wrappers, with their upstreams' tests as judges.
//! Which libraries and which tests: tests/wrapped/.

use iotdec_tests::environment::is_full;
use iotdec_tests::exclusive;
use iotdec_tests::wrapped::recipe::{Recipe, recipes};
use iotdec_tests::wrapped::run::{Outcome, With, run};
use iotdec_tests::wrapped::table::{self, Line};
use iotdec_tests::wrapped::{Material, broken, material, programs, wrapper};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where programs and libraries are made.
fn made() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/wrapped"))
}

/// A recipe with no other tests than those to be run now.
struct Chosen {
    recipe: Recipe,
    programs: PathBuf,
    /// Of programs that do not compile.
    errors: Vec<String>,
}

impl Chosen {
    fn run(&self, material: &Material, with: &With) -> Vec<Outcome> {
        run(&self.recipe, &self.programs, material, with)
    }
}

/// The tests that are always run; all of them with IOTDEC_FULL=1.
fn chosen(material: &Material) -> Vec<Chosen> {
    let choose = |mut recipe: Recipe| {
        let all = recipe.all_programs();
        if !is_full() {
            recipe.tests.retain(|test| test.short);
            assert!(!recipe.tests.is_empty(), "{}: no short test", recipe.name);
        }
        let needed = recipe.needed(all);
        let place = made().join("programs");
        let (programs, errors) = programs::compile(&recipe, &needed, material, &place);
        Chosen {
            recipe,
            programs,
            errors,
        }
    };
    recipes().into_iter().map(choose).collect()
}

/// Tells of outcomes that are not as they should be.
fn wrong<'a>(
    name: &'a str,
    outcomes: &'a [Outcome],
    passed: bool,
) -> impl Iterator<Item = String> + 'a {
    let wrong = outcomes
        .iter()
        .filter(move |outcome| outcome.passed != passed);
    wrong.map(move |outcome| format!("{name}: {}: {}\n", outcome.test, outcome.end))
}

/// Whatever a wrapper fails in is the wrapper's: natively, every test passes.
#[test]
fn upstreams_tests_pass_with_the_native_libraries() {
    let _turn = exclusive();
    let material = material();
    let mut failures = String::new();
    let mut lines = Vec::new();
    for chosen in chosen(&material) {
        failures.extend(chosen.errors.iter().map(|error| format!("{error}\n")));
        let with = With {
            directory: material.native.clone(),
            ..With::default()
        };
        let outcomes = chosen.run(&material, &with);
        let took: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
        let passed = outcomes.iter().filter(|outcome| outcome.passed).count();
        println!(
            "{}: {passed} of {}, {} ms",
            chosen.recipe.name,
            outcomes.len(),
            took.as_millis()
        );
        failures.extend(wrong(&chosen.recipe.name, &outcomes, true));
        let mut line = Line::new(&chosen.recipe);
        line.add(&outcomes);
        lines.push(line);
    }
    table::write(&lines, &made().join("native"));
    assert!(failures.is_empty(), "{failures}");
}

/// A test that passes with a library that does nothing would say nothing of a wrapper.
#[test]
fn upstreams_tests_fail_with_libraries_that_do_nothing() {
    let _turn = exclusive();
    let material = material();
    let mut failures = String::new();
    for chosen in chosen(&material) {
        let directory = made().join("broken").join(&chosen.recipe.name);
        broken::library(&material.guest_library(&chosen.recipe.library), &directory);
        let with = With {
            directory,
            limit: Some(Duration::from_secs(3)),
            ..With::default()
        };
        let outcomes = chosen.run(&material, &with);
        println!("{}: {} seen to fail", chosen.recipe.name, outcomes.len());
        failures.extend(wrong(&chosen.recipe.name, &outcomes, false));
    }
    assert!(
        failures.is_empty(),
        "passed with a library that does nothing: {failures}"
    );
}

/// The same programs do with the arm64 libraries what they do with the native ones: those
/// tests that are known to pass still do. With IOTDEC_FULL=1 all libraries are wrapped, and
/// the other tests are tried as well, for the table.
#[test]
fn upstreams_tests_pass_with_the_wrappers() {
    let _turn = exclusive();
    let material = material();
    let mut failures = String::new();
    let mut lines = Vec::new();
    for mut chosen in chosen(&material) {
        let wrapped = chosen.recipe.wrapped.clone();
        if !is_full() {
            let tests = &mut chosen.recipe.tests;
            tests.retain(|test| wrapped.contains(&test.program.name));
            if tests.is_empty() {
                continue;
            }
        }
        let recipe = &chosen.recipe;
        let mut line = Line::new(recipe);
        match wrapper::make(recipe, &material, &made().join("wrappers")) {
            Ok(report) => {
                line.wrapped(&report);
                let with = wrapper::with(recipe, &report, &material);
                let outcomes = chosen.run(&material, &with);
                line.add(&outcomes);
                println!(
                    "{}: {} of {}",
                    recipe.name,
                    line.passed.len(),
                    outcomes.len()
                );
                let must = outcomes
                    .into_iter()
                    .filter(|outcome| wrapped.contains(&outcome.test));
                let must: Vec<_> = must.collect();
                failures.extend(wrong(&recipe.name, &must, true));
            }
            Err(error) => {
                failures += &format!("{}: {error}\n", recipe.name);
                line.error = Some(error);
            }
        }
        lines.push(line);
        // After each: a run of everything takes long.
        table::write(&lines, &made().join("wrapped"));
    }
    println!("{}", table::markdown(&lines));
    assert!(failures.is_empty(), "{failures}");
    let (functions, wrapped) = lines.iter().fold((0, 0), |sum, line| {
        let number = |number: Option<usize>| number.unwrap_or_default();
        (sum.0 + number(line.functions), sum.1 + number(line.wrapped))
    });
    assert!(
        wrapped * 100 >= functions * 92,
        "wrapped {wrapped} of {functions}"
    );
}

//! Whole programs with their heap in the exchange do what they do without.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The library under test. Cargo puts it beside this program.
fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let library = program.with_file_name("libiotdec_malloc.so");
    assert!(library.exists(), "{} is not there", library.display());
    library
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(name)
}

/// Compiles a test program into a directory.
fn compile(compiler: &str, name: &str, directory: &Path) -> PathBuf {
    let program = directory.join("program");
    let status = Command::new(compiler)
        // The compiler would take malloc calls away whose results it sees unused.
        .args(["-O1", "-fno-builtin", "-w", "-pthread", "-o"])
        .arg(&program)
        .arg(source(name))
        .status();
    assert!(
        status
            .expect("a C and C++ compiler; make setup installs them")
            .success()
    );
    program
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; make setup installs it"))
}

/// Runs a program without and with the library, and compares all that it says.
fn compare(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8");
    let without = run(&mut command);
    let with = run(command.env("LD_PRELOAD", library()));
    let error = String::from_utf8_lossy(&with.stderr);
    assert_eq!(without.status, with.status, "{command:?}: {error}");
    assert!(without.status.success(), "{command:?}: {error}");
    assert_eq!(String::from_utf8_lossy(&without.stderr), error);
    let said = String::from_utf8_lossy(&with.stdout);
    assert_eq!(String::from_utf8_lossy(&without.stdout), said);
    said.into_owned()
}

#[test]
fn the_whole_family_early_calls_forks_and_threads() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("cc", "family.c", directory.path());
    let gstreamer = "libgstreamer-1.0.so.0";
    assert!(compare(&program, &[gstreamer]).contains("all well"));
    // With little room for addresses, a smaller exchange has to do.
    let limited = format!("ulimit -v 4000000; exec {} {gstreamer}", program.display());
    let output = run(Command::new("bash")
        .args(["-c", &limited])
        .env("LD_PRELOAD", library()));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn variables_and_the_stack_are_shared_if_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("cc", "shared.c", directory.path());
    compare(&program, &["0"]);
    let mut command = Command::new(&program);
    command
        .arg("1")
        .env("LD_PRELOAD", library())
        .env("IOTDEC_SHARE_PROGRAM", "1");
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said, "all well\n");
    // Programs of all kinds run so.
    for (program, arguments) in [
        (
            "python3",
            &[
                "-c",
                "import os; os.fork() and os.wait(); print(len('x' * 10**6))",
            ][..],
        ),
        ("bash", &["-c", "(echo $((6 * 7)) | cat); exit 3"]),
    ] {
        let mut command = Command::new(program);
        command.args(arguments);
        let without = run(&mut command);
        let with = run(command
            .env("LD_PRELOAD", library())
            .env("IOTDEC_SHARE_PROGRAM", "1"));
        assert_eq!(without.status, with.status, "{with:?}");
        assert_eq!(without.stdout, with.stdout, "{with:?}");
    }
}

#[test]
fn cpp() {
    let directory = tempfile::tempdir().unwrap();
    let said = compare(compile("c++", "standard.cpp", directory.path()), &[]);
    assert!(said.contains("refused"));
}

#[test]
fn invalid_pointers_end_the_program_with_a_message() {
    use std::os::unix::process::ExitStatusExt;
    let directory = tempfile::tempdir().unwrap();
    let program = compile("cc", "invalid.c", directory.path());
    for (what, message) in [
        ("double", "free already"),
        ("double-large", "free already"),
        ("inside", "not the beginning of an allocation"),
        ("inside-large", "nothing is allocated at the pointer"),
        ("stack", "not of this heap"),
        ("realloc", "free already"),
    ] {
        let output = run(Command::new(&program)
            .arg(what)
            .env("LD_PRELOAD", library()));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{what}: {error}");
        assert!(
            error.contains("libiotdec-malloc.so: ") && error.contains(message),
            "{what}: {error}"
        );
    }
}

#[test]
fn bash() {
    let script = r#"
        declare -A lengths
        for word in $(seq 1 300); do lengths[$word]=$(printf '%*s' "$word" '' | wc -c); done
        sum=0; for word in "${!lengths[@]}"; do sum=$((sum + lengths[$word])); done; echo "$sum"
        ( exec sed 's/b/B/' <<<"abc" ); echo a b c | while read -r x y z; do echo "$z$y$x"; done
        coproc cat; echo through >&"${COPROC[1]}"; read -r back <&"${COPROC[0]}"; echo "$back"
        f() { [ "$1" -eq 0 ] && return; echo $(f $(($1 - 1)))x; }; f 30
    "#;
    assert!(compare("bash", &["-c", script]).starts_with("45150\n"));
}

#[test]
fn python() {
    let script = r#"
import ctypes, hashlib, json, multiprocessing, os, re, sqlite3, subprocess, threading
table = {str(i): [i] * (i % 50) for i in range(20000)}
text = json.dumps(table)
print(hashlib.sha256(text.encode()).hexdigest(), json.loads(text) == table)
print(len(re.findall(r'\d+3', text)))
results = [None] * 8
def work(n):
    results[n] = sum(len(str(i) * n) for i in range(20000))
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(results)
print(subprocess.run(['sh', '-c', 'echo child'], capture_output=True, text=True).stdout)
with multiprocessing.get_context('fork').Pool(3) as pool:
    print(sum(pool.map(len, [text] * 20)))
for n in range(5):
    pid = os.fork()
    if pid == 0:
        table.clear()
        os._exit(n)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(table))
database = sqlite3.connect(':memory:')
database.create_function('twice', 1, lambda x: x * 2)
database.execute('create table t (a integer, b text)')
database.executemany('insert into t values (?, ?)', ((i, str(i) * 9) for i in range(20000)))
print(database.execute('select sum(twice(a)), max(length(b)) from t').fetchall())
libc = ctypes.CDLL(None)
libc.qsort.restype = None
array = (ctypes.c_int * 1000)(*((i * 7919) % 1000 for i in range(1000)))
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
libc.qsort(array, 1000, 4, compare(lambda a, b: a[0] - b[0]))
print(list(array) == list(range(1000)))
"#;
    assert!(compare("python3", &["-c", script]).contains("True"));
}

#[test]
fn the_exchange_is_as_large_as_wanted() {
    let script = "try: print(len(bytearray(200 << 20)))\nexcept MemoryError: print('refused')";
    for (size, said) in [
        ("560", "209715200\n"),
        ("400", "refused\n"),
        ("nonsense", "209715200\n"),
    ] {
        let mut command = Command::new("python3");
        command
            .args(["-c", script])
            .env("LD_PRELOAD", library())
            .env("IOTDEC_EXCHANGE_SIZE", size);
        assert_eq!(
            String::from_utf8_lossy(&run(&mut command).stdout),
            said,
            "{size}"
        );
    }
}

#[test]
fn a_program_that_may_have_no_shared_memory_runs_all_the_same() {
    // One is limited in the size of files, the other in addresses.
    for limit in ["ulimit -f 1000", "ulimit -v 700000"] {
        let script = format!(
            "{limit}; LD_PRELOAD={} exec python3 -c 'print(len([0] * 10**6))'",
            library().display()
        );
        let output = run(Command::new("bash").args(["-c", &script]));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "1000000\n",
            "{limit}: {output:?}"
        );
    }
}

#[test]
fn sqlite() {
    let script = "create table t (a integer primary key, b text);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 50000) insert into t select i, hex(i) from n;
        create index x on t (b); select count(*), max(b), group_concat(b) from t where b like '%3%39';
        select json_group_array(b) from (select b from t order by b desc limit 50);";
    assert!(compare("sqlite3", &[":memory:", script]).len() > 1000);
}

#[test]
fn gstreamer() {
    // The first run writes a registry that the second one reads.
    let directory = tempfile::tempdir().unwrap();
    let registry = directory.path().join("registry");
    let arguments = [format!("GST_REGISTRY={}", registry.display())];
    compare("env", &[&arguments[0], "gst-inspect-1.0"]);
    assert!(
        compare("env", &[&arguments[0], "gst-inspect-1.0", "videotestsrc"]).contains("pattern")
    );
    std::fs::remove_file(&registry).unwrap();
    // Plugins are loaded by a helper process, and streamed through by threads.
    let pipeline = "videotestsrc num-buffers=50 ! tee name=t t. ! queue ! videoconvert ! video/x-raw,format=NV12 ! \
                    checksumsink t. ! queue ! videoscale ! fakesink";
    let arguments: Vec<_> = [arguments[0].as_str(), "gst-launch-1.0", "-q"]
        .into_iter()
        .chain(pipeline.split_whitespace())
        .collect();
    assert_eq!(compare("env", &arguments).lines().count(), 50);
}

"""Runs fluster over the test vectors with every decoder of this tree, and writes the table of results.

usage: conformance.py VECTORS WORK TABLE [CODEC...]

VECTORS holds the test vectors and their MANIFEST.tsv; WORK is a directory for what fluster needs, and for its
results; TABLE is the Markdown file to write. With CODECs (as the table of vectors names them) only those run; for
the others the table shows what the last run found.
Fails if a vector that a native library decodes rightly is not decoded rightly by iotdec.
"""

import json
import sys
from pathlib import Path

from fluster.main import Main

import decoders
import suites

# Seconds for one vector; emulated, on a busy machine.
TIMEOUT = 600
# Decoded at once.
JOBS = 2

INTRODUCTION = """\
# Conformance

What [fluster](https://pypi.org/project/fluster-conformance/) (Fluendo's framework for decoder conformance) finds
over the project's test vectors; `make conformance` repeats it and writes this file.

Three decoders are given each vector:

* **native element**: GStreamer's own element, on amd64;
* **native library**: the amd64 build of the library that iotdec loads, on the packets that GStreamer's parser
  makes, without GStreamer around it;
* **iotdec**: the aarch64 library under QEMU, in a whole pipeline.

A *pass* is: the checksum over all frames is the one published for the vector. A *fail* is another checksum: a
frame too few or too many, or other samples in one of them. An *error* is a decoder that says so, or gives
no frame. Where the native library fails, the library does not decode this stream as its publisher does, and
emulation must not change that: `make conformance` compares iotdec with the native library frame by frame, too.
What counts for iotdec is the line below: vectors that the native library passes and iotdec does not.

"""

WORDS = {"Success": "pass", "Fail": "**fail**", "Error": "error", "Timeout": "time-out", "Not run": "not run"}


def run_fluster(work: Path, suite: str, names: tuple, results: Path) -> None:
    """Lets the decoders of these names decode a suite; what became of each vector is in the file `results`."""
    results.unlink(missing_ok=True)
    sys.argv = ["fluster", "-tsd", str(work / "suites"), "-r", str(work / "resources"), "-o", str(work / "output")]
    sys.argv += ["run", "-j", str(JOBS), "-t", str(TIMEOUT), "-ts", suite, "-d", *names]
    sys.argv += ["-f", "json", "-so", str(results)]
    try:
        Main().run()
    except SystemExit as end:
        # It fails where any vector failed; what that means is for the table to say.
        if not results.exists():
            raise SystemExit(f"fluster ran nothing: {end.code}") from end


def read_results(file: Path, suite: str) -> dict:
    """What each decoder made of each vector: {decoder: {vector: result}}."""
    ran = json.loads(file.read_text())["test_suites"][suite]["decoders"]
    return {name: {v: r["result"] for v, r in ran[name]["vectors"].items()} for name in ran}


def section(codec: str, names: tuple, results: dict) -> tuple[str, list[str], list[int]]:
    """A table of one codec and one of iotdec's decoders, what iotdec spoils in it, and how many each decoder passes."""
    vectors = list(results[names[2]])
    word = {name: {v: results.get(name, {}).get(v, "Not run") for v in vectors} for name in names}
    passed = [sum(r == "Success" for r in word[name].values()) for name in names]
    spoilt = [v for v in vectors if word[names[1]][v] == "Success" != word[names[2]][v]]
    lines = [f"## {codec}: {names[2]}", "", f"| vector | {names[0]} | {names[1]} | {names[2]} |", "|---|---|---|---|"]
    lines += [f"| {v} | " + " | ".join(WORDS[word[name][v]] for name in names) + " |" for v in vectors]
    return "\n".join(lines) + "\n", spoilt, passed


def fitting(codec: str) -> list[dict]:
    """The decoders that take a codec."""
    caps = suites.FORMATS[codec]
    return [decoder for decoder in decoders.known() if not decoders.common_caps(decoder, caps).is_empty()]


def main() -> None:
    vectors, work, table, *wanted = sys.argv[1:]
    vectors, work, table = Path(vectors), Path(work), Path(table)
    suites.write(vectors, work)
    totals = ["| codec | vectors | native element | native library | iotdec |", "|---|---|---|---|---|"]
    sections, spoilt, absent = [], [], []
    for codec, rows in suites.read(vectors).items():
        suite = suites.suite_name(codec)
        for decoder in fitting(codec):
            element = decoder["element"]
            names = decoders.register(codec, decoder)
            file = work / f"{codec}-{element}.json"
            if decoder["problem"]:
                absent.append(f"{codec}: {element} cannot run: {decoder['problem']}")
                continue
            if not wanted or codec in wanted:
                run_fluster(work, suite, names, file)
            if not file.exists():
                absent.append(f"{codec}: {element} was not run")
                continue
            text, lost, passed = section(codec, names, read_results(file, suite))
            sections.append(text)
            spoilt += [f"{element}: {vector}" for vector in lost]
            counts = " | ".join(f"{name} {count}" for name, count in zip(names, passed))
            totals.append(f"| {codec} | {len(rows)} | {counts} |")
    verdict = f"Passed by the native library, not by iotdec: **{len(spoilt)}**."
    notes = [f"* {name}" for name in [*spoilt, *absent]]
    print("\n".join([*totals, "", verdict, *notes]))
    table.write_text(INTRODUCTION + "\n".join([*totals, "", verdict, *notes, "", *sections]))
    if spoilt or not sections:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Runs fluster over the test vectors with every decoder of this tree, and writes the table of results.

usage: conformance.py VECTORS WORK TABLE [CODEC...]

VECTORS holds the test vectors and their MANIFEST.tsv; WORK is a directory for what fluster needs; TABLE is the
Markdown file to write. With CODECs (as the table of vectors names them) only those run, and no table is written.
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


def run_fluster(work: Path, suite: str, names: list[str]) -> dict:
    """What each decoder made of each vector: {decoder: {vector: result}}."""
    summary = work / f"{suite}.json"
    summary.unlink(missing_ok=True)
    sys.argv = ["fluster", "-tsd", str(work / "suites"), "-r", str(work / "resources"), "-o", str(work / "output")]
    sys.argv += ["run", "-j", str(JOBS), "-t", str(TIMEOUT), "-ts", suite, "-d", *names]
    sys.argv += ["-f", "json", "-so", str(summary)]
    try:
        Main().run()
    except SystemExit as end:
        # It fails where any vector failed; what that means is for the table to say.
        if not summary.exists():
            raise SystemExit(f"fluster ran nothing: {end.code}") from end
    ran = json.loads(summary.read_text())["test_suites"][suite]["decoders"]
    return {name: {v: r["result"] for v, r in ran[name]["vectors"].items()} for name in names if name in ran}


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
    codecs = wanted or list(suites.FORMATS)
    suites.write(vectors, work, codecs)
    totals = ["| codec | vectors | native element | native library | iotdec |", "|---|---|---|---|---|"]
    sections, spoilt, absent = [], [], []
    for codec, rows in suites.read(vectors).items():
        if codec not in codecs:
            continue
        for decoder in fitting(codec):
            if decoder["problem"]:
                absent.append(f"{codec}: {decoder['element']} cannot run: {decoder['problem']}")
                continue
            names = decoders.register(codec, decoder)
            results = run_fluster(work, suites.suite_name(codec), list(names))
            text, lost, passed = section(codec, names, results)
            sections.append(text)
            spoilt += [f"{names[2]}: {vector}" for vector in lost]
            counts = " | ".join(f"{name} {count}" for name, count in zip(names, passed))
            totals.append(f"| {codec} | {len(rows)} | {counts} |")
    if not sections:
        raise SystemExit("no decoder for any of these vectors")
    verdict = f"Passed by the native library, not by iotdec: **{len(spoilt)}**."
    print("\n".join([*totals, "", verdict, *spoilt, *absent]))
    if not wanted:
        lines = [*totals, "", verdict, *(f"* {name}" for name in [*spoilt, *absent]), "", *sections]
        table.write_text(INTRODUCTION + "\n".join(lines))
    if spoilt:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

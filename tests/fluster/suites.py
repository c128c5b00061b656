"""Fluster's test suites, written from the table of test vectors."""

import csv
import json
import os
from pathlib import Path
from typing import NamedTuple


class Format(NamedTuple):
    """One value of the table's codec column."""

    fluster: str  # fluster's name of the codec; "None" where it has none
    caps: str  # of packets as the adapters take them
    parser: str  # makes access units of it
    native: dict[str, str]  # GStreamer's native element, by iotdec adapter; "" for any other


BYTE_STREAM = "stream-format=byte-stream, alignment=au"
PLAIN = "systemstream=(boolean)false"
FORMATS = {
    "h264": Format(
        "H.264", f"video/x-h264, {BYTE_STREAM}", "h264parse", {"openh264": "openh264dec", "": "avdec_h264"}
    ),
    "hevc": Format(
        "H.265", f"video/x-h265, {BYTE_STREAM}", "h265parse", {"libde265": "libde265dec", "": "avdec_h265"}
    ),
    "av1": Format("AV1", "video/x-av1", "av1parse", {"": "av1dec"}),
    "vp8": Format("VP8", "video/x-vp8", "identity", {"libvpx": "vp8dec", "": "avdec_vp8"}),
    "vp9": Format("VP9", "video/x-vp9", "vp9parse", {"libvpx": "vp9dec", "": "avdec_vp9"}),
    "mpeg2video": Format(
        "MPEG2_VIDEO",
        f"video/mpeg, mpegversion=2, {PLAIN}",
        "mpegvideoparse",
        {"libmpeg2": "mpeg2dec", "": "avdec_mpeg2video"},
    ),
    "mpeg4": Format("MPEG4_VIDEO", f"video/mpeg, mpegversion=4, {PLAIN}", "mpeg4videoparse", {"": "avdec_mpeg4"}),
    "mjpeg": Format("None", "image/jpeg", "jpegparse", {"": "jpegdec"}),
}

# MD5 of no bytes: a stream that has no frames.
NOTHING = "d41d8cd98f00b204e9800998ecf8427e"
# Containers that GStreamer has no demuxer for.
UNKNOWN_CONTAINERS = (".dhav", ".hxvs")


def codec_of(row: dict) -> str:
    """The table's codec without the pixel format; where the table has none, that of the folder."""
    codec = row["codec"].split("/")[0]
    folder = row["file"].split("/")[0]
    return {"dav1d-test-data": "av1", "openh264": "h264"}.get(folder, codec) if codec == "?" else codec


def read(vectors: Path) -> dict[str, list[dict]]:
    """The table's rows that have a checksum, by codec."""
    suites = {}
    with open(vectors / "MANIFEST.tsv", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE):
            codec = codec_of(row)
            kind = row["checksum_kind"].split()[0]
            known = codec in FORMATS and not row["file"].endswith(UNKNOWN_CONTAINERS)
            if known and kind in ("md5", "sha1") and row["checksum"] != NOTHING:
                suites.setdefault(codec, []).append(row)
    return suites


def suite_name(codec: str) -> str:
    return f"vectors-{codec}"


def write(vectors: Path, directory: Path) -> None:
    """Writes DIRECTORY/suites/*.json, and DIRECTORY/resources, where fluster looks for the files."""
    (directory / "suites").mkdir(parents=True, exist_ok=True)
    (directory / "resources").mkdir(exist_ok=True)
    for stale in (directory / "suites").iterdir():
        stale.unlink()
    for codec, rows in read(vectors).items():
        suite = {
            "name": suite_name(codec),
            "codec": FORMATS[codec].fluster,
            "description": f"{codec} vectors of the project's table",
            "test_method": "md5",
            "test_vectors": [
                {
                    "name": row["file"],
                    "source": row["source"],
                    "source_checksum": "",
                    "input_file": row["file"],
                    "output_format": "None",
                    "result": row["checksum"],
                    "optional_params": {"checksum": row["checksum_kind"].split()[0]},
                }
                for row in rows
            ],
        }
        (directory / "suites" / f"{codec}.json").write_text(json.dumps(suite, indent=1))
        link = directory / "resources" / suite_name(codec)
        if not link.is_symlink():
            os.symlink(vectors.resolve(), link)

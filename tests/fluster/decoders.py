"""Decoders as fluster runs them: for each manifest, GStreamer's native element, the native build of the
manifest's library, and iotdec. The program frame-checksum does the work."""

import os
import subprocess
import tomllib
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

from fluster.codec import Codec
from fluster.decoder import DECODERS, Decoder

from suites import FORMATS, Format

Gst.init(None)
PROGRAM = os.environ["IOTDEC_FRAME_CHECKSUM"]

# Elementary streams go through their parser; parsebin takes containers apart. GStreamer does not know every
# elementary stream by its first bytes.
ELEMENTARY = (".264", ".h264", ".avc", ".jsv", ".265", ".h265", ".obu", ".m2v", ".m4v", ".mjpeg")
# The same for the bin iotdec, which is given the file as it is: these begin in a way that typefind of
# GStreamer 1.22 does not know.
UNTYPED = ("heif-hevc/B021.265", "heif-hevc/B025.265")


class Run(Decoder):
    """One way to decode one format."""

    def __init__(self, name: str, format: Format):
        super().__init__()
        self.name = name
        self.description = name
        self.codec = Codec(format.fluster)
        self.format = format

    def arguments(self, file: str) -> list[str]:
        """What to tell the program behind the file's name."""
        raise NotImplementedError

    def parser(self, file: str) -> str:
        container = "" if file.endswith(ELEMENTARY) else "parsebin ! "
        return container + self.format.parser

    def decode(self, input_filepath, output_filepath, output_format, timeout, verbose, keep_files, optional_params=None):
        command = [PROGRAM, optional_params["checksum"], input_filepath, *self.arguments(input_filepath)]
        done = subprocess.run(command, timeout=timeout, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout.strip()


class NativeElement(Run):
    """GStreamer's own decoder."""

    def __init__(self, element: str, format: Format):
        super().__init__(element, format)
        self.element = element

    def arguments(self, file):
        return ["element", f"{self.parser(file)} ! {self.element}"]


class NativeLibrary(Run):
    """The amd64 build of a manifest's library, on the packets that its element would get."""

    def __init__(self, name: str, manifest: dict, format: Format):
        super().__init__(f"native-{name}", format)
        self.manifest = manifest
        self.caps = common_caps(manifest, format).to_string()

    def arguments(self, file):
        return ["library", f"{self.parser(file)} ! {self.caps}", self.manifest["file"]]


class Iotdec(Run):
    """The aarch64 library through the bin iotdec, as a player has it."""

    def __init__(self, name: str, format: Format):
        super().__init__(f"iotdec_{name}", format)
        self.decoder = name

    def arguments(self, file):
        if file.endswith(UNTYPED):
            return ["element", f"{self.parser(file)} ! {self.name}"]
        return ["element", f"iotdec decoder={self.decoder}"]


def manifests() -> list[dict]:
    """The manifests of this tree."""
    found = []
    for directory in os.environ["IOTDEC_DECODER_PATH"].split(":"):
        for file in sorted(Path(directory).glob("*.toml")):
            found.append({**tomllib.loads(file.read_text()), "file": str(file)})
    return found


def common_caps(manifest: dict, format: Format) -> Gst.Caps:
    """What a manifest's decoder takes of a format; empty if it is not for that."""
    return Gst.Caps.from_string(manifest["caps"]).intersect(Gst.Caps.from_string(format.caps))


def register(codec: str, manifest: dict) -> tuple[str, str, str]:
    """Makes a manifest's three ways to decode a codec known to fluster; their names, in the table's order."""
    format = FORMATS[codec]
    element = format.native.get(manifest["adapter"], format.native[""])
    ways = [
        NativeElement(element, format),
        NativeLibrary(manifest["name"], manifest, format),
        Iotdec(manifest["name"], format),
    ]
    known = {(decoder.name, decoder.codec) for decoder in DECODERS}
    DECODERS.extend(way for way in ways if (way.name, way.codec) not in known)
    return tuple(way.name for way in ways)

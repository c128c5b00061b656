"""Decoders as fluster runs them: for each decoder of iotdec, GStreamer's native element, the native build of the
same library, and iotdec itself. The program frame-checksum does the work."""

import json
import os
import subprocess

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
# GStreamer 1.22 does not know. Its h265parse takes headers out of byte-streams of several layers, but not out of
# the form that GStreamer's own decoders ask for.
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
    """The amd64 build of a decoder's library, on the packets that its element would get."""

    def __init__(self, decoder: dict, format: Format):
        super().__init__(f"native-{decoder['name']}", format)
        self.decoder = decoder["name"]
        self.caps = common_caps(decoder, format).get_structure(0).to_string()

    def arguments(self, file):
        return ["library", f'{self.parser(file)} ! capsfilter caps="{self.caps}"', self.decoder]


class Iotdec(Run):
    """The aarch64 library through the bin iotdec, as a player has it."""

    def __init__(self, name: str, format: Format):
        super().__init__(f"iotdec_{name}", format)
        self.decoder = name

    def arguments(self, file):
        if file.endswith(UNTYPED):
            layered = "video/x-h265, stream-format=hvc1; video/x-h265"
            return ["element", f'{self.parser(file)} ! capsfilter caps="{layered}" ! {self.name}']
        return ["element", f"iotdec decoder={self.decoder}"]


def known() -> list[dict]:
    """The decoders of this tree, as the command iotdec lists them."""
    listed = subprocess.run(["iotdec", "list", "--json"], check=True, capture_output=True, text=True)
    return json.loads(listed.stdout)["decoders"]


def common_caps(decoder: dict, format: Format) -> Gst.Caps:
    """What a decoder takes of a format; empty if it is not for that."""
    return Gst.Caps.from_string(decoder["caps"]).intersect(Gst.Caps.from_string(format.caps))


def register(codec: str, decoder: dict) -> tuple[str, str, str]:
    """Makes the three ways to decode a codec known to fluster; their names, in the table's order."""
    format = FORMATS[codec]
    element = format.native.get(decoder["adapter"], format.native[""])
    ways = [
        NativeElement(element, format),
        NativeLibrary(decoder, format),
        Iotdec(decoder["name"], format),
    ]
    there = {(way.name, way.codec) for way in DECODERS}
    DECODERS.extend(way for way in ways if (way.name, way.codec) not in there)
    return tuple(way.name for way in ways)

#!/usr/bin/python3
"""Decoded frames in Python: prints the time and the mean brightness of each.

A frame stays in the memory into which it was decoded; Python copies the rows it looks at.

    setup/devenv examples/appsink.py samples/yard-h265.mp4

Needs the Debian packages python3-gi and gir1.2-gst-plugins-base-1.0.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo


def brightness(sample):
    """The mean of the luma plane, taken from every 16th sample of every 16th row."""
    info = GstVideo.VideoInfo.new_from_caps(sample.get_caps())
    buffer = sample.get_buffer()
    # The meta tells where the planes lie: rows may be longer than they are wide.
    meta = GstVideo.buffer_get_video_meta(buffer)
    layout = meta or info
    stride, offset = layout.stride[0], layout.offset[0]
    rows = (buffer.extract_dup(offset + y * stride, info.width) for y in range(0, info.height, 16))
    luma = b"".join(row[::16] for row in rows)
    return sum(luma) / len(luma)


def main(path):
    Gst.init(None)
    pipeline = Gst.parse_launch("filesrc name=file ! iotdec ! appsink name=sink sync=false max-buffers=2")
    pipeline.get_by_name("file").props.location = path
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    frames, error = 0, None
    while not error and not sink.props.eos:
        # With a time limit: after an error no frame comes, and no end.
        if sample := sink.emit("try-pull-sample", Gst.SECOND // 10):
            frames += 1
            time = sample.get_buffer().pts / Gst.SECOND
            print(f"{time:.3f} s  {brightness(sample):.1f}")
        error = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if error:
        sys.exit(error.parse_error().gerror.message)
    print(f"{frames} frames")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: appsink.py VIDEO")
    main(sys.argv[1])

"""A camera for tests: serves a test picture by RTSP on a free port of 127.0.0.1 and prints its URL."""

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

MEDIA = (
    "( videotestsrc is-live=true pattern=smpte horizontal-speed=4"
    " ! video/x-raw,format=I420,width=320,height=240,framerate=30/1"
    " ! x264enc tune=zerolatency sliced-threads=false key-int-max=30"
    " ! rtph264pay name=pay0 config-interval=-1 )"
)

Gst.init(None)
server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
factory = GstRtspServer.RTSPMediaFactory(shared=True)
factory.set_launch(MEDIA)
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/camera", flush=True)
GLib.MainLoop().run()

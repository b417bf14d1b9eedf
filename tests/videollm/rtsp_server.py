"""An RTSP server that plays an MP4 file with H.264 as if live; run with the system's Python.

rtsp_server.py FILE PORT: prints its port (0 chooses one) and serves /test until it is ended.
Debian: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad}.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

NEEDED = ("filesrc", "qtdemux", "h264parse", "rtph264pay", "rtpbin")

Gst.init(None)
missing = [name for name in NEEDED if Gst.ElementFactory.find(name) is None]
if missing:
    sys.exit(f"GStreamer has no {', '.join(missing)}")
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[2])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( filesrc location={sys.argv[1]} ! qtdemux ! h264parse"
    " ! rtph264pay config-interval=-1 name=pay0 )"
)
server.get_mount_points().add_factory("/test", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()

"""A web server for tests that can be slow, break off, lie, forbid and go round in circles.

The first part of the path says how the rest is served: `/plain/a.mp4`, `/drop/a.mp4`, ...
"""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import av

STATUSES = {"forbidden": 403, "locked": 401, "gone": 410, "missing": 404, "broken": 503}


class Server(http.server.ThreadingHTTPServer):
    """Serve a folder, and remember what was asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []
        self.passwords: set[str] = set()
        self.num_drops_left = 10**9
        self.drop_bytes = 3000
        self.num_parts_shown = 1
        self.released = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        kind, _, name = unquote(self.path).lstrip("/").partition("/")
        self.server.asked.append((self.path, self.headers.get("Range")))
        self.server.passwords.update(self.headers.get_all("Authorization", []))
        if kind in STATUSES:
            self.send_error(STATUSES[kind])
        elif kind in ("circle", "chain", "elsewhere", "moved", "to"):
            self.redirect(kind, name)
        elif kind == "slow-head":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            for _ in range(40):
                self.wfile.write(b"x")
                time.sleep(0.1)
        elif kind == "hang":
            self.server.released.wait(20)
        elif kind == "growing":
            self.send_growing_playlist((self.server.folder / name).read_text())
        elif not (self.server.folder / name).is_file():
            self.send_error(404)
        elif kind == "live":
            self.send_live((self.server.folder / name).read_bytes())
        else:
            self.send_file(kind, (self.server.folder / name).read_bytes())

    def redirect(self, kind: str, name: str) -> None:
        targets = {
            "circle": f"/circle/{'b' if name == 'a' else 'a'}",
            "chain": f"/chain/{name}x",
            "elsewhere": "file:///etc/hostname",
            "moved": f"/plain/{name}",
            "to": name,
        }
        self.send_response(302)
        self.send_header("Location", targets[kind])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_file(self, kind: str, data: bytes) -> None:
        size = len(data)
        wanted = self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").partition("-")[0] or 0)
        if kind == "ranges" and not wanted:
            self.send_error(400)
            return
        promised = size + 5000 if kind == "long" else size
        if kind.startswith("whole") or not wanted:
            start = 0
            self.send_response(200)
        elif start >= size:
            self.send_error(416)
            return
        else:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{promised - 1}/{promised}")
        self.send_header("Content-Length", str(promised - start))
        self.end_headers()
        body = data[start:]
        if kind in ("drop", "whole-drop") and self.server.num_drops_left > 0:
            self.server.num_drops_left -= 1
            body = body[: self.server.drop_bytes]
        if kind == "drip":
            for place in range(0, len(body), 10):
                self.wfile.write(body[place : place + 10])
                time.sleep(0.1)
            return
        if kind == "stall" and len(body) > self.server.drop_bytes:
            self.wfile.write(body[: self.server.drop_bytes])
            self.server.released.wait(20)
            return
        self.wfile.write(body)

    def send_growing_playlist(self, text: str) -> None:
        """Send as much of a playlist as was broadcast so far: one part more each time."""
        self.server.num_parts_shown += 1
        head, *parts = text.removesuffix("#EXT-X-ENDLIST\n").split("#EXTINF")
        shown = "".join(f"#EXTINF{part}" for part in parts[: self.server.num_parts_shown])
        ending = "#EXT-X-ENDLIST\n" if self.server.num_parts_shown > len(parts) else ""
        body = (head + shown.replace("part", "/plain/part") + ending).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_live(self, data: bytes) -> None:
        """Send without a length, once, in pieces; then close, as a camera does that restarts."""
        self.send_response(200)
        self.end_headers()
        for place in range(0, len(data), 1316):
            self.wfile.write(data[place : place + 1316])


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Yield a running server of a folder."""
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


def cut_in_parts(path: Path, folder: Path) -> None:
    """Write an HLS playlist of a video, list.m3u8, and its parts."""
    options = {
        "hls_time": "0.5",
        "hls_list_size": "0",
        "hls_segment_filename": str(folder / "part%d.bin"),
        "hls_segment_type": "mpegts",
    }
    with (
        av.open(str(path)) as source,
        av.open(str(folder / "list.m3u8"), "w", format="hls", options=options) as output,
    ):
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
